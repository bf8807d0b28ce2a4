{{/* What a node is told, and its check before it: the options, the variables, and the files that they name. */}}
{{- define "quorate.nodeOptions" -}}
{{- $nodes := .Values.nodes -}}
{{- $keys := $nodes.keys -}}
{{- $coingeckoKey := ternary "" $nodes.coingeckoKey.existingSecret .Values.exchange.simulated -}}
{{- $fullname := include "quorate.fullname" . -}}
- --network={{ include "quorate.network" . }}
# Both families: a pod's address is of the one or the other, or it has two.
- --listen=/ip4/0.0.0.0/tcp/5000
{{- if .Values.network.ipv6 }}
- --listen=/ip6/::/tcp/5000
{{- end }}
- --api-listen={{ include "quorate.listen" (list . 8080) }}
- --api-rate-limit={{ $nodes.apiRateLimit }}
# Without the cluster's domain, which need not be cluster.local: the pod's resolver adds it.
- --dns-peers={{ $fullname }}-nodes.{{ .Release.Namespace }}.svc:5000
- --mdns={{ .Values.network.mdns }}
{{- range $nodes.peers }}
- --peer={{ . }}
{{- end }}
{{- if .Values.network.secret.enabled }}
- --network-secret-file=/etc/quorate/network/network-secret
{{- end }}
{{- range $nodes.feeds }}
- --feed={{ . }}
{{- end }}
{{- if .Values.exchange.simulated }}
{{- range list "coinbase" "kraken" "bitstamp" "gemini" "coingecko" }}
- --source={{ . }}=http://{{ $fullname }}-exchange:8100
{{- end }}
{{- else }}
{{- range $nodes.sources }}
- --source={{ . }}
{{- end }}
{{- end }}
{{- with $nodes.minSources }}
- --min-sources={{ int . }}
{{- end }}
- --write-interval={{ $nodes.writeInterval }}
{{- with $nodes.fetchInterval }}
- --fetch-interval={{ . }}
{{- end }}
- --min-signatures={{ int $nodes.minSignatures }}
{{- with $nodes.quorumFraction }}
- --quorum-fraction={{ . }}
{{- end }}
- --min-validators={{ int $nodes.minValidators }}
- --max-deviation-bps={{ int $nodes.maxDeviationBps }}
- --max-move-bps={{ int $nodes.maxMoveBps }}
{{- if $coingeckoKey }}
- --coingecko-key-file=/etc/quorate/coingecko/key
{{- end }}
{{- if .Values.members }}
- --members=/etc/quorate/members/members.toml
{{- end }}
{{- if $keys.existingSecret }}
- --key-file=/etc/quorate/key
{{- if $keys.passwordKey }}
- --key-password-file=/etc/quorate/key-password
{{- end }}
{{- else }}
- --key-file=/var/lib/quorate/key
- --create-key=true
{{- end }}
{{- include "quorate.databaseOptions" (list . "node") | nindent 0 }}
{{- if .Values.postgres.external.readUrl.secret }}
- --database-read-url-file=/etc/quorate/database-read/url
{{- end }}
- --log-level={{ $nodes.logLevel }}
- --log-format={{ $nodes.logFormat }}
{{- range $nodes.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "quorate.nodeFiles" -}}
{{- $nodes := .Values.nodes -}}
{{- $keys := $nodes.keys -}}
{{- $coingeckoKey := ternary "" $nodes.coingeckoKey.existingSecret .Values.exchange.simulated -}}
{{- if or $keys.existingSecret $nodes.extraEnv }}
env:
  {{- if $keys.existingSecret }}
  - name: POD_NAME
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
  {{- end }}
  {{- with $nodes.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
volumeMounts:
  {{- include "quorate.databaseMounts" . | nindent 2 }}
  {{- if .Values.postgres.external.readUrl.secret }}
  - name: database-read
    mountPath: /etc/quorate/database-read
    readOnly: true
  {{- end }}
  {{- if .Values.network.secret.enabled }}
  - name: network
    mountPath: /etc/quorate/network
    readOnly: true
  {{- end }}
  {{- if .Values.members }}
  # A folder, not a file of it: so that changes arrive.
  - name: members
    mountPath: /etc/quorate/members
    readOnly: true
  {{- end }}
  {{- if $coingeckoKey }}
  # A folder, not a file of it: so that a new key arrives.
  - name: coingecko
    mountPath: /etc/quorate/coingecko
    readOnly: true
  {{- end }}
  {{- if $keys.existingSecret }}
  # Its own entry alone: no node sees another's key.
  - name: keys
    mountPath: /etc/quorate/key
    subPathExpr: $(POD_NAME)
    readOnly: true
  {{- with $keys.passwordKey }}
  - name: keys
    mountPath: /etc/quorate/key-password
    subPath: {{ . | quote }}
    readOnly: true
  {{- end }}
  {{- else }}
  - name: key
    mountPath: /var/lib/quorate
  {{- end }}
{{- end -}}
