{{- define "munjigi.name" -}}
{{- if contains "munjigi" .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-munjigi{{ end }}
{{- end }}

{{- define "munjigi.selector" -}}
app.kubernetes.io/name: munjigi
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "munjigi.labels" -}}
{{ include "munjigi.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}
