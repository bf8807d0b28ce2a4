#!/usr/bin/env bash
# Installs the chart on the cluster that kubectl points at, disturbs it in the ways that happen to clusters, and prints a table: what
# was promised, and what came of it. Ends by itself within 20 minutes and removes what it made, a namespace of its own.
# usage: tests/cluster/run.sh [HELM OPTIONS ...]     such as --set postgres.storage.storageClass=fast
#   IMAGE=quorate:0.1.0     the image; built from this checkout unless BUILD=0
#   BUILD_OPTIONS=…         more options for the build
#   LOAD='COMMAND'          brings an image's tar, its last argument, into the cluster; by default `minikube image load` where
#                           minikube runs, else nothing: the cluster has the image, or pulls it
#   KEEP=1                  leaves the release where it is
# It needs kubectl, helm, python3 and, to build, docker or podman.
set -euo pipefail
cd "$(dirname "$0")/../.."
readonly WINDOW=30 MOST_SECONDS=1200
IMAGE=${IMAGE:-quorate:$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)}
ns=quorate-test-$$ release=quorate options=("$@")
all_nodes=app.kubernetes.io/instance=$release,app.kubernetes.io/component=node
work=$(mktemp -d)
mkdir "$work/logs"
export PYTHONDONTWRITEBYTECODE=1

k() { kubectl --namespace "$ns" "$@"; }
h() { helm --namespace "$ns" "$@"; }
finish() {
  local code=$?
  trap - EXIT
  # What has ended already is no error.
  { echo "${follower:-}"; cat "$work/followers"; } 2>/dev/null | xargs -r kill 2>/dev/null || true
  if [ "${KEEP:-}" = 1 ]; then
    echo "kept: namespace $ns, logs and records in $work"
  else
    kubectl delete namespace "$ns" --ignore-not-found --wait=true --timeout=120s >/dev/null 2>&1 || true
    rm -rf "$work"
  fi
  exit "$code"
}
trap finish EXIT
trap 'exit 1' INT TERM

# The table.
passed=0 failed=0
row() { printf '| %-6s | %-66s | %-44s |\n' "$@"; }
check() { # WHAT COMMAND ...: its last line is the figure, and its code the verdict
  [ "$SECONDS" -lt "$MOST_SECONDS" ] || { row FAILED "$1" "out of time"; echo "$passed passed, $((failed + 1)) failed"; exit 1; }
  local what=$1; shift
  if "$@" >"$work/said" 2>"$work/error"; then
    passed=$((passed + 1)); row ok "$what" "$(tail -n 1 "$work/said")"
  else
    failed=$((failed + 1)); row FAILED "$what" "$(tail -n 1 "$work/said")"; tail -n 20 "$work/error" | sed 's/^/    /'
  fi
}
within() { # SECONDS COMMAND ...: until it succeeds
  local deadline=$((SECONDS + $1)); shift
  until "$@" >"$work/within" 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || { cat "$work/within" >&2; return 1; }
    sleep 0.5
  done
}

