{{/* The migration's pod. What it does follows from this and from the members, and so does the Job's name. */}}
{{- define "quorate.migrate" -}}
metadata:
  {{- include "quorate.podMetadata" (list . "migrate" .Values.migrate) | nindent 2 }}
spec:
  {{- include "quorate.pod" (list . .Values.podSecurityContext 65532) | nindent 2 }}
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
        {{- include "quorate.databaseOptions" (list . "owner") | nindent 8 }}
        {{- if include "quorate.setsNodePassword" . }}
        - --node-password-file=/etc/quorate/node/node-password
        {{- end }}
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
        {{- if include "quorate.setsNodePassword" . }}
        - name: node-password
          mountPath: /etc/quorate/node
          readOnly: true
        {{- end }}
        {{- if .Values.members }}
        - name: members
          mountPath: /etc/quorate/members
          readOnly: true
        {{- end }}
  volumes:
    {{- include "quorate.databaseVolumes" (list . "owner") | nindent 4 }}
    {{- if include "quorate.setsNodePassword" . }}
    - name: node-password
      secret:
        defaultMode: 0440
        secretName: {{ include "quorate.databaseSecret" . | quote }}
        items:
          - key: node-password
            path: node-password
    {{- end }}
    {{- if .Values.members }}
    - name: members
      configMap:
        name: {{ include "quorate.fullname" . }}-members
    {{- end }}
{{- end -}}
