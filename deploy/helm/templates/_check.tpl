{{/* What a schema cannot say. Each message is a sentence that names the value and what to do. */}}
{{- define "broker.check" -}}
{{- $v := .Values -}}
{{- if not $v.image.repository }}{{ fail "image.repository is not set: name the place you pushed the image to." }}{{ end -}}
{{- if not (or $v.image.tag $v.image.digest) }}{{ fail "image.tag and image.digest are not set: set one of them." }}{{ end -}}
{{- if not $v.publicUrl }}{{ fail "publicUrl is not set: it is the URL that clients use, and the issuer of every token." }}{{ end -}}
{{- if and (ne $v.environment "dev") (not (hasPrefix "https://" $v.publicUrl)) }}{{ fail (printf "publicUrl is %q: outside dev it has to begin with https://." $v.publicUrl) }}{{ end -}}
{{- if and (eq $v.environment "prod") (not $v.trustedProxies) }}{{ fail "trustedProxies is empty: in prod TLS ends at a proxy, whose addresses or networks have to be named." }}{{ end -}}
{{- if and (eq $v.store.kind "sqlite") (gt (int (include "broker.replicas" .)) 1) }}{{ fail "store.kind is sqlite, which one process can use: set replicas to 1 and autoscaling.enabled to false, or store.kind to postgres." }}{{ end -}}
{{- if and $v.autoscaling.enabled (gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) }}{{ fail "autoscaling.minReplicas is above autoscaling.maxReplicas." }}{{ end -}}
{{- if and (or (ne $v.environment "dev") (eq $v.store.kind "postgres")) (not (include "broker.secret" .)) }}{{ fail "there is no Secret: set secrets.existingSecret, or externalSecrets.enabled." }}{{ end -}}
{{- if and $v.externalSecrets.enabled $v.secrets.existingSecret }}{{ fail "externalSecrets.enabled and secrets.existingSecret exclude each other: set one of them." }}{{ end -}}
{{- if $v.externalSecrets.enabled -}}
{{- if not $v.externalSecrets.storeRef.name }}{{ fail "externalSecrets.storeRef.name is not set." }}{{ end -}}
{{- $keys := list }}{{ range $v.externalSecrets.data }}{{ $keys = append $keys .key }}{{ end -}}
{{- if not (has "key-encryption-key" $keys) }}{{ fail "externalSecrets.data has no entry with the key key-encryption-key." }}{{ end -}}
{{- if and (eq $v.store.kind "postgres") (not (has "store-url" $keys)) }}{{ fail "externalSecrets.data has no entry with the key store-url." }}{{ end -}}
{{- if and $v.externalSecrets.provider (ne $v.externalSecrets.storeRef.kind "SecretStore") }}{{ fail "externalSecrets.provider makes a SecretStore: set externalSecrets.storeRef.kind to SecretStore, or leave the provider out." }}{{ end -}}
{{- end -}}
{{- if and $v.ingress.enabled $v.gateway.enabled }}{{ fail "ingress.enabled and gateway.enabled exclude each other: set one of them." }}{{ end -}}
{{- if and $v.ingress.enabled (not (or $v.ingress.clusterIssuer $v.ingress.tlsSecret)) }}{{ fail "ingress has no certificate: set ingress.clusterIssuer or ingress.tlsSecret." }}{{ end -}}
{{- if $v.gateway.enabled -}}
{{- if and (not $v.gateway.create) (not $v.gateway.parentRefs) }}{{ fail "gateway has no parent: set gateway.parentRefs, or gateway.create." }}{{ end -}}
{{- if and $v.gateway.create (not $v.gateway.className) }}{{ fail "gateway.className is not set." }}{{ end -}}
{{- if and $v.gateway.create (not (or $v.gateway.clusterIssuer $v.gateway.tlsSecret)) }}{{ fail "gateway has no certificate: set gateway.clusterIssuer or gateway.tlsSecret." }}{{ end -}}
{{- end -}}
{{- if and $v.networkPolicy.enabled (eq $v.store.kind "postgres") (not $v.networkPolicy.database.to) }}{{ fail "networkPolicy.database.to is empty: say where PostgreSQL is, or nothing could reach it." }}{{ end -}}
{{- if and $v.metrics.enabled $v.networkPolicy.enabled (not $v.metrics.from) }}{{ fail "metrics.from is empty: say where Prometheus is, or nothing could scrape." }}{{ end -}}
{{- range $part := list "serviceMonitor" "rules" "dashboard" -}}
{{- if and (not $v.metrics.enabled) (dig $part "enabled" false $v.metrics) }}{{ fail (printf "metrics.%s.enabled needs metrics.enabled." $part) }}{{ end -}}
{{- end -}}
{{- if and $v.documents (eq $v.environment "prod") }}{{ fail "documents is set: they are for the sample tools, which prod refuses." }}{{ end -}}
{{- if and $v.documents (not (and (hasKey $v.documents "public.md") (hasKey $v.documents "confidential.md"))) }}{{ fail "documents has to hold public.md and confidential.md." }}{{ end -}}
{{- range $limit := list "cpu" "memory" -}}
{{- if not (dig "limits" $limit "" $v.resources) }}{{ fail (printf "resources.limits.%s is not set." $limit) }}{{ end -}}
{{- if not (dig "requests" $limit "" $v.resources) }}{{ fail (printf "resources.requests.%s is not set." $limit) }}{{ end -}}
{{- end -}}
{{- range $key, $value := dict "environment" "environment" "public_url" "publicUrl" "listen" "the Service" "trusted_proxies" "trustedProxies" "dev_on_network" "environment" "drain_seconds" "drain.seconds" "drain_pause_ms" "drain.pauseSeconds" "key_encryption_key" "secrets" "replicas" "replicas" "log_level" "logLevel" "admin_listen" "metrics.enabled" "metrics" "metrics.enabled" -}}
{{- if regexMatch (printf "(?m)^\\s*%s\\s*=" $key) $v.settings }}{{ fail (printf "settings holds %s, which would not count: this chart sets it from %s." $key $value) }}{{ end -}}
{{- end -}}
{{- end -}}