# What the cluster shows.
are_ready() { # NUMBER: so many nodes, all ready
  local ready
  ready=$(k get pods -l "$all_nodes" -o jsonpath='{range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}')
  [ "$(grep -c . <<<"$ready")" = "$1" ] && [ "$(grep -c True <<<"$ready")" = "$1" ]
}
ask() { kubectl get --raw "/api/v1/namespaces/$ns/pods/$1:8080/proxy$2"; } # POD PATH
address() { ask "$1" /api/v1/status | python3 -c 'import json, sys; print(json.load(sys.stdin)["node"])'; }
sql() { k exec "$release-postgres-0" -- psql -U quorate -d quorate -At -c "$1"; }
count() { sql 'SELECT count(*) FROM eth_prices' 2>/dev/null; }
has_records() { [ "$(count)" -ge "$1" ]; }
has_further() { # HOW MANY SECONDS
  local before; before=$(count); within "$2" has_records $((before + $1)) && echo "$(count) records"
}
digests() { sql 'SELECT digest FROM eth_prices ORDER BY id'; }
nothing_lost() { # all records that were ever seen are still there
  digests >"$work/digests.now" || return 1
  touch "$work/digests"
  grep -qvxFf "$work/digests.now" "$work/digests" && { echo "a record is gone"; return 1; }
  cp "$work/digests.now" "$work/digests"
  echo "$(grep -c . "$work/digests") records"
}
verified() { # by a library that is not ours
  sql 'SELECT row_to_json(r) FROM eth_prices_signed r' >"$work/records"
  "$work/venv/bin/python" tests/end-to-end/verify.py 3 $WINDOW <"$work/records" >"$work/verdict" || return 1
  sed -n 's/^\([0-9]*\) records.*, \([0-9.]* to [0-9.]* s\) apart$/\1 records, \2 apart/p' "$work/verdict"
}
missed() { # AT MOST SINCE: windows without a record since then, by the database's clock
  local lost
  lost=$(sql "SELECT coalesce(sum(ceil(extract(epoch FROM gap) / $WINDOW - 1.2)) FILTER (WHERE gap > interval '$WINDOW s' * 1.2), 0)::int
    FROM (SELECT written_at - lag(written_at) OVER (ORDER BY written_at) AS gap, written_at FROM eth_prices) AS g WHERE written_at > '$2'")
  echo "$lost missed"
  [ "$lost" -le "$1" ]
}
db_now() { sql 'SELECT clock_timestamp()'; }
# Follows the logs of every pod from its start, for a pod that is deleted takes them along.
follow() {
  while sleep 1; do
    k get pods -o jsonpath='{range .items[?(@.status.phase!="Pending")]}{.metadata.name}{" "}{.metadata.uid}{"\n"}{end}' 2>/dev/null |
      while read -r pod uid; do
        log=$work/logs/$pod.$uid
        [ -e "$log" ] && continue
        k logs --follow --all-containers --tail=-1 "$pod" >"$log" 2>&1 &
        echo $! >>"$work/followers"
      done
  done
}

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

row "" "what" "figure"; row "------" "---" "---"
values=(--set "image.repository=${IMAGE%:*}" --set "image.tag=${IMAGE##*:}" --set exchange.simulated=true "${options[@]}")
install() {
  local began=$SECONDS
  h install "$release" ./helm "${values[@]}" --wait --timeout 90s || { k get pods >&2; return 1; }
  echo "$((SECONDS - began)) s"
}
follow & follower=$!
check "helm install --wait, in under 90 s" install
first_record() {
  within 15 has_records 1 || return 1
  k get pods -l "$all_nodes" -o json | python3 -c '
import json, sys, datetime
of = lambda text: datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
pods = json.load(sys.stdin)["items"]
ready = max(of(c["lastTransitionTime"]) for pod in pods for c in pod["status"]["conditions"] if c["type"] == "Ready")
late = (of(sys.argv[1]) - ready).total_seconds()
print(f"{late:.1f} s after the third pod was ready")
sys.exit(late > 10)' "$(sql "SELECT to_char(min(written_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') FROM eth_prices")"
}
check "the first record, at most 10 s after the third pod is ready" first_record
records_are_fresh() { h test "$release" >/dev/null && echo "the newest record is fresh"; }
check "helm test" records_are_fresh
check "three more records, one a window" has_further 3 $((3 * WINDOW + 5))
check "all verified by another library, none within $WINDOW s of the last" verified

