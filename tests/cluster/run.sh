#!/usr/bin/env bash
# Installs the chart on the cluster that kubectl points at, disturbs it in the ways that happen to clusters, and prints a table: what
# was promised, and what came of it. Ends by itself within 40 minutes and removes what it made, namespaces of its own.
# usage: tests/cluster/run.sh [HELM OPTIONS ...]     such as --set postgres.storage.storageClass=fast
#   IMAGE=quorate:0.1.0     the image; built from this checkout unless BUILD=0
#   BUILD_OPTIONS=…         more options for the build
#   LOAD='COMMAND'          brings an image's tar, its last argument, into the cluster; by default `minikube image load` where
#                           minikube runs, else nothing: the cluster has the image, or pulls it
#   KEEP=1                  leaves the release where it is
# It needs kubectl, helm, python3 and, to build, docker or podman.
set -euo pipefail
cd "$(dirname "$0")/../.."
readonly WINDOW=30 MOST_SECONDS=2400
IMAGE=${IMAGE:-quorate:$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)}
POSTGRES=$(sed -nE 's/^ *image: +(postgres:[^ ]+).*/\1/p' compose.yaml | head -n 1)
ns=quorate-test-$$ release=quorate options=("$@")
work=$(mktemp -d)
mkdir "$work/logs"
export PYTHONDONTWRITEBYTECODE=1
. tests/cluster/lib.sh
. tests/cluster/disk.sh

finish() {
  local code=$?
  trap - EXIT
  # What has ended already is no error.
  { echo "${follower:-}"; cat "$work/followers"; } 2>/dev/null | xargs -r kill 2>/dev/null || true
  if [ "${KEEP:-}" = 1 ]; then
    echo "kept: namespace $ns, logs and records in $work"
  else
    kubectl delete namespace "$ns" --ignore-not-found --wait=true --timeout=120s >/dev/null 2>&1 || true
    remove_disk
    rm -rf "$work"
  fi
  exit "$code"
}
trap finish EXIT
trap 'exit 1' INT TERM

kubectl create namespace "$ns" >/dev/null
k label namespace "$ns" pod-security.kubernetes.io/enforce=restricted >/dev/null 2>&1 || true
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check eth-account==0.14.0

if [ "${BUILD:-1}" = 1 ]; then
  . tests/image/engine
  # What podman builds has this before its name, in the cluster too.
  if [ "$engine" = podman ] && [ "$IMAGE" = "${IMAGE#*/}" ]; then IMAGE=localhost/$IMAGE; fi
  # shellcheck disable=SC2086  # options are words
  "$engine" build ${BUILD_OPTIONS:-} -t "$IMAGE" . >"$work/build.log" 2>&1 || { tail -n 40 "$work/build.log" >&2; exit 1; }
  if [ -z "${LOAD:-}" ] && command -v minikube >/dev/null && minikube status >/dev/null 2>&1; then LOAD="minikube image load"; fi
  if [ -n "${LOAD:-}" ]; then "$engine" save -o "$work/image.tar" "$IMAGE" >/dev/null 2>&1; $LOAD "$work/image.tar" >/dev/null; fi
fi

row "" "what" "figure"; row "-------" "---" "---"
values=(--set "image.repository=${IMAGE%:*}" --set "image.tag=${IMAGE##*:}" --set exchange.simulated=true "${options[@]}")
waiting=(--wait --wait-for-jobs)
within 60 k get serviceaccount/default configmap/kube-root-ca.crt
everything >"$work/everything"
install() {
  local began=$SECONDS
  h install "$release" ./helm "${values[@]}" "${waiting[@]}" --timeout 90s || { k get pods >&2; return 1; }
  echo "$((SECONDS - began)) s"
}
follow & follower=$!
check "helm install --wait --wait-for-jobs, in under 90 s" install
first_record() {
  within 15 has_records 1 || return 1
  k get pods -l "$(of "$release" node)" -o json | python3 -c '
import json, sys, datetime
of = lambda text: datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
pods = json.load(sys.stdin)["items"]
ready = max(of(c["lastTransitionTime"]) for pod in pods for c in pod["status"]["conditions"] if c["type"] == "Ready")
late = (of(sys.argv[1]) - ready).total_seconds()
print(f"{late:.1f} s after the third pod was ready")
sys.exit(late > 10)' "$(sql "SELECT to_char(min(written_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') FROM eth_prices")"
}
check "the first record, at most 10 s after the third pod is ready" first_record
tested() { h test "$release" >/dev/null && echo "nodes are ready, the newest record is fresh"; }
check "helm test" tested
check "three more records, one a window" has_further 3 $((3 * WINDOW + 5))
check "all verified by another library, none within $WINDOW s of the last" verified

