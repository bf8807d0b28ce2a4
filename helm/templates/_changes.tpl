{{/* What a running release, or what an uninstalled one has left, does not let be changed. The API would answer "Forbidden", or take the
change and end in pods that never start. Nothing is found without a cluster, as in `helm template`. A JSON list of sentences. */}}
{{- define "quorate.changeProblems" -}}
{{- $problems := list -}}
{{- $n := printf "-n %s" .Release.Namespace -}}
{{- $fullname := include "quorate.fullname" . -}}
{{- $nodes := lookup "apps/v1" "StatefulSet" .Release.Namespace (printf "%s-node" $fullname) -}}
{{- $keys := .Values.nodes.keys -}}

{{- if $nodes -}}
  {{- $claims := $nodes.spec.volumeClaimTemplates -}}
  {{- $orphan := printf "kubectl delete statefulset %s %s-node --cascade=orphan, and the same upgrade again" $n $fullname -}}
  {{- if and $claims $keys.existingSecret -}}
    {{- $problems = append $problems (printf "nodes.keys.existingSecret: the nodes have made keys of their own, in volumes, and with those of %s they are other nodes. If that is meant, list the new addresses in members first, where there are members; then %s" $keys.existingSecret $orphan) -}}
  {{- else if and (not $claims) (not $keys.existingSecret) -}}
    {{- $problems = append $problems (printf "nodes.keys.existingSecret: the nodes have their keys from a Secret, and without it they make new ones and are other nodes: name it again. Or, if that is meant: %s" $orphan) -}}
  {{- else if $claims -}}
    {{- $problems = concat $problems (include "quorate.volumeProblems" (list . (first $claims) $keys.storage "nodes.keys" "node" (int $nodes.spec.replicas)) | fromJsonArray) -}}
  {{- end -}}
{{- end -}}

