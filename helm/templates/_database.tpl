{{/* Empty for a database that the chart does not bring. */}}
{{- define "quorate.ownsPostgres" -}}
{{- $external := .Values.postgres.external -}}
{{- if and .Values.postgres.enabled (not $external.host) (not $external.nodeUrl.secret) }}true{{ end -}}
{{- end -}}

{{/* Empty unless the external database's address comes from Secrets too. */}}
{{- define "quorate.urlsAreSecret" -}}
{{- if and (not (include "quorate.ownsPostgres" .)) .Values.postgres.external.nodeUrl.secret }}true{{ end -}}
{{- end -}}

{{/* The Secret with the passwords. */}}
{{- define "quorate.databaseSecret" -}}
{{- if include "quorate.ownsPostgres" . -}}
{{ .Values.postgres.existingSecret | default (printf "%s-postgres" (include "quorate.fullname" .)) }}
{{- else -}}
{{ .Values.postgres.external.existingSecret }}
{{- end -}}
{{- end -}}

{{/* Four digits that follow from a password, slowly: enough to notice that it is another, too little to find it by. */}}
{{- define "quorate.fingerprint" -}}
{{- derivePassword 1 "pin" . "quorate" "owner-password" -}}
{{- end -}}

{{/* HOST:PORT, with a comma between several. An IPv6 address has its brackets, whether it was written with them or not. */}}
{{- define "quorate.externalHosts" -}}
{{- $external := .Values.postgres.external -}}
{{- $hosts := list -}}
{{- range ternary $external.host (splitList "," (toString $external.host)) (kindIs "slice" $external.host) -}}
  {{- $host := trim . -}}{{- $port := "" -}}
  {{- if hasPrefix "[" $host -}}
    {{- $port = regexFind "[0-9]*$" (regexFind "\\]:[0-9]+$" $host) -}}{{- $host = regexFind "^\\[[^]]*\\]" $host -}}
  {{- else if regexMatch ":.*:" $host -}}
    {{- $host = printf "[%s]" $host -}}
  {{- else if contains ":" $host -}}
    {{- $port = splitList ":" $host | last -}}{{- $host = splitList ":" $host | first -}}
  {{- end -}}
  {{- $hosts = append $hosts (printf "%s:%s" $host ($port | default (int $external.port | toString))) -}}
{{- end -}}
{{- join "," $hosts -}}
{{- end -}}

{{/* Where it is, for a user; without the password. Takes (list $ USER). */}}
{{- define "quorate.databaseUrl" -}}
{{- $root := index . 0 -}}
{{- $user := index . 1 | urlquery -}}
{{- if include "quorate.ownsPostgres" $root -}}
postgres://{{ $user }}@{{ include "quorate.fullname" $root }}-postgres:5432/quorate?sslmode=disable
{{- else -}}
{{- $external := $root.Values.postgres.external -}}
{{- $hosts := include "quorate.externalHosts" $root -}}
postgres://{{ $user }}@{{ $hosts }}/{{ $external.database | urlquery }}?sslmode={{ $external.sslMode }}
{{- if contains "," $hosts }}&target_session_attrs=read-write{{ end }}
{{- end -}}
{{- end -}}

{{- define "quorate.owner" -}}
{{- if include "quorate.ownsPostgres" . }}quorate{{ else }}{{ .Values.postgres.external.ownerUser }}{{ end -}}
{{- end -}}

{{/* The options that lead a program to the database. Takes (list $ ROLE), which is node or owner. */}}
{{- define "quorate.databaseOptions" -}}
{{- $root := index . 0 -}}
{{- $role := index . 1 -}}
{{- if include "quorate.urlsAreSecret" $root -}}
- --database-url-file=/etc/quorate/database/url
{{- else -}}
{{- $user := ternary "quorate_node" (include "quorate.owner" $root) (eq $role "node") -}}
{{- $url := include "quorate.databaseUrl" (list $root $user) -}}
{{- if and (not (include "quorate.ownsPostgres" $root)) $root.Values.postgres.external.caSecret -}}
{{- $url = printf "%s&sslrootcert=/etc/quorate/ca/ca.crt" $url -}}
{{- end -}}
- --database-url={{ $url }}
- --database-password-file=/etc/quorate/database/{{ $role }}-password
{{- end -}}
{{- end -}}

{{/* Empty unless the migration gives the nodes' role its password. */}}
{{- define "quorate.setsNodePassword" -}}
{{- if include "quorate.databaseSecret" . }}true{{ end -}}
{{- end -}}

{{/* The volumes with what leads a role to the database, and nothing else of the Secrets. Takes (list $ ROLE). */}}
{{- define "quorate.databaseVolumes" -}}
{{- $root := index . 0 -}}
{{- $role := index . 1 -}}
{{- $external := $root.Values.postgres.external -}}
- name: database
  secret:
    # Programs refuse secrets that others can read.
    defaultMode: 0440
    {{- if include "quorate.urlsAreSecret" $root }}
    {{- $url := ternary $external.nodeUrl $external.ownerUrl (eq $role "node") }}
    secretName: {{ $url.secret | quote }}
    items:
      - key: {{ $url.key | quote }}
        path: url
    {{- else }}
    secretName: {{ include "quorate.databaseSecret" $root | quote }}
    items:
      - key: {{ $role }}-password
        path: {{ $role }}-password
    {{- end }}
{{- if not (include "quorate.ownsPostgres" $root) }}
{{- with $external.caSecret }}
- name: ca
  secret:
    secretName: {{ . | quote }}
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

{{/* The ports of an external database, one a line. */}}
{{- define "quorate.databasePorts" -}}
{{- if include "quorate.urlsAreSecret" . -}}
{{ int .Values.postgres.external.port }}
{{- else -}}
{{- range splitList "," (include "quorate.externalHosts" .) }}{{ regexFind "[0-9]+$" . }}
{{ end -}}
{{- end -}}
{{- end -}}