started() { # the supervisor's lines of a pod
  local actors; actors=$(k logs "$1" | sed -n 's/.*supervisor: actor starts: actor=\([A-Za-z]*\).*/\1/p' | sort -u | paste -sd' ')
  echo "$actors"; [ "$actors" = "Aggregator DbWriter GossipBridge PriceFetcher Signer" ]
}
check "the supervisor's log names each actor" started "$release-node-0"
ready_now() { [ "$(metric "$release-node-0" quorate_ready)" = 1 ] && echo "quorate_ready 1"; }
check "/metrics says that it is ready" ready_now
memory() {
  local node; node=$(k get pod "$release-node-0" -o jsonpath='{.spec.nodeName}')
  kubectl get --raw "/api/v1/nodes/$node/proxy/stats/summary" | python3 -c '
import json, sys
pods = [p for p in json.load(sys.stdin)["pods"] if p["podRef"]["namespace"] == sys.argv[1] and "-node-" in p["podRef"]["name"]]
used = max(sum(c["memory"]["workingSetBytes"] for c in p["containers"]) / 2**20 for p in pods)
print(f"{used:.1f} MiB")
sys.exit(used > 20)' "$ns"
}
check "working set of a node's pod at rest, the largest, under 20 MiB" memory

# Pods die: two in order, one without.
comes_back() { # POD OPTIONS ...: the same node, and at most one window is missed
  local pod=$1 before since log; shift
  before=$(address "$pod") && since=$(db_now) && log=$(log_of "$pod") || return 1
  echo "$log" >"$work/log-of-the-last"
  k delete pod "$pod" --wait=true "$@" >/dev/null || return 1
  within 60 are_ready "$release" 3 && has_further 1 $((2 * WINDOW)) >/dev/null || return 1
  [ "$(address "$pod")" = "$before" ] || { echo "it came back under another key"; return 1; }
  missed 1 "$since"
}
remember
check "node 0 is deleted: back under its key, at most one window missed" comes_back "$release-node-0"
drained() { # in the order of docs/architecture.md
  local order; order=$(sed -n 's|.*shutdown step [1-5]/5: actor=\([A-Za-z]*\).*|\1|p' "$(cat "$work/log-of-the-last")" | paste -sd' ')
  echo "$order"
  [ "$order" = "PriceFetcher Aggregator Signer GossipBridge DbWriter" ] && grep -q 'shutdown done: exit_code=0' "$(cat "$work/log-of-the-last")"
}
check "its supervisor had stopped the actors in order" drained
check "node 1 is deleted" comes_back "$release-node-1"
check "node 2 is killed" comes_back "$release-node-2" --grace-period=0 --force

# Postgres dies.
database_back() {
  local since; since=$(db_now) || return 1
  remember || return 1
  k delete pod "$release-postgres-0" --wait=true >/dev/null || return 1
  within 60 k wait --for=condition=Ready "pod/$release-postgres-0" --timeout=1s && has_further 2 $((3 * WINDOW)) >/dev/null && missed 2 "$since"
}
check "Postgres is deleted: at most two windows missed" database_back
check "nothing lost" nothing_lost
no_restarts() {
  local restarts; restarts=$(k get pods -l "$(of "$release" node)" -o jsonpath='{.items[*].status.containerStatuses[*].restartCount}')
  echo "restarts: $restarts"; [ "$restarts" = "0 0 0" ]
}
check "no node ended meanwhile" no_restarts
told_by_test() { h test "$release" >/dev/null 2>&1 || { k logs "$release-test"; return 1; }; }
silence() { # two nodes of three
  k scale statefulset "$release-node" --replicas=2 >/dev/null
  within 60 fails 'node [^ ]* is not ready' told_by_test && within $((2 * WINDOW)) fails 'the newest record of' told_by_test || return 1
  k scale statefulset "$release-node" --replicas=3 >/dev/null && within 90 are_ready "$release" 3 || return 1
  has_further 1 $((2 * WINDOW)) >/dev/null && tested || return 1
  echo "it names the nodes, then the record's age"
}
check "helm test fails while nodes are not ready or no record comes, else it passes" silence

