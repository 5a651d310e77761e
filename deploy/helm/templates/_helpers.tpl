{{- define "broker.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "broker.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "broker.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "broker.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "broker.selector" -}}
app.kubernetes.io/name: {{ include "broker.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "broker.labels" -}}
{{ include "broker.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "broker.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- define "broker.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "broker.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The Secret that is mounted; empty where there is none. */}}
{{- define "broker.secret" -}}
{{- if .Values.externalSecrets.enabled -}}
{{- include "broker.fullname" . -}}
{{- else -}}
{{- .Values.secrets.existingSecret -}}
{{- end -}}
{{- end -}}

{{- define "broker.replicas" -}}
{{- if .Values.autoscaling.enabled }}{{ .Values.autoscaling.maxReplicas }}{{ else }}{{ .Values.replicas }}{{ end -}}
{{- end -}}

{{/* The files of the ConfigMap, whose checksum restarts the pods. */}}
{{- define "broker.files" -}}
broker.toml: |2
{{ default "# no settings of yours\n" .Values.settings | indent 2 }}
{{- if .Values.policy }}
policy.toml: |2
{{ .Values.policy | indent 2 }}
{{- end }}
{{- if .Values.shadowPolicy }}
policy.next.toml: |2
{{ .Values.shadowPolicy | indent 2 }}
{{- end }}
{{- range $name, $text := merge (dict) .Values.documents .Values.extraFiles }}
{{ $name }}: |2
{{ $text | indent 2 }}
{{- end }}
{{- end -}}

{{/* What every container of ours is: not root, nothing to write on, no capability. */}}
{{- define "broker.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "broker.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* How the kubelet asks: by TLS where the settings end it in the pod (`server.tls`, in whichever way TOML lets it be written). */}}
{{- define "broker.scheme" -}}
{{- $server := get (fromToml (default "" .Values.settings)) "server" -}}
{{- ternary "HTTPS" "HTTP" (and (kindIs "map" $server) (hasKey $server "tls")) -}}
{{- end -}}

{{/* Settings that the chart decides. Variables win over the settings file. */}}
{{- define "broker.environment" -}}
- name: BROKER_CONFIG
  value: /etc/broker/broker.toml
- name: MCP_AUTH_BROKER_ENVIRONMENT
  value: {{ .Values.environment | quote }}
- name: MCP_AUTH_BROKER_SERVER__LISTEN
  value: "0.0.0.0:8080"
{{- if eq .Values.environment "dev" }}
- name: MCP_AUTH_BROKER_SERVER__DEV_ON_NETWORK
  value: "true"
{{- end }}
- name: MCP_AUTH_BROKER_SERVER__PUBLIC_URL
  value: {{ .Values.publicUrl | quote }}
{{- with .Values.trustedProxies }}
- name: MCP_AUTH_BROKER_SERVER__TRUSTED_PROXIES
  value: {{ join "," . | quote }}
{{- end }}
- name: MCP_AUTH_BROKER_SERVER__DRAIN_PAUSE_MS
  value: {{ mul .Values.drain.pauseSeconds 1000 | quote }}
- name: MCP_AUTH_BROKER_SERVER__DRAIN_SECONDS
  value: {{ .Values.drain.seconds | quote }}
- name: MCP_AUTH_BROKER_TELEMETRY__LOG_LEVEL
  value: {{ .Values.logLevel | quote }}
{{- if .Values.metrics.enabled }}
- name: MCP_AUTH_BROKER_TELEMETRY__METRICS
  value: "true"
- name: MCP_AUTH_BROKER_SERVER__ADMIN_LISTEN
  value: "0.0.0.0:9090"
{{- end }}
{{- if .Values.policy }}
- name: MCP_AUTH_BROKER_POLICY__FILE
  value: /etc/broker/policy.toml
{{- end }}
{{- if .Values.shadowPolicy }}
- name: MCP_AUTH_BROKER_POLICY__SHADOW_FILE
  value: /etc/broker/policy.next.toml
{{- end }}
{{- if .Values.documents }}
- name: MCP_AUTH_BROKER_DOCUMENTS__DIR
  value: /etc/broker
{{- end }}
- name: MCP_AUTH_BROKER_STORE__REPLICAS
  value: {{ include "broker.replicas" . | quote }}
{{- if eq .Values.store.kind "postgres" }}
- name: MCP_AUTH_BROKER_STORE__URL_FILE
  value: /run/secrets/broker/store-url
{{- else }}
- name: MCP_AUTH_BROKER_STORE__URL
  value: sqlite:/var/lib/broker/broker-data/broker.db
{{- end }}
{{- if include "broker.secret" . }}
- name: MCP_AUTH_BROKER_STORE__KEY_ENCRYPTION_KEY
  value: file:/run/secrets/broker/key-encryption-key
{{- end }}
{{- end -}}

{{- define "broker.mounts" -}}
- name: settings
  mountPath: /etc/broker
  readOnly: true
- name: data
  mountPath: /var/lib/broker
- name: tmp
  mountPath: /tmp
{{- if include "broker.secret" . }}
- name: secrets
  mountPath: /run/secrets/broker
  readOnly: true
{{- end }}
{{- if .Values.workloadIdentity.azure }}
- name: azure-token
  mountPath: /var/run/secrets/azure/tokens
  readOnly: true
{{- end }}
{{- if .Values.workloadIdentity.vault }}
- name: vault-token
  mountPath: /var/run/secrets/vault
  readOnly: true
{{- end }}
{{- end -}}

{{/* All volumes but `settings` and `data`, which differ between the pods. */}}
{{- define "broker.volumes" -}}
- name: tmp
  emptyDir:
    medium: Memory
    sizeLimit: 16Mi
{{- with include "broker.secret" . }}
- name: secrets
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- if .Values.workloadIdentity.azure }}
- name: azure-token
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken:
          path: azure-identity-token
          audience: api://AzureADTokenExchange
          expirationSeconds: 3600
{{- end }}
{{- if .Values.workloadIdentity.vault }}
- name: vault-token
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken:
          path: token
          audience: {{ .Values.workloadIdentity.vaultAudience }}
          expirationSeconds: 3600
{{- end }}
{{- end -}}