started() { # the supervisor's lines of a pod
  local actors; actors=$(k logs "$1" | grep -c 'supervisor: actor starts: actor=')
  echo "$actors actors started"; [ "$actors" = 5 ]
}
check "the supervisor's log names each actor" started "$release-node-0"
metrics() { ask "$release-node-0" /metrics >"$work/metrics"; grep -x 'quorate_ready 1' "$work/metrics"; }
check "/metrics says that it is ready" metrics
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
  local pod=$1 before since; shift
  before=$(address "$pod"); since=$(db_now)
  k delete pod "$pod" --wait=true "$@" >/dev/null || return 1
  within 60 are_ready 3 && has_further 1 $((2 * WINDOW)) >/dev/null || return 1
  [ "$(address "$pod")" = "$before" ] || { echo "it came back under another key"; return 1; }
  missed 1 "$since"
}
check "node 0 is deleted: back under its key, at most one window missed" comes_back "$release-node-0"
check "node 1 is deleted" comes_back "$release-node-1"
check "node 2 is killed" comes_back "$release-node-2" --grace-period=0 --force
drained() {
  local log; log=$(grep -l 'shutdown step' "$work/logs/$release-node-0."* | head -n 1)
  grep -o 'shutdown step [1-5]/5: actor=[A-Za-z]*' "$log" | sed 's/.*actor=//' | paste -sd' '
  grep -q 'shutdown done: exit_code=0' "$log" && [ "$(grep -c 'shutdown step ./5' "$log")" = 5 ]
}
check "its supervisor had stopped the actors in order" drained

# Postgres dies.
database_back() {
  local since; since=$(db_now)
  k delete pod "$release-postgres-0" --wait=true >/dev/null || return 1
  within 60 k wait --for=condition=Ready "pod/$release-postgres-0" --timeout=1s && has_further 2 $((3 * WINDOW)) >/dev/null && missed 2 "$since"
}
check "Postgres is deleted: at most two windows missed" database_back
check "nothing lost" nothing_lost
no_restarts() {
  local restarts; restarts=$(k get pods -l "$all_nodes" -o jsonpath='{.items[*].status.containerStatuses[*].restartCount}')
  echo "restarts: $restarts"; [ "$(tr -d ' 0' <<<"$restarts")" = "" ]
}
check "no node ended meanwhile" no_restarts

