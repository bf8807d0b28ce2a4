{{/* Short enough that the longest name made of it, and the labels that Kubernetes makes of that, fit in 63. */}}
{{- define "quorate.fullname" -}}
{{- if contains "quorate" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-quorate" (.Release.Name | trunc 32 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{/* What selects a component's pods: the same in every version, for selectors cannot be changed. Takes (list $ COMPONENT). */}}
{{- define "quorate.selector" -}}
app.kubernetes.io/name: quorate
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
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

{{- define "quorate.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "quorate.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "quorate.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{/* What all pods have in common, by the restricted profile of the Pod Security Standards. Takes (list $ UID). */}}
{{- define "quorate.pod" -}}
{{- $root := index . 0 -}}
serviceAccountName: {{ include "quorate.serviceAccount" $root }}
# Nobody here talks to the cluster's API, and variables for each Service would only be noise.
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ index . 1 }}
  runAsGroup: {{ index . 1 }}
  fsGroup: {{ index . 1 }}
  # Not at each mount: the kubelet would make private files writable for the group, and a node rightly refuses such a key.
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
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

{{/* Named after namespace and release, or nodes of two releases in one cluster would find each other by multicast and count each
other. At most 22 characters then, so that "-simulated" fits into 32; longer names end in a hash of the whole. */}}
{{- define "quorate.network" -}}
{{- $name := .Values.network.name -}}
{{- if not $name -}}
  {{- $name = printf "%s-%s" .Release.Namespace (include "quorate.fullname" .) -}}
  {{- if gt (len $name) 22 -}}
    {{- $name = printf "%s-%s" ($name | trunc 15) (sha256sum $name | trunc 6) -}}
  {{- end -}}
{{- end -}}
{{- $name -}}{{- if .Values.exchange.simulated -}}-simulated{{- end -}}
{{- end -}}

{{/* Empty for a database that the chart does not bring. */}}
{{- define "quorate.ownsPostgres" -}}
{{- if and .Values.postgres.enabled (not .Values.postgres.external.host) }}true{{ end -}}
{{- end -}}

{{- define "quorate.databaseSecret" -}}
{{- if include "quorate.ownsPostgres" . -}}
{{ .Values.postgres.existingSecret | default (printf "%s-postgres" (include "quorate.fullname" .)) }}
{{- else -}}
{{ .Values.postgres.external.existingSecret }}
{{- end -}}
{{- end -}}

{{/* Without the password, which comes as a file. Takes (list $ USER). */}}
{{- define "quorate.databaseUrl" -}}
{{- $root := index . 0 -}}
{{- $user := index . 1 | urlquery -}}
{{- if include "quorate.ownsPostgres" $root -}}
postgres://{{ $user }}@{{ include "quorate.fullname" $root }}-postgres:5432/quorate?sslmode=disable
{{- else -}}
{{- $external := $root.Values.postgres.external -}}
postgres://{{ $user }}@{{ $external.host }}:{{ int $external.port }}/{{ $external.database | urlquery }}?sslmode={{ $external.sslMode }}
{{- if $external.caSecret }}&sslrootcert=/etc/quorate/ca/ca.crt{{ end }}
{{- end -}}
{{- end -}}

{{- define "quorate.owner" -}}
{{- if include "quorate.ownsPostgres" . }}quorate{{ else }}{{ .Values.postgres.external.ownerUser }}{{ end -}}
{{- end -}}

{{/* The volume with the passwords that are named, and nothing else of the Secret. Takes (list $ PASSWORD ...). */}}
{{- define "quorate.databaseVolumes" -}}
- name: database
  secret:
    secretName: {{ include "quorate.databaseSecret" (first .) }}
    defaultMode: 0440
    items:
      {{- range rest . }}
      - key: {{ . }}
        path: {{ . }}
      {{- end }}
{{- if not (include "quorate.ownsPostgres" (first .)) }}
{{- with (first .).Values.postgres.external.caSecret }}
- name: ca
  secret:
    secretName: {{ . }}
    items:
      - key: ca.crt
        path: ca.crt
{{- end }}
{{- end }}
{{- end -}}

{{- define "quorate.databaseMounts" -}}
- name: database
  mountPath: /etc/quorate/database
  readOnly: true
{{- if and (not (include "quorate.ownsPostgres" .)) .Values.postgres.external.caSecret }}
- name: ca
  mountPath: /etc/quorate/ca
  readOnly: true
{{- end }}
{{- end -}}

{{- define "quorate.networkSecret" -}}
{{ .Values.network.secret.existingSecret | default (printf "%s-network" (include "quorate.fullname" .)) }}
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

{{/* The ports outside the cluster, or unknown to us, that nodes are told to connect to: "TCP 443" and so on, a line each. */}}
{{- define "quorate.foreignPorts" -}}
{{- $ports := list -}}
{{- if not .Values.exchange.simulated -}}
  {{- range .Values.nodes.sources -}}
    {{- $port := regexFind "^[a-z]+=https?://[^/]*:[0-9]+" . | regexFind "[0-9]+$" -}}
    {{- $ports = append $ports (printf "TCP %s" ($port | default (ternary "80" "443" (contains "=http://" .)))) -}}
  {{- end -}}
{{- end -}}
{{- $endpoints := .Values.nodes.peers -}}
{{- range .Values.members -}}{{- with .endpoint -}}{{- $endpoints = append $endpoints . -}}{{- end -}}{{- end -}}
{{- range $endpoints -}}
  {{- $transport := regexFind "/(tcp|udp)/[0-9]+" . -}}
  {{- $ports = append $ports (printf "%s %s" (regexFind "[a-z]+" $transport | upper) (regexFind "[0-9]+" $transport)) -}}
{{- end -}}
{{- if not (include "quorate.ownsPostgres" .) -}}
  {{- $ports = append $ports (printf "TCP %d" (int .Values.postgres.external.port)) -}}
{{- end -}}
{{- $ports | uniq | sortAlpha | join "\n" -}}
{{- end -}}
