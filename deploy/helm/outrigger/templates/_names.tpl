{{- /* Of all that is here. */ -}}
{{- define "outrigger.image" -}}
{{- $image := .values.image -}}
{{- printf "%s:%s" $image.repository ($image.tag | default .appVersion | default "0.1.0") -}}
{{- end -}}

{{- /* (dict "context" . "name" NAME) */ -}}
{{- define "outrigger.labels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .context.Release.Name }}
app.kubernetes.io/managed-by: {{ .context.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .context.Chart.Name .context.Chart.Version }}
{{- end -}}

{{- define "outrigger.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "outrigger.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}
