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
{{- $digest := get $image.digests .target -}}
{{ $image.registry }}/{{ $image.repository }}-{{ .target }}{{ if $digest }}@{{ $digest }}{{ else }}:{{ $image.tag | default .root.Chart.AppVersion }}{{ end }}
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

{{- define "qonverge.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "qonverge.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* A pod of the operator's image that does one thing and ends: of (dict "root" . "name" NAME "arguments" LIST). Its labels are others
     than those of the operator's pods, which Services and tests find by them. */}}
{{- define "qonverge.task" -}}
{{- $root := .root -}}
serviceAccountName: {{ include "qonverge.fullname" $root }}-{{ .name }}
restartPolicy: Never
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- include "qonverge.podSecurity" $root | nindent 2 }}
containers:
  - name: {{ .name }}
    image: {{ include "qonverge.image" (dict "root" $root "target" "operator") | quote }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    command: [python, -m, {{ join ", " .arguments }}]
    resources:
      requests: {cpu: 100m, memory: 128Mi, ephemeral-storage: 16Mi}
      limits: {memory: 512Mi, ephemeral-storage: 64Mi}
    securityContext: {{- include "qonverge.containerSecurity" $root | nindent 6 }}
{{- with $root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "qonverge.taskLabels" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}-{{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end }}

{{- define "qonverge.defaultBackend.namespace" -}}
{{ .Values.defaultBackend.namespace | default .Release.Namespace }}
{{- end }}

{{/* What the Job of the CustomResourceDefinitions may do. A server-side apply has a name, so that its right to create is bound to it. */}}
{{- define "qonverge.rights.definitions" -}}
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  resourceNames: [hybridjobs.qonverge.io, quantumbackends.qonverge.io, quantumquotas.qonverge.io]
  verbs: [get, create, patch]
{{- end }}

{{- define "qonverge.rights.test" -}}
- {apiGroups: [qonverge.io], resources: [hybridjobs], verbs: [create]}
- {apiGroups: [qonverge.io], resources: [hybridjobs], resourceNames: ["{{ include "qonverge.fullname" . }}-test"], verbs: [get, delete]}
{{- end }}