# Operators change things.
upgrade() { # NODES OPTIONS ...
  local nodes=$1 since; shift
  since=$(db_now) || return 1
  h upgrade "$release" ./helm "${values[@]}" --set "nodes.replicas=$nodes" "$@" "${waiting[@]}" --timeout 150s >/dev/null || return 1
  within 60 are_ready "$release" "$nodes" && has_further 1 $((2 * WINDOW)) >/dev/null && missed "${MISSED:-1}" "$since"
}
secrets() { k get secrets -l app.kubernetes.io/instance="$release" -o json | python3 -c '
import json, sys
for s in json.load(sys.stdin)["items"]:
    if s["type"] == "Opaque":
        for key, value in sorted(s.get("data", {}).items()): print(s["metadata"]["name"], key, value)'; }
secrets >"$work/secrets"
remember
check "scaled to 5" upgrade 5
knows() { [ "$(metric "$release-node-4" 'quorate_live_nodes{.*}')" = 5 ]; }
knows_all() { within 30 knows && echo "5 of 5"; }
check "the newest node knows all" knows_all
# Five nodes can spare the one that is replaced.
spared() { MISSED=0 upgrade 5 --set nodes.logLevel=debug; }
check "five nodes upgraded with another value, one by one: no window missed" spared
speak() { # YES_OR_NO: whether each running node says what it only says at debug
  local pod loud=0
  for pod in $(k get pods -l "$(of "$release" node)" -o name); do if k logs "$pod" | grep ' DEBUG ' >/dev/null; then loud=$((loud + 1)); fi; done
  echo "$loud nodes log at debug"; [ "$loud" = "$1" ]
}
check "the nodes run with it" speak 5
check "scaled back to 3" upgrade 3 --set nodes.logLevel=debug
# Three nodes of which three are needed wait for each of three restarts, some 12 s each; and a node that was restarted states no price
# for half a window.
rollback() { # REVISION
  local since; since=$(db_now) || return 1
  h rollback "$release" "$1" "${waiting[@]}" --timeout 120s >/dev/null || return 1
  within 60 are_ready "$release" 3 && has_further 1 $((2 * WINDOW)) >/dev/null && missed 2 "$since"
}
check "three nodes rolled back to the first revision: at most two missed" rollback 1
check "the nodes run as before" speak 0
same_secrets() { [ -s "$work/secrets" ] && secrets | diff "$work/secrets" - && echo "$(grep -c . "$work/secrets") secrets"; }
check "passwords are kept over all of this" same_secrets
check "nothing lost" nothing_lost
check "all verified, none within $WINDOW s of the last" verified

# Passwords and members change.
try() { h upgrade "$release" ./helm "${values[@]}" "$@" "${waiting[@]}" --timeout 60s >/dev/null; }
patch_secret() { # ENTRY VALUE
  k patch secret "$release-postgres" -p "{\"data\":{\"$1\":\"$(printf %s "$2" | base64)\"}}" >/dev/null
}
logs_in() { # PASSWORD: over TCP, where one is asked for
  k exec "$release-postgres-0" -- bash -c "PGPASSWORD='$1' psql -h \$(hostname -i) -U quorate_node -d quorate -c 'SELECT 1'" >/dev/null 2>&1
}
node_password() { # the kubelet brings a changed Secret within 90 s
  local since before old; since=$(db_now) && before=$(uids "$release" node) || return 1
  old=$(k get secret "$release-postgres" -o jsonpath='{.data.node-password}' | base64 -d)
  logs_in "$old" || { echo "the old password was not taken before"; return 1; }
  patch_secret node-password another-password || return 1
  try --set migrate.run=2 || return 1
  if logs_in "$old"; then echo "the old password is still taken"; return 1; fi
  logs_in another-password && has_further 2 $((7 * WINDOW)) >/dev/null || return 1
  [ "$(uids "$release" node)" = "$before" ] || { echo "pods were replaced"; return 1; }
  missed 4 "$since"
}
check "the node password is rotated, no pod restarted: at most four windows missed" node_password
owner_password() {
  patch_secret owner-password another-owner || return 1
  fails 'the owner-password in the Secret [a-z-]+ is not the one' try --set migrate.run=2 || return 1
  # As it says.
  sql "ALTER ROLE quorate PASSWORD 'another-owner'" && k annotate statefulset "$release-postgres" quorate/owner-password- || return 1
  try --set migrate.run=3 && echo "refused, then as it said: taken"
}
check "the owner's password is another: refused with the steps, and they lead there" owner_password
stuck_migration() { # no machine has so many processors
  fails 'UPGRADE FAILED.{0,40}' try --set migrate.run=4 --set-string migrate.resources.requests.cpu=1000 && are_ready "$release" 3
}
check "a migration that does not get through fails the upgrade, though all nodes are ready" stuck_migration
check "and the same upgrade, mended, goes through" try --set migrate.run=4
# What a failed upgrade has made, helm forgets.
k delete job -l "$(of "$release" migrate)" --field-selector status.successful=0 >/dev/null
secrets >"$work/secrets"
listed() { # ADDRESS ...: options that list them
  local at=0 address
  for address in "$@"; do echo "--set"; echo "members[$at].name=m$at"; echo "--set-string"; echo "members[$at].address=$address"; at=$((at + 1)); done
}
same() { printf "0x%s" "$(printf "$1%.0s" {1..40})"; } # DIGIT: an address of it
mapfile -t strangers < <(listed "$(same 1)" "$(same 2)" "$(same 3)")
mapfile -t members < <(listed "$(address "$release-node-0")" "$(address "$release-node-1")" "$(address "$release-node-2")")
check "members, but too few: refused" fails 'members: lists 1[^:]{0,30}' try "${members[@]:0:4}"
revision() { h history "$release" -o json | python3 -c 'import json, sys; print([r["revision"] for r in json.load(sys.stdin) if r["status"] == "deployed"][-1])'; }
stranger_members() {
  fails 'UPGRADE FAILED.{0,40}' try --set migrate.run=4 "${strangers[@]}" || return 1
  h rollback "$release" "$(revision)" "${waiting[@]}" --timeout 120s >/dev/null && within 60 are_ready "$release" 3 || return 1
  has_further 1 $((2 * WINDOW)) >/dev/null && echo "failed, rolled back, and records go on"
}
check "members who are none of the nodes: the upgrade fails, and can be rolled back" stranger_members
its_members() { MISSED=2 upgrade 3 --set migrate.run=4 "${members[@]}"; }
check "members who are the nodes: at most two windows missed" its_members
check "others in their place, who leave no quorum: refused" fails 'members: keeps 0[^:]{0,50}' try --set migrate.run=4 "${strangers[@]}"
check "and records go on" has_further 1 $((2 * WINDOW))
plain=("${values[@]}")
values+=(--set migrate.run=4 "${members[@]}")

# What cannot be changed.
size() {
  local before; before=$(uids "$release" postgres)
  fails 'kubectl patch pvc [^{]*' try --set postgres.storage.size=20Gi || return 1
  # As it says; whether a claim grows is the StorageClass's.
  k delete statefulset "$release-postgres" --cascade=orphan >/dev/null && try --set postgres.storage.size=20Gi || return 1
  [ "$(uids "$release" postgres)" = "$before" ] || { echo "Postgres was restarted"; return 1; }
  echo "refused, then as it said: taken"
}
check "a larger volume is refused with the steps, and they do not touch Postgres" size
values+=(--set postgres.storage.size=20Gi)

# Another release beside it, as users that a cluster would assign.
assigned=()
for where in podSecurityContext postgres.podSecurityContext; do
  for number in runAsUser runAsGroup fsGroup; do assigned+=(--set "$where.$number=1000680001"); done
done
beside() {
  h install beside ./helm "${plain[@]}" --set nodes.logLevel=debug "${assigned[@]}" "${waiting[@]}" --timeout 120s >/dev/null || return 1
  [ "$(k exec beside-quorate-postgres-0 -- id -u)" = 1000680001 ] || return 1
  has_further 2 $((3 * WINDOW)) beside-quorate
}
check "a second release, as user 1000680001: it runs, and makes records" beside
strange() { # neither knows the other, nor has ever dialled it
  local pod other ips
  for pod in "$release"-node-{0,1,2} beside-quorate-node-{0,1,2}; do
    [ "$(metric "$pod" quorate_peers)" = 2 ] || { echo "$pod has $(metric "$pod" quorate_peers) peers"; return 1; }
    case $pod in beside*) other=$release ;; *) other=beside ;; esac
    ips=$(k get pods -l "$(of "$other" node)" -o jsonpath='{range .items[*]}{.status.podIP}{"\n"}{end}')
    [ "$(grep -c . <<<"$ips")" = 3 ] || return 1
    if grep -wF "$ips" "$(log_of "$pod")" >&2; then echo "$pod speaks of a pod of $other"; return 1; fi
  done
  echo "2 peers each, and no word of the others"
}
check "two releases do not dial each other" strange
remove() { # RELEASES: and what they would keep
  for name in "$@"; do
    h uninstall "$name" --cascade foreground --wait >/dev/null 2>&1 || true
    k delete pvc,secret,job -l app.kubernetes.io/instance="$name" >/dev/null 2>&1 || true
  done
}
remove beside

