{{- define "qonverge.fullname" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 53 | trimSuffix "-" }}{{ else if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 53 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 53 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "qonverge.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "qonverge.labels" -}}
{{ include "qonverge.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "qonverge.image" -}}
{{- $image := .root.Values.image -}}
{{ $image.registry }}/{{ $image.repository }}-{{ .target }}:{{ $image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{- define "qonverge.lease" -}}
qonverge.{{ .Release.Namespace }}.{{ include "qonverge.fullname" . }}
{{- end }}

{{- define "qonverge.account" -}}
{{ .Values.serviceAccount.name | default (include "qonverge.fullname" .) }}
{{- end }}

{{- define "qonverge.subjects" -}}
subjects:
  - {kind: ServiceAccount, name: {{ include "qonverge.account" . }}, namespace: {{ .Release.Namespace }}}
{{- end }}

{{/* The stores for output as the operator reads them: JSON, with the folders where their volumes and Secrets are mounted. */}}
{{- define "qonverge.stores" -}}
{{- $stores := list -}}
{{- range .Values.output.stores -}}
{{- $store := omit . "persistentVolumeClaim" "secret" -}}
{{- if .persistentVolumeClaim -}}
{{- $store = set $store "folder" (printf "/var/lib/qonverge/stores/%s" .name) -}}
{{- end -}}
{{- if .secret -}}
{{- $store = set $store "credentials" (printf "/run/qonverge/stores/%s" .name) -}}
{{- end -}}
{{- $stores = append $stores $store -}}
{{- end -}}
{{- toJson $stores -}}
{{- end -}}
