{{/* Generated from operator/qonverge/api by `make generate`; edit the registry instead. */}}
{{- define "qonverge.rights.operator" -}}
- {apiGroups: [qonverge.io], resources: [quantumbackends], verbs: [get, list, watch, create, patch, delete]}
- {apiGroups: [qonverge.io], resources: [quantumbackends/status], verbs: [patch]}
- {apiGroups: [qonverge.io], resources: [hybridjobs], verbs: [get, list, watch, patch, delete]}
- {apiGroups: [qonverge.io], resources: [hybridjobs/status], verbs: [patch]}
- {apiGroups: [qonverge.io], resources: [quantumquotas], verbs: [list, watch]}
- {apiGroups: [qonverge.io], resources: [quantumquotas/status], verbs: [patch]}
- {apiGroups: [apps], resources: [deployments], verbs: [list, watch, create, patch]}
- {apiGroups: [apps], resources: [replicasets], verbs: [list, watch]}
- {apiGroups: [batch], resources: [jobs], verbs: [list, watch, create, patch, delete]}
- {apiGroups: [""], resources: [services], verbs: [list, watch, create, patch, delete]}
- {apiGroups: [""], resources: [secrets], verbs: [create, patch, delete]}
- {apiGroups: [""], resources: [configmaps], verbs: [get, create, patch]}
- {apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: [create, patch, delete]}
- {apiGroups: [""], resources: [pods], verbs: [list, watch, patch]}
- {apiGroups: [""], resources: [pods/log], verbs: [get]}
- {apiGroups: [""], resources: [events], verbs: [list, create]}
{{- end }}
{{- define "qonverge.rights.cluster" -}}
- {apiGroups: [""], resources: [namespaces], verbs: [list]}
- {apiGroups: [scheduling.k8s.io], resources: [priorityclasses], verbs: [list]}
{{- end }}
{{- define "qonverge.rights.view" -}}
- {apiGroups: [qonverge.io], resources: [quantumbackends], verbs: [get, list, watch]}
- {apiGroups: [qonverge.io], resources: [hybridjobs], verbs: [get, list, watch]}
- {apiGroups: [qonverge.io], resources: [quantumquotas], verbs: [get, list, watch]}
{{- end }}
{{- define "qonverge.rights.edit" -}}
- {apiGroups: [qonverge.io], resources: [quantumbackends], verbs: [create, update, patch, delete, deletecollection]}
- {apiGroups: [qonverge.io], resources: [hybridjobs], verbs: [create, update, patch, delete, deletecollection]}
- {apiGroups: [qonverge.io], resources: [quantumbackends/scale], verbs: [get, update, patch]}
{{- end }}