check "a full volume: no record, the reason in the log; with room again they go on" full_disk
remove full

# What cannot work fails, or waits and says why.
refused() { local message=$1; shift; fails "$message" h install wrong ./helm "${plain[@]}" "$@" || { h uninstall wrong >/dev/null 2>&1; return 1; }; }
check "two nodes and three signatures are refused" refused 'nodes.replicas[^;]{0,40}' --set nodes.replicas=2
check "an unknown key is refused" refused '(Additional property|additional properties)[^.]{0,40}' --set nodes.replica=3
external=(--set postgres.enabled=false --set postgres.external.sslMode=disable)
check "an external database without a Secret is refused" refused 'postgres.external.existingSecret[^;]{0,30}' "${external[@]}" --set postgres.external.host=db
waits() { # RELEASE MESSAGE OPTIONS ...: it is installed, and the migration's and a node's logs name the cause
  local name=$1 message=$2; shift 2
  h install "$name" ./helm "${plain[@]}" "${external[@]}" "$@" >/dev/null || return 1
  told() { # WHOSE LOGS
    k logs "$@" --tail=-1 >"$work/its.log"
    grep -E "database.*($message)" "$work/its.log" >"$work/told" && grep -oE -m1 "$message" "$work/told"
  }
  within 120 told -l "$(of "$name" migrate)" && within 120 told "$name-quorate-node-0" && told "$name-quorate-node-0"
}
k create secret generic wrong-passwords --from-literal=owner-password=wrong --from-literal=node-password=wrong >/dev/null
check "a wrong password: the logs name it" waits bad-password 'password authentication failed' \
  --set postgres.external.host="$release-postgres" --set postgres.external.existingSecret=wrong-passwords
