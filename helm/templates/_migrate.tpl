{{/* The migration's pod. What it does follows from this and from the members, and so does the Job's name. */}}
{{- define "quorate.migrate" -}}
metadata:
  labels:
    {{- include "quorate.selector" (list . "migrate") | nindent 4 }}
spec:
  {{- include "quorate.pod" (list . 65532) | nindent 2 }}
  # Failed pods stay, and their logs with them.
  restartPolicy: Never
  {{- with include "quorate.scheduling" . }}
  {{- . | trim | nindent 2 }}
  {{- end }}
  containers:
    - name: migrate
      image: {{ include "quorate.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      {{- include "quorate.container" . | nindent 6 }}
      args:
        - migrate
        - --database-url={{ include "quorate.databaseUrl" (list . (include "quorate.owner" .)) }}
        - --database-password-file=/etc/quorate/database/owner-password
        - --node-password-file=/etc/quorate/database/node-password
        - --write-interval={{ .Values.nodes.writeInterval }}
        - --min-signatures={{ int .Values.nodes.minSignatures }}
        - --min-validators={{ int .Values.nodes.minValidators }}
        - --members={{ ternary "/etc/quorate/members/members.toml" "none" (gt (len .Values.members) 0) }}
        # It comes up together with Postgres.
        - --wait=5m
      resources:
        {{- toYaml .Values.migrate.resources | nindent 8 }}
      volumeMounts:
        {{- include "quorate.databaseMounts" . | nindent 8 }}
        {{- if .Values.members }}
        - name: members
          mountPath: /etc/quorate/members
          readOnly: true
        {{- end }}
  volumes:
    {{- include "quorate.databaseVolumes" (list . "owner-password" "node-password") | nindent 4 }}
    {{- if .Values.members }}
    - name: members
      configMap:
        name: {{ include "quorate.fullname" . }}-members
    {{- end }}
{{- end -}}