{{- if include "quorate.ownsPostgres" . -}}
  {{- $postgres := lookup "apps/v1" "StatefulSet" .Release.Namespace (printf "%s-postgres" $fullname) -}}
  {{- $volume := lookup "v1" "PersistentVolumeClaim" .Release.Namespace (printf "data-%s-postgres-0" $fullname) -}}
  {{- $secret := lookup "v1" "Secret" .Release.Namespace (include "quorate.databaseSecret" .) -}}
  {{- $alter := printf "kubectl exec %s %s-postgres-0 -- psql -U quorate -c \"ALTER ROLE quorate PASSWORD '…'\"" $n $fullname -}}
  {{- if and $volume (not $secret) (not .Values.postgres.existingSecret) -}}
    {{- $problems = append $problems (printf "postgres.existingSecret: the volume data-%s-postgres-0 is there, and the Secret %s-postgres with its passwords is gone; new ones would not open it. Make a Secret with the entries owner-password and node-password, name it here, and when Postgres runs tell it the owner's: %s. Or, to begin anew without the records: kubectl delete pvc %s data-%s-postgres-0" $fullname $fullname $alter $n $fullname) -}}
  {{- end -}}
  {{- if $postgres -}}
    {{- $problems = concat $problems (include "quorate.volumeProblems" (list . (first $postgres.spec.volumeClaimTemplates) .Values.postgres.storage "postgres" "postgres" 1) | fromJsonArray) -}}

    {{- $told := index ($postgres.metadata.annotations | default dict) "quorate/owner-password" -}}
    {{- with index ($secret.data | default dict) "owner-password" -}}
      {{- if and $told (ne $told (include "quorate.fingerprint" .)) -}}
        {{- $problems = append $problems (printf "postgres.existingSecret: the owner-password in the Secret %s is not the one that the database has. Tell the database:\n    %s\n    kubectl annotate statefulset %s %s-postgres quorate/owner-password-\n  and the same upgrade again" $secret.metadata.name $alter $n $fullname) -}}
      {{- end -}}
    {{- end -}}

    {{- $now := (first $postgres.spec.template.spec.containers).image | splitList "@" | first | splitList "/" | last | regexFind ":[0-9]+" -}}
    {{- $wanted := regexFind "^[0-9]+" .Values.postgres.image.tag | printf ":%s" -}}
    {{- if and (ne $now "") (ne $wanted ":") (ne $now $wanted) -}}
      {{- $problems = append $problems (printf "postgres.image.tag: %s, and the volume was made by Postgres %s: another major version cannot read it. Keep the records with kubectl exec %s %s-postgres-0 -- pg_dump -U quorate quorate >records.sql, install a release with a new volume, and restore them there" .Values.postgres.image.tag (trimPrefix ":" $now) $n $fullname) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}

{{- if and .Values.members $nodes -}}
  {{- $listed := lookup "v1" "ConfigMap" .Release.Namespace (printf "%s-members" $fullname) -}}
  {{- if $listed -}}
    {{- /* Who may be there when the list changes: members that stay, those with an endpoint, and nodes that this upgrade adds. */ -}}
    {{- $alive := max 0 (sub (int .Values.nodes.replicas) (int $nodes.spec.replicas)) -}}{{- $kept := 0 -}}
    {{- $before := index $listed.data "members.toml" | lower -}}
    {{- range .Values.members -}}
      {{- if contains (lower .address) $before -}}{{- $kept = add1 $kept -}}{{- $alive = add1 $alive -}}
      {{- else if .endpoint -}}{{- $alive = add1 $alive -}}{{- end -}}
    {{- end -}}
    {{- $required := int (include "quorate.required" .) -}}
    {{- if and (lt (int $alive) $required) (ge (len .Values.members) $required) (not .Values.networkPolicy.peersFrom) -}}
      {{- $problems = append $problems (printf "members: keeps %d of the members that there are, and a record needs %d signatures: no quorum would be left. Change the list in steps: add new members, and remove others when those have joined" (int $kept) $required) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}

{{- toJson $problems -}}
{{- end -}}

{{/* A volume is as the first install made it. Takes (list $ CLAIM_TEMPLATE STORAGE FIELD COMPONENT REPLICAS). */}}
{{- define "quorate.volumeProblems" -}}
{{- $root := index . 0 -}}{{- $claim := index . 1 -}}{{- $storage := index . 2 -}}{{- $field := index . 3 -}}
{{- $workload := printf "%s-%s" (include "quorate.fullname" $root) (index . 4) -}}
{{- $n := printf "-n %s" $root.Release.Namespace -}}
{{- $problems := list -}}
{{- $size := $claim.spec.resources.requests.storage -}}
{{- $now := int64 (include "quorate.bytes" $size) -}}
{{- $wanted := int64 (include "quorate.bytes" $storage.size) -}}
{{- if lt $wanted $now -}}
  {{- $problems = append $problems (printf "%s.storage.size: %s is less than the %s that the volume was made with, and a volume does not shrink: write %s" $field $storage.size $size $size) -}}
{{- else if gt $wanted $now -}}
  {{- $patches := list -}}
  {{- range until (index . 5) -}}
    {{- $patches = append $patches (printf "kubectl patch pvc %s %s-%s-%d -p '{\"spec\":{\"resources\":{\"requests\":{\"storage\":\"%s\"}}}}'" $n $claim.metadata.name $workload . $storage.size) -}}
  {{- end -}}
  {{- $problems = append $problems (printf "%s.storage.size: %s, and the volume was made with %s; a StatefulSet does not grow it by itself. If its StorageClass has allowVolumeExpansion, run\n    %s\n    kubectl delete statefulset %s %s --cascade=orphan\n  and the same upgrade again: pods and records stay" $field $storage.size $size (join "\n    " $patches) $n $workload) -}}
{{- end -}}
{{- $class := $claim.spec.storageClassName | default "" -}}
{{- if ne $class $storage.storageClass -}}
  {{- $problems = append $problems (printf "%s.storage.storageClass: %q, and the volume was made with %q; what is in it does not move by itself: write that again, or install another release and restore a dump there" $field $storage.storageClass $class) -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{/* A quantity of storage in bytes: 4Gi and 4096Mi are the same. */}}
{{- define "quorate.bytes" -}}
{{- $units := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 -}}
{{- $text := toString . -}}
{{- mulf (regexFind "^[0-9.]+" $text | float64) (get $units (regexFind "[A-Za-z]*$" $text)) | int64 -}}
{{- end -}}