check "a database that cannot be reached: the logs name it" waits unreachable 'failed to lookup address|Connection refused|no connection within' \
  --set postgres.external.host=nowhere --set postgres.external.existingSecret=wrong-passwords
missing() {
  h install missing ./helm "${plain[@]}" "${external[@]}" --set postgres.external.host="$release-postgres" --set postgres.external.existingSecret=no-such >/dev/null || return 1
  told() { k get events -o jsonpath='{range .items[*]}{.message}{"\n"}{end}' >"$work/told"; grep -o -m1 'secret "no-such" not found' "$work/told"; }
  within 60 told && told
}
check "a Secret that is missing: the pods' events name it" missing
remove bad-password unreachable missing
k delete secret wrong-passwords >/dev/null

# No secret anywhere that a reader of logs and manifests could see.
no_secret_shown() {
  { h get manifest "$release"; h get notes "$release"; h get values "$release" --all
    k get all,configmaps,events -o yaml; } >"$work/shown" || return 1
  # Secrets themselves are the place for them.
  python3 - "$work" <<'P'
import base64, pathlib, re, sys
work = pathlib.Path(sys.argv[1])
secrets = [line.split()[2] for line in (work / "secrets").read_text().splitlines()]
shown = re.sub(r"(?ms)^---\n(?:(?!^---$).)*?^kind: Secret$.*?(?=^---$|\Z)", "", (work / "shown").read_text())
texts = {"manifests": shown} | {log.name: log.read_text(errors="replace") for log in (work / "logs").iterdir()}
for encoded in secrets:
    for form in (encoded, base64.b64decode(encoded).decode()):
        for name, text in texts.items():
            if form in text: sys.exit(f"a secret stands in {name}")
print(f"{len(secrets)} secrets, {len(texts) - 1} logs")
sys.exit(not secrets or len(texts) < 8)
P
}
check "no secret in any log, manifest, note or event" no_secret_shown

remember
uninstall() { # all that is there now, of whatever kind, and was not before the install
  h uninstall "$release" --cascade foreground --wait >/dev/null || return 1
  # shellcheck disable=SC2329  # within calls it
  left() { everything | grep -vxFf "$work/everything" >"$work/left"; ! grep -vE "^persistentvolumeclaim/(data-$release-postgres-0|key-$release-node-[0-4])$|^secret/$release-postgres$" "$work/left"; }
  within 60 left || return 1
  echo "kept: $(sed 's|.*/||' "$work/left" | paste -sd' ')"
  [ "$(grep -c . "$work/left")" = 7 ]
}
check "uninstalled: all but the database's volume, the keys and the passwords is gone" uninstall
again() {
  h install "$release" ./helm "${values[@]}" "${waiting[@]}" --timeout 90s >/dev/null && has_further 1 $((2 * WINDOW)) >/dev/null && nothing_lost
}
check "installed again: the same passwords, the same records, and they go on" again

echo
echo "$passed passed, $failed failed, in $((SECONDS / 60)) min $((SECONDS % 60)) s; $(kubectl version -o json 2>/dev/null | python3 -c 'import json, sys; print("Kubernetes", json.load(sys.stdin)["serverVersion"]["gitVersion"])'), $(helm version --short)"
[ "$failed" = 0 ]
