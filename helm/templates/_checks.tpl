{{/* What the schema cannot say: values that do not go together, and what cannot be changed in a release that runs. All at once, each
with field, value and remedy. */}}
{{- define "quorate.check" -}}
{{- $problems := include "quorate.changeProblems" . | fromJsonArray -}}
{{- $nodes := .Values.nodes -}}
{{- $replicas := int $nodes.replicas -}}
{{- $members := len .Values.members -}}
{{- $required := int (include "quorate.required" .) -}}
{{- $fullname := include "quorate.fullname" . -}}
{{- $rule := printf "nodes.minSignatures %d" (int $nodes.minSignatures) -}}
{{- with $nodes.quorumFraction -}}{{- $rule = printf "%s, nodes.quorumFraction %v" $rule . -}}{{- end -}}

{{- with toString $nodes.quorumFraction -}}
  {{- if contains "/" . -}}
    {{- if ge (splitList "/" . | first | atoi) (splitList "/" . | last | atoi) -}}
      {{- $problems = append $problems (printf "nodes.quorumFraction: %s is not below 1, and no record has the signatures of more than all: write a part, like 2/3" .) -}}
      {{- $required = int $nodes.minSignatures -}}
    {{- end -}}
  {{- end -}}
{{- end -}}

{{- if eq $members 0 -}}
  {{- if lt $replicas $required -}}
    {{- $problems = append $problems (printf "nodes.replicas: %d is fewer than the %d signatures that a record needs (%s): raise it to %d, or lower nodes.minSignatures" $replicas $required $rule $required) -}}
  {{- end -}}
{{- else -}}
  {{- if lt $members $required -}}
    {{- $problems = append $problems (printf "members: lists %d, fewer than the %d signatures that a record needs (%s): list %d, or lower nodes.minSignatures" $members $required $rule $required) -}}
  {{- end -}}
  {{- $elsewhere := len ($nodes.peers | default list) -}}{{- $validators := 0 -}}{{- $names := list -}}{{- $addresses := list -}}
  {{- range .Values.members -}}
    {{- if .endpoint -}}{{- $elsewhere = add1 $elsewhere -}}{{- end -}}
    {{- if .validator -}}{{- $validators = add1 $validators -}}{{- end -}}
    {{- if has .name $names -}}{{- $problems = append $problems (printf "members: the name %s stands twice: list each member once" .name) -}}{{- end -}}
    {{- if has (lower .address) $addresses -}}{{- $problems = append $problems (printf "members: the address %s stands twice: list each member once" .address) -}}{{- end -}}
    {{- $names = append $names .name -}}{{- $addresses = append $addresses (lower .address) -}}
  {{- end -}}
  {{- /* Members elsewhere may also dial in, if they are let. */ -}}
  {{- if and (le $required $members) (lt (add $replicas $elsewhere | int) $required) (not .Values.networkPolicy.peersFrom) -}}
    {{- $problems = append $problems (printf "nodes.replicas: %d, and %d endpoints elsewhere, are fewer than the %d signatures that a record needs (%s): raise it to %d, or write the other members' endpoints" $replicas (int $elsewhere) $required $rule (sub $required $elsewhere)) -}}
  {{- end -}}
  {{- if and (gt (int $validators) 0) (gt (int $nodes.minValidators) (int $validators)) -}}
    {{- $problems = append $problems (printf "nodes.minValidators: %d is more than the %d validators of members: lower it, or mark more with validator: true" (int $nodes.minValidators) (int $validators)) -}}
  {{- end -}}
  {{- if $nodes.keys.existingSecret -}}
    {{- if gt $replicas $members -}}
      {{- $problems = append $problems (printf "nodes.replicas: %d is more than the %d of members, and each node must be one: list it, or lower nodes.replicas" $replicas $members) -}}
    {{- end -}}
  {{- else if and .Release.IsInstall (not (lookup "v1" "PersistentVolumeClaim" .Release.Namespace (printf "key-%s-node-0" $fullname))) -}}
    {{- $problems = append $problems "members: lists addresses of keys that the nodes have yet to make: give the keys in nodes.keys.existingSecret; or install with members: [], read the addresses in the nodes' logs (new key made), and upgrade with the list" -}}
  {{- end -}}
{{- end -}}
{{- if gt $required 128 -}}
  {{- $problems = append $problems (printf "nodes.quorumFraction: %v of %d asks for %d signatures, and a message carries at most 128: write less than 128/%d" $nodes.quorumFraction (max $members $replicas) $required (max $members $replicas)) -}}
{{- end -}}

{{- $keys := $nodes.keys -}}
{{- if $keys.existingSecret -}}
  {{/* Only if it is there already: a Secret may also come later, and the pods wait for it. */}}
  {{- with (lookup "v1" "Secret" .Release.Namespace $keys.existingSecret).data -}}
    {{- $entries := . -}}
    {{- range $pod := until $replicas -}}
      {{- $entry := printf "%s-node-%d" $fullname $pod -}}
      {{- if not (hasKey $entries $entry) -}}{{- $problems = append $problems (printf "nodes.keys.existingSecret: %s has no entry %s: add it, or lower nodes.replicas" $keys.existingSecret $entry) -}}{{- end -}}
    {{- end -}}
  {{- end -}}
{{- else if $keys.passwordKey -}}
  {{- $problems = append $problems (printf "nodes.keys.passwordKey: %s is an entry of no Secret: name it in nodes.keys.existingSecret" $keys.passwordKey) -}}
{{- end -}}

