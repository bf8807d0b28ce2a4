{{/* The release's name, if it can name a Service: a letter first, then letters, digits and dashes. Helm allows dots and a leading digit
too; such a name is made fit, and so is one that is too long, and a hash of the whole keeps two releases apart. At most 40 characters:
the longest name made of it, and the labels that Kubernetes makes of that, fit in 63. */}}
{{- define "quorate.fullname" -}}
{{- $name := ternary .Release.Name (printf "%s-quorate" .Release.Name) (contains "quorate" .Release.Name) -}}
{{- if and (le (len $name) 40) (regexMatch "^[a-z][a-z0-9-]*$" $name) -}}
{{- $name -}}
{{- else -}}
{{- $fit := regexReplaceAll "^([0-9])" (replace "." "-" $name) "n${1}" -}}
{{- printf "%s-%s" ($fit | trunc 33 | trimSuffix "-") (sha256sum .Release.Name | trunc 6) -}}
{{- end -}}
{{- end -}}

{{/* What selects a component's pods: the same in every version, for selectors cannot be changed. Takes (list $ COMPONENT). */}}
{{- define "quorate.selector" -}}
app.kubernetes.io/name: quorate
app.kubernetes.io/instance: {{ (index . 0).Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* All labels of an object. Pods have those of the selector alone: a new chart version is no reason to restart them. */}}
{{- define "quorate.labels" -}}
{{- $root := index . 0 -}}
{{ include "quorate.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* A pod's labels and annotations: what selects it, and what the values give to all pods and to this component's. Takes
(list $ COMPONENT VALUES). */}}
{{- define "quorate.podMetadata" -}}
{{- $root := index . 0 -}}
{{- $own := index . 2 -}}
labels:
  {{- include "quorate.selector" . | nindent 2 }}
  {{- with mergeOverwrite (dict) ($root.Values.podLabels | default dict) ($own.podLabels | default dict) }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with mergeOverwrite (dict) ($root.Values.podAnnotations | default dict) ($own.podAnnotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* REPOSITORY:TAG, or the bytes that a digest names, whatever the tag says. Takes (list VALUES DEFAULT_TAG). */}}
{{- define "quorate.imageOf" -}}
{{- $image := index . 0 -}}
{{- if $image.digest -}}
{{ $image.repository }}{{ with $image.tag }}:{{ . }}{{ end }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default (index . 1) }}
{{- end -}}
{{- end -}}

{{- define "quorate.image" -}}
{{ include "quorate.imageOf" (list .Values.image .Chart.AppVersion) }}
{{- end -}}

{{- define "quorate.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "quorate.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{/* What all pods have in common. Takes (list $ SECURITY_CONTEXT UID), where UID is the number that values.yaml gives it. */}}
{{- define "quorate.pod" -}}
{{- $root := index . 0 -}}
{{- $uid := int (index . 2) -}}
{{- $assigns := $root.Capabilities.APIVersions.Has "security.openshift.io/v1" -}}
serviceAccountName: {{ include "quorate.serviceAccount" $root | quote }}
# Nobody here talks to the cluster's API, and variables for each Service would only be noise.
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- range $key, $value := index . 1 }}
  {{- $isNumber := has $key (list "runAsUser" "runAsGroup" "fsGroup") }}
  {{- if and (not (kindIs "invalid" $value)) (not (and $assigns $isNumber (eq $uid (int $value)))) }}
  {{- toYaml (dict $key $value) | nindent 2 }}
  {{- end }}
  {{- end }}
{{- end -}}

{{- define "quorate.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
# The last lines of the log stand in the pod's status when it fails: `kubectl describe` shows why.
terminationMessagePolicy: FallbackToLogsOnError
{{- end -}}

{{/* Where our own short-lived pods run. */}}
{{- define "quorate.scheduling" -}}
{{- with .Values.nodes.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodes.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A duration in milliseconds. */}}
{{- define "quorate.milliseconds" -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- mul (trimSuffix $unit . | atoi) (get (dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000) $unit) -}}
{{- end -}}

{{/* The signatures that a record needs, as the nodes count: more than the fraction, and the minimum at least. */}}
{{- define "quorate.required" -}}
{{- $nodes := .Values.nodes -}}
{{- $required := int $nodes.minSignatures -}}
{{- with toString $nodes.quorumFraction -}}
  {{- $above := 0 -}}{{- $below := 1 -}}
  {{- if contains "/" . -}}
    {{- $above = splitList "/" . | first | atoi -}}{{- $below = splitList "/" . | last | atoi -}}
  {{- else if contains "." . -}}
    {{- $decimals := splitList "." . | last -}}
    {{- $above = atoi $decimals -}}{{- range until (len $decimals) -}}{{- $below = mul $below 10 -}}{{- end -}}
  {{- end -}}
  {{- $count := len $.Values.members | default (int $nodes.replicas) -}}
  {{- $required = max $required (add1 (div (mul $count $above) (max 1 $below))) -}}
{{- end -}}
{{- $required -}}
{{- end -}}

{{- define "quorate.membersToml" -}}
{{- range .Values.members -}}
[[member]]
name = {{ .name | quote }}
address = {{ .address | quote }}
{{- with .endpoint }}
endpoint = {{ . | quote }}
{{- end }}
{{- if .validator }}
validator = true
{{- end }}

{{ end -}}
{{- end -}}
