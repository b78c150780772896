{{/* The labels by which lanyard's pods are found, those of deploy/kubernetes. They have no
release in them: there is one lanyard in a cluster, and a change from one way of
installing to the other must not meet a selector that cannot be changed. */}}
{{- define "lanyard.selector" -}}
app.kubernetes.io/name: lanyard
{{- end }}

{{/* https://helm.sh/docs/chart_best_practices/labels/ */}}
{{- define "lanyard.labels" -}}
{{ include "lanyard.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | replace "+" "_" | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | quote }}
{{- end }}

{{- define "lanyard.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "lanyard.mode" -}}
{{ .Values.config.mode | default "observe" }}
{{- end }}

{{/* Not empty if identity probes are asked for in the mode that makes them. */}}
{{- define "lanyard.probes" -}}
{{- if and (eq (include "lanyard.mode" .) "migrate") (dig "features" "identityProbe" false .Values.config) -}}
true
{{- end -}}
{{- end }}

{{/* Nine tenths of the memory limit, in the words of Go: what the limit counts is more than
Go's own. https://go.dev/doc/gc-guide#Memory_limit */}}
{{- define "lanyard.goMemLimit" -}}
{{- $limits := get (.Values.resources | default dict) "limits" | default dict -}}
{{- $limit := get $limits "memory" | toString -}}
{{- if hasSuffix "Gi" $limit -}}
{{ trimSuffix "Gi" $limit | float64 | mulf 921.6 | int }}MiB
{{- else if hasSuffix "Mi" $limit -}}
{{ trimSuffix "Mi" $limit | float64 | mulf 0.9 | int }}MiB
{{- end -}}
{{- end }}

{{/* A file that lanyard policy printed, for this place. */}}
{{- define "lanyard.printed" -}}
{{- $text := .root.Files.Get .file -}}
{{- if not $text }}{{ fail (printf "the chart has no %s" .file) }}{{ end -}}
{{ $text | replace "SERVICE_ACCOUNT" .root.Values.serviceAccount.name | replace "NAMESPACE" .root.Release.Namespace }}
{{- end }}
