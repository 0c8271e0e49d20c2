{{/* Generated from operator/qonverge/api by `make generate`; edit the registry instead. */}}
{{- define "qonverge.rights.watch" -}}
- {apiGroups: [qonverge.io], resources: [quantumbackends], verbs: [list, watch, create, patch, delete]}
- {apiGroups: [qonverge.io], resources: [quantumbackends/status], verbs: [patch]}
- {apiGroups: [qonverge.io], resources: [hybridjobs], verbs: [get, list, watch, patch, delete]}
- {apiGroups: [qonverge.io], resources: [hybridjobs/status], verbs: [patch]}
- {apiGroups: [qonverge.io], resources: [quantumquotas], verbs: [list, watch]}
- {apiGroups: [qonverge.io], resources: [quantumquotas/status], verbs: [patch]}
- {apiGroups: [apps], resources: [deployments], verbs: [list, watch]}
- {apiGroups: [apps], resources: [replicasets], verbs: [list, watch]}
- {apiGroups: [batch], resources: [jobs], verbs: [list, watch]}
- {apiGroups: [""], resources: [services], verbs: [list, watch]}
- {apiGroups: [""], resources: [pods], verbs: [list, watch]}
- {apiGroups: [""], resources: [events], verbs: [create]}
{{- end }}
{{- define "qonverge.rights.make" -}}
- {apiGroups: [apps], resources: [deployments], verbs: [create, patch]}
- {apiGroups: [batch], resources: [jobs], verbs: [create, patch, delete]}
- {apiGroups: [""], resources: [services], verbs: [create, patch, delete]}
- {apiGroups: [""], resources: [secrets], verbs: [create, patch, delete]}
- {apiGroups: [""], resources: [configmaps], verbs: [get, create, patch]}
- {apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: [create, patch, delete]}
- {apiGroups: [""], resources: [pods], verbs: [patch]}
- {apiGroups: [""], resources: [pods/log], verbs: [get]}
- {apiGroups: [""], resources: [events], verbs: [list]}
{{- end }}
{{- define "qonverge.rights.cluster" -}}
- {apiGroups: [""], resources: [namespaces], verbs: [list]}
- {apiGroups: [scheduling.k8s.io], resources: [priorityclasses], verbs: [list]}
{{- end }}
{{- define "qonverge.rights.people" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ include "qonverge.fullname" . }}-quantumbackend-viewer
  labels:
    {{- include "qonverge.labels" . | nindent 4 }}
    rbac.authorization.k8s.io/aggregate-to-view: "true"
rules:
  - {apiGroups: [qonverge.io], resources: [quantumbackends], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ include "qonverge.fullname" . }}-quantumbackend-editor
  labels:
    {{- include "qonverge.labels" . | nindent 4 }}
    rbac.authorization.k8s.io/aggregate-to-edit: "true"
    rbac.authorization.k8s.io/aggregate-to-admin: "true"
rules:
  - {apiGroups: [qonverge.io], resources: [quantumbackends], verbs: [get, list, watch, create, update, patch, delete, deletecollection]}
  - {apiGroups: [qonverge.io], resources: [quantumbackends/scale], verbs: [get, update, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ include "qonverge.fullname" . }}-hybridjob-viewer
  labels:
    {{- include "qonverge.labels" . | nindent 4 }}
    rbac.authorization.k8s.io/aggregate-to-view: "true"
rules:
  - {apiGroups: [qonverge.io], resources: [hybridjobs], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ include "qonverge.fullname" . }}-hybridjob-editor
  labels:
    {{- include "qonverge.labels" . | nindent 4 }}
    rbac.authorization.k8s.io/aggregate-to-edit: "true"
    rbac.authorization.k8s.io/aggregate-to-admin: "true"
rules:
  - {apiGroups: [qonverge.io], resources: [hybridjobs], verbs: [get, list, watch, create, update, patch, delete, deletecollection]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ include "qonverge.fullname" . }}-quantumquota-viewer
  labels:
    {{- include "qonverge.labels" . | nindent 4 }}
    rbac.authorization.k8s.io/aggregate-to-view: "true"
rules:
  - {apiGroups: [qonverge.io], resources: [quantumquotas], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ include "qonverge.fullname" . }}-quantumquota-editor
  labels:
    {{- include "qonverge.labels" . | nindent 4 }}
rules:
  - {apiGroups: [qonverge.io], resources: [quantumquotas], verbs: [get, list, watch, create, update, patch, delete, deletecollection]}
{{- end }}