{{- $network := include "quorate.network" . -}}
{{- if gt (len $network) 32 -}}
  {{- $problems = append $problems (printf "network.name: %s makes %s, longer than 32 characters: shorten it to 22" .Values.network.name $network) -}}
{{- end -}}

{{- $write := int (include "quorate.milliseconds" $nodes.writeInterval) -}}
{{- if or (lt $write 1000) (gt $write 86400000) -}}
  {{- $problems = append $problems (printf "nodes.writeInterval: %s is out of range: write 1s to 24h" $nodes.writeInterval) -}}
{{- end -}}
{{- with $nodes.fetchInterval -}}
  {{- $fetch := int (include "quorate.milliseconds" .) -}}
  {{- if lt $fetch 1000 -}}
    {{- $problems = append $problems (printf "nodes.fetchInterval: %s is out of range: write at least 1s" .) -}}
  {{- else if gt $fetch $write -}}
    {{- $problems = append $problems (printf "nodes.fetchInterval: %s is longer than nodes.writeInterval %s: fetch at least once for each record, or leave it empty" . $nodes.writeInterval) -}}
  {{- end -}}
{{- end -}}
{{- $own := list "network" "api-listen" "api-rate-limit" "mdns" "network-secret-file" "write-interval" "min-signatures" "min-validators" "max-deviation-bps" "members" "key-file" "create-key" "database-url" "database-url-file" "database-read-url" "database-read-url-file" "log-level" "log-format" -}}
{{- range $nodes.extraArgs -}}
  {{- $option := regexFind "^--[^=]*" . | trimPrefix "--" -}}
  {{- if has $option $own -}}{{- $problems = append $problems (printf "nodes.extraArgs: --%s is given by the chart already, and a node takes it once: set the value that it comes from" $option) -}}{{- end -}}
{{- end -}}
{{- range $where := list .Values .Values.nodes .Values.postgres .Values.migrate .Values.archive .Values.exchange -}}
  {{- range list "name" "instance" "component" -}}
    {{- $label := printf "app.kubernetes.io/%s" . -}}
    {{- if hasKey ($where.podLabels | default dict) $label -}}{{- $problems = append $problems (printf "podLabels: %s is what Services find the pods by: leave it out" $label) -}}{{- end -}}
  {{- end -}}
{{- end -}}

{{- $sources := ternary 5 (len $nodes.sources) .Values.exchange.simulated -}}
{{- if gt (int ($nodes.minSources | default 0)) $sources -}}
  {{- $problems = append $problems (printf "nodes.minSources: %d is more than the %d of nodes.sources: lower it, or name more sources" (int $nodes.minSources) $sources) -}}
{{- end -}}

{{- if and $nodes.coingeckoKey.existingSecret (not .Values.exchange.simulated) -}}
  {{- if not (regexMatch "(^| )coingecko(=https://[^ ]*)?( |$)" (join " " $nodes.sources)) -}}
    {{- $problems = append $problems "nodes.coingeckoKey.existingSecret: is for a source that is not asked over https: add coingecko to nodes.sources, or leave it out" -}}
  {{- end -}}
{{- end -}}

{{- if not (include "quorate.ownsPostgres" .) -}}
  {{- $external := .Values.postgres.external -}}
  {{- if include "quorate.urlsAreSecret" . -}}
    {{- if $external.host -}}
      {{- $problems = append $problems "postgres.external.host: is given together with postgres.external.nodeUrl, which says where the database is too: keep one of them" -}}
    {{- end -}}
    {{- if and .Values.migrate.enabled (not $external.ownerUrl.secret) -}}
      {{- $problems = append $problems "postgres.external.ownerUrl.secret: is empty, and the migration needs the owner's URL: name its Secret, or set migrate.enabled: false and run quorate migrate yourself" -}}
    {{- end -}}
    {{- if and .Values.archive.enabled (not $external.ownerUrl.secret) -}}
      {{- $problems = append $problems "postgres.external.ownerUrl.secret: is empty, and only the owner can remove what was archived: name its Secret, or set archive.enabled: false" -}}
    {{- end -}}
  {{- else -}}
    {{- if not $external.host -}}
      {{- $problems = append $problems "postgres.external.host: is empty, and postgres.enabled is false: name the database's host, or let the chart bring one with postgres.enabled: true" -}}
    {{- end -}}
    {{- if not $external.existingSecret -}}
      {{- $problems = append $problems "postgres.external.existingSecret: is empty; name a Secret with the entries node-password and owner-password: kubectl create secret generic quorate-database --from-literal=node-password=… --from-literal=owner-password=…" -}}
    {{- end -}}
    {{- if and $external.caSecret (has $external.sslMode (list "disable" "prefer")) -}}
      {{- $problems = append $problems (printf "postgres.external.caSecret: %s is not looked at with postgres.external.sslMode %s: set verify-full, or verify-ca if the certificate is made out to another name" $external.caSecret $external.sslMode) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}

{{- with $problems -}}
{{- fail (printf "\n\n  %s\n" (join "\n  " .)) -}}
{{- end -}}
{{- end -}}
