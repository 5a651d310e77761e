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
{{- if ne (len $keys) (len (uniq $keys)) }}{{ fail "externalSecrets.data has two entries with one key." }}{{ end -}}
{{- if not (has "key-encryption-key" $keys) }}{{ fail "externalSecrets.data has no entry with the key key-encryption-key." }}{{ end -}}
{{- if and (eq $v.store.kind "postgres") (not (has "store-url" $keys)) }}{{ fail "externalSecrets.data has no entry with the key store-url." }}{{ end -}}
{{- if and $v.externalSecrets.provider (ne $v.externalSecrets.storeRef.kind "SecretStore") }}{{ fail "externalSecrets.provider makes a SecretStore: set externalSecrets.storeRef.kind to SecretStore, or leave the provider out." }}{{ end -}}
{{- end -}}
{{- if and $v.ingress.enabled $v.gateway.enabled }}{{ fail "ingress.enabled and gateway.enabled exclude each other: set one of them." }}{{ end -}}
{{- if and $v.ingress.enabled (not (or $v.ingress.clusterIssuer $v.ingress.tlsSecret)) }}{{ fail "ingress has no certificate: set ingress.clusterIssuer or ingress.tlsSecret." }}{{ end -}}
{{- $told := lower (join " " (concat (values $v.ingress.annotations) (values $v.service.annotations))) -}}
{{- if and $v.ingress.enabled (eq (include "broker.scheme" .) "HTTPS") (not (contains "https" $told)) }}{{ fail "settings holds server.tls, so the pod speaks HTTPS: say so to the ingress controller, such as with nginx.ingress.kubernetes.io/backend-protocol: HTTPS in ingress.annotations or traefik.ingress.kubernetes.io/service.serversscheme: https in service.annotations." }}{{ end -}}
{{- if $v.gateway.enabled -}}
{{- if and (not $v.gateway.create) (not $v.gateway.parentRefs) }}{{ fail "gateway has no parent: set gateway.parentRefs, or gateway.create." }}{{ end -}}
{{- if and $v.gateway.create (not $v.gateway.className) }}{{ fail "gateway.className is not set." }}{{ end -}}
{{- if and $v.gateway.create (not (or $v.gateway.clusterIssuer $v.gateway.tlsSecret)) }}{{ fail "gateway has no certificate: set gateway.clusterIssuer or gateway.tlsSecret." }}{{ end -}}
{{- end -}}
{{- if and $v.networkPolicy.enabled (eq $v.store.kind "postgres") (not $v.networkPolicy.database.to) }}{{ fail "networkPolicy.database.to is empty: say where PostgreSQL is, or nothing could reach it." }}{{ end -}}
{{- if and $v.metrics.enabled $v.networkPolicy.enabled (not $v.metrics.from) }}{{ fail "metrics.from is empty: say where Prometheus is, or nothing could scrape." }}{{ end -}}
{{- if gt (include "broker.duration" $v.metrics.serviceMonitor.scrapeTimeout | int) (include "broker.duration" $v.metrics.serviceMonitor.interval | int) }}{{ fail "metrics.serviceMonitor.scrapeTimeout is above metrics.serviceMonitor.interval, which Prometheus refuses." }}{{ end -}}
{{- range $part := list "serviceMonitor" "rules" "dashboard" -}}
{{- if and (not $v.metrics.enabled) (dig $part "enabled" false $v.metrics) }}{{ fail (printf "metrics.%s.enabled needs metrics.enabled." $part) }}{{ end -}}
{{- end -}}
{{- if and $v.documents (eq $v.environment "prod") }}{{ fail "documents is set: they are for the sample tools, which prod refuses." }}{{ end -}}
{{- if and $v.documents (not (and (hasKey $v.documents "public.md") (hasKey $v.documents "confidential.md"))) }}{{ fail "documents has to hold public.md and confidential.md." }}{{ end -}}
{{- range $limit := list "cpu" "memory" -}}
{{- if not (dig "limits" $limit "" $v.resources) }}{{ fail (printf "resources.limits.%s is not set." $limit) }}{{ end -}}
{{- if not (dig "requests" $limit "" $v.resources) }}{{ fail (printf "resources.requests.%s is not set." $limit) }}{{ end -}}
{{- end -}}
{{- range $limit := list "cpu" "memory" -}}
{{- $least := include "broker.amount" (dig "requests" $limit "" $v.resources) -}}
{{- $most := include "broker.amount" (dig "limits" $limit "" $v.resources) -}}
{{- if not (regexMatch "^[0-9.]+$" $least) }}{{ fail (printf "resources.requests.%s is %v: not a quantity of Kubernetes, as 250m or 256Mi." $limit (dig "requests" $limit "" $v.resources)) }}{{ end -}}
{{- if not (regexMatch "^[0-9.]+$" $most) }}{{ fail (printf "resources.limits.%s is %v: not a quantity of Kubernetes, as 250m or 256Mi." $limit (dig "limits" $limit "" $v.resources)) }}{{ end -}}
{{- if gt (float64 $least) (float64 $most) }}{{ fail (printf "resources.requests.%s is above resources.limits.%s." $limit $limit) }}{{ end -}}
{{- end -}}
{{- if lt (float64 (include "broker.amount" $v.resources.limits.memory)) 67108864.0 }}{{ fail (printf "resources.limits.memory is %v: the broker needs 64Mi at least." $v.resources.limits.memory) }}{{ end -}}
{{- range $name, $text := dict "settings" $v.settings "policy" $v.policy "shadowPolicy" $v.shadowPolicy -}}
{{- $read := fromToml (default "" $text) -}}
{{- if hasKey $read "Error" }}{{ fail (printf "%s is not TOML: %v" $name (get $read "Error")) }}{{ end -}}
{{- end -}}
{{- if and $v.shadowPolicy (not $v.policy) }}{{ fail "shadowPolicy is set without policy: it is compared with the rules in force." }}{{ end -}}
{{- $settings := fromToml (default "" $v.settings) -}}
{{- $tables := splitList " " (include "broker.tables" .) -}}
{{- range $table := keys $settings | sortAlpha -}}
{{- if not (has $table $tables) }}{{ fail (printf "settings holds [%s], which is no setting. There are: %s." $table (join ", " $tables)) }}{{ end -}}
{{- end -}}
{{- range $path, $value := dict "environment" "environment" "server.public_url" "publicUrl" "server.listen" "the Service" "server.trusted_proxies" "trustedProxies" "server.dev_on_network" "environment" "server.drain_seconds" "drain.seconds" "server.drain_pause_ms" "drain.pauseSeconds" "server.admin_listen" "metrics.enabled" "store.url" "store.kind" "store.url_file" "store.kind" "store.key_encryption_key" "secrets" "store.replicas" "replicas" "telemetry.log_level" "logLevel" "telemetry.metrics" "metrics.enabled" "policy.file" "policy" "policy.shadow_file" "shadowPolicy" -}}
{{- $held := $settings -}}
{{- range splitList "." $path }}{{ if kindIs "map" $held }}{{ $held = get $held . }}{{ end }}{{ end -}}
{{- $given := or (ne $value "policy") $v.policy -}}
{{- $given = and $given (or (ne $value "shadowPolicy") $v.shadowPolicy) -}}
{{- if and $given (not (kindIs "map" $held)) (ne (toString $held) "") }}{{ fail (printf "settings holds %s, which would not count: this chart sets it from %s." $path $value) }}{{ end -}}
{{- end -}}
{{- range $name, $_ := $v.extraFiles -}}
{{- if has $name (list "broker.toml" "policy.toml" "policy.next.toml" "public.md" "confidential.md") }}{{ fail (printf "extraFiles.%s is a file of the chart's own: use the value that it is made from." $name) }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* The tables and keys of a settings file, as `broker config schema` has them. */}}
{{- define "broker.tables" -}}
approvals audit authorization_server documents environment graph limits outbound policy resource_server secrets server store telemetry tools upstream
{{- end -}}

{{/* Seconds of 30s or 2m. */}}
{{- define "broker.duration" -}}
{{- if hasSuffix "m" . }}{{ mul 60 (trimSuffix "m" . | int) }}{{ else }}{{ trimSuffix "s" . | int }}{{ end -}}
{{- end -}}

{{/* A quantity of Kubernetes as a plain number, to compare two of them; what is none comes back as it is. */}}
{{- define "broker.amount" -}}
{{- $text := toString . -}}
{{- $number := regexFind "^[0-9]+(\\.[0-9]+)?" $text -}}
{{- $unit := trimPrefix $number $text -}}
{{- $units := dict "" 1 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- if and $number (hasKey $units $unit) }}{{ printf "%f" (mulf (float64 $number) (get $units $unit)) }}{{ else }}no: {{ $text }}{{ end -}}
{{- end -}}