# Operators change things.
upgrade() { # NODES OPTIONS ...
  local nodes=$1 since; shift; since=$(db_now)
  h upgrade "$release" ./helm "${values[@]}" --set "nodes.replicas=$nodes" "$@" --wait --timeout 120s >/dev/null || return 1
  within 60 are_ready "$nodes" && has_further 1 $((2 * WINDOW)) >/dev/null && missed "${MISSED:-1}" "$since"
}
secrets() { k get secrets -l app.kubernetes.io/instance="$release" -o json | python3 -c '
import json, sys
for s in json.load(sys.stdin)["items"]:
    if s["type"] == "Opaque":
        for key, value in sorted(s.get("data", {}).items()): print(s["metadata"]["name"], key, value)'; }
secrets >"$work/secrets"
check "scaled to 5" upgrade 5
knows() { ask "$release-node-4" /metrics >"$work/metrics"; grep -q '^quorate_live_nodes{.*} 5$' "$work/metrics"; }
knows_all() { within 30 knows && echo "5 of 5"; }
check "the newest node knows all" knows_all
# Five nodes can spare the one that is replaced.
spared() { MISSED=0 upgrade 5 --set nodes.maxDeviationBps=75; }
check "five nodes upgraded with another value, one by one: no window missed" spared
changed() { k get statefulset "$release-node" -o jsonpath='{.spec.template.spec.containers[0].args}' | grep -o 'max-deviation-bps[^0-9]*[0-9]*' | grep -o '[0-9]*$' | grep -x "$1"; }
check "the nodes run with it" changed 75
check "scaled back to 3" upgrade 3 --set nodes.maxDeviationBps=75
# Three nodes of which three are needed wait for each of three restarts, some 12 s each; and a node that was restarted states no price
# for half a window.
rollback() {
  local since; since=$(db_now)
  h rollback "$release" 1 --wait --timeout 120s >/dev/null || return 1
  within 60 are_ready 3 && has_further 1 $((2 * WINDOW)) >/dev/null && missed 2 "$since"
}
check "three nodes rolled back to the first revision: at most two missed" rollback
check "the nodes run as before" changed 50
same_secrets() { secrets | diff "$work/secrets" - && echo "$(grep -c . "$work/secrets") secrets"; }
check "passwords are kept over all of this" same_secrets
check "nothing lost" nothing_lost
check "all verified, none within $WINDOW s of the last" verified

# What cannot work fails, or waits and says why.
refused() { # MESSAGE OPTIONS ...
  local message=$1; shift
  h install wrong ./helm "${values[@]}" "$@" >"$work/refused" 2>&1 && { h uninstall wrong >/dev/null; return 1; }
  grep -oE -m1 "$message" "$work/refused" || { cat "$work/refused" >&2; return 1; }
}
check "two nodes and three signatures are refused" refused 'nodes.replicas[^;]{0,40}' --set nodes.replicas=2
check "an unknown key is refused" refused '(Additional property|additional properties)[^.]{0,40}' --set nodes.replica=3
external=(--set postgres.enabled=false --set postgres.external.sslMode=disable)
check "an external database without a Secret is refused" refused 'postgres.external.existingSecret[^;]{0,30}' "${external[@]}" --set postgres.external.host=db
waits() { # RELEASE MESSAGE OPTIONS ...: it is installed, and the migration's and a node's logs name the cause
  local name=$1 message=$2; shift 2
  h install "$name" ./helm "${values[@]}" "${external[@]}" "$@" >/dev/null || return 1
  told() { # WHOSE LOGS
    k logs "$@" --tail=-1 >"$work/its.log"
    grep -E "database.*($message)" "$work/its.log" >"$work/told" && grep -oE -m1 "$message" "$work/told"
  }
  within 120 told -l "app.kubernetes.io/instance=$name,app.kubernetes.io/component=migrate" &&
    within 120 told "$name-quorate-node-0" && told "$name-quorate-node-0"
}
k create secret generic wrong-passwords --from-literal=owner-password=wrong --from-literal=node-password=wrong >/dev/null
check "a wrong password: the logs name it" waits bad-password 'password authentication failed' \
  --set postgres.external.host="$release-postgres" --set postgres.external.existingSecret=wrong-passwords
check "a database that cannot be reached: the logs name it" waits unreachable 'failed to lookup address|Connection refused|no connection within' \
  --set postgres.external.host=nowhere --set postgres.external.existingSecret=wrong-passwords
missing() {
  h install missing ./helm "${values[@]}" "${external[@]}" --set postgres.external.host="$release-postgres" --set postgres.external.existingSecret=no-such >/dev/null || return 1
  told() { k get events -o jsonpath='{range .items[*]}{.message}{"\n"}{end}' >"$work/told"; grep -o -m1 'secret "no-such" not found' "$work/told"; }
  within 60 told && told
}
check "a Secret that is missing: the pods' events name it" missing
for name in bad-password unreachable missing; do h uninstall "$name" >/dev/null 2>&1 || true; done

# No secret anywhere that a reader of logs and manifests could see.
no_secret_shown() {
  { h get manifest "$release"; h get notes "$release"; h get values "$release" --all
    k get all,configmaps,events -o yaml; } >"$work/shown"
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

uninstall() {
  h uninstall "$release" --cascade foreground --wait >/dev/null || return 1
  # shellcheck disable=SC2329  # within calls it
  gone() { [ -z "$(k get pods,services,jobs,statefulsets,deployments -o name)" ]; }
  within 60 gone && k get secrets,pvc -l "app.kubernetes.io/instance=$release" -o name | grep -c . | sed 's/$/ secrets and volumes kept/'
}
check "uninstalled: all but the database's volume, the keys and the passwords is gone" uninstall
again() {
  local before; before=$(grep -c . "$work/digests")
  h install "$release" ./helm "${values[@]}" --wait --timeout 90s >/dev/null && within 60 has_records $((before + 1)) && nothing_lost
}
check "installed again: the same passwords, the same records, and they go on" again

echo
echo "$passed passed, $failed failed, in $((SECONDS / 60)) min $((SECONDS % 60)) s; $(kubectl version -o json 2>/dev/null | python3 -c 'import json, sys; print("Kubernetes", json.load(sys.stdin)["serverVersion"]["gitVersion"])'), $(helm version --short)"
[ "$failed" = 0 ]
