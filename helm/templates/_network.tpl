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

{{- define "quorate.networkSecret" -}}
{{ .Values.network.secret.existingSecret | default (printf "%s-network" (include "quorate.fullname" .)) }}
{{- end -}}

{{/* Where a server listens that all of the cluster may ask: on Linux [::] takes IPv4 too. Takes (list $ PORT). */}}
{{- define "quorate.listen" -}}
{{ ternary "[::]" "0.0.0.0" (index . 0).Values.network.ipv6 }}:{{ index . 1 }}
{{- end -}}

{{/* The ports of exchanges and peers outside of this release, one a line. */}}
{{- define "quorate.foreignPorts" -}}
{{- $ports := list -}}
{{- if not .Values.exchange.simulated -}}
  {{- range .Values.nodes.sources -}}
    {{- $port := regexFind "^[a-z]+=https?://[^/]*" . | regexFind ":[0-9]+$" | trimPrefix ":" -}}
    {{- $ports = append $ports ($port | default (ternary "80" "443" (contains "=http://" .))) -}}
  {{- end -}}
{{- end -}}
{{- $endpoints := .Values.nodes.peers | default list -}}
{{- range .Values.members -}}{{- with .endpoint -}}{{- $endpoints = append $endpoints . -}}{{- end -}}{{- end -}}
{{- range $endpoints -}}
  {{- $ports = append $ports (regexFind "/tcp/[0-9]+" . | trimPrefix "/tcp/") -}}
{{- end -}}
{{- $ports | uniq | sortAlpha | join "\n" -}}
{{- end -}}

{{/* What every pod that uses the database may connect to: the database, and what knows its name. */}}
{{- define "quorate.egress" -}}
# DNS, wherever a cluster has it; on some its pods listen on 5353, which is multicast DNS as well.
- ports:
    {{- range list 53 5353 }}
    - port: {{ . }}
      protocol: UDP
    - port: {{ . }}
      protocol: TCP
    {{- end }}
{{- if include "quorate.ownsPostgres" . }}
- to:
    - podSelector:
        matchLabels:
          {{- include "quorate.selector" (list . "postgres") | nindent 10 }}
  ports:
    - port: 5432
      protocol: TCP
{{- else }}
# A database elsewhere: a policy knows no names, so to anywhere.
- ports:
    {{- range include "quorate.databasePorts" . | trim | splitList "\n" | uniq }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
{{- end }}
{{- end -}}
