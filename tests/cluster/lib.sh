# shellcheck shell=bash disable=SC2154  # what run.sh sets
# Sourced by run.sh: the table, and what a cluster shows of a release. It expects $ns, $release, $work and WINDOW.

k() { kubectl --namespace "$ns" "$@"; }
h() { helm --namespace "$ns" "$@"; }
of() { echo "app.kubernetes.io/instance=$1,app.kubernetes.io/component=$2"; } # RELEASE COMPONENT: their pods' labels

# The table.
passed=0 failed=0
row() { printf '| %-7s | %-78s | %-54s |\n' "$@"; }
check() { # WHAT COMMAND ...: its last line is the figure, and its code the verdict; 3 is for what this cluster does not let be tried
  [ "$SECONDS" -lt "$MOST_SECONDS" ] || { row FAILED "$1" "out of time"; echo "$passed passed, $((failed + 1)) failed"; exit 1; }
  local what=$1 code=0; shift
  "$@" >"$work/said" 2>"$work/error" || code=$?
  case $code in
  0) passed=$((passed + 1)); row ok "$what" "$(tail -n 1 "$work/said")" ;;
  3) row skipped "$what" "$(tail -n 1 "$work/said")"; tail -n 5 "$work/error" | sed 's/^/    /' ;;
  *) failed=$((failed + 1)); row FAILED "$what" "$(tail -n 1 "$work/said")"; tail -n 20 "$work/error" | sed 's/^/    /' ;;
  esac
}
within() { # SECONDS COMMAND ...: until it succeeds
  local deadline=$((SECONDS + $1)); shift
  until "$@" >"$work/within" 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || { cat "$work/within" >&2; return 1; }
    sleep 0.5
  done
}
fails() { # MESSAGE COMMAND ...: it fails, and says so
  local message=$1; shift
  "$@" >"$work/refused" 2>&1 && { echo "it was taken"; return 1; }
  tr -s ' \n' ' ' <"$work/refused" | grep -oE -m1 -- "$message" | head -n 1 || { cat "$work/refused" >&2; return 1; }
}

# Pods.
ask() { kubectl get --raw "/api/v1/namespaces/$ns/pods/$1:8080/proxy$2"; } # POD PATH
metric() { ask "$1" /metrics | sed -n "s/^$2 //p" | grep .; } # POD METRIC
address() { ask "$1" /api/v1/status | python3 -c 'import json, sys; print(json.load(sys.stdin)["node"])'; }
uids() { k get pods -l "$(of "$1" "$2")" -o jsonpath='{range .items[*]}{.metadata.uid}{"\n"}{end}' | sort; }
are_ready() { # RELEASE NUMBER: so many nodes, all ready
  local ready
  ready=$(k get pods -l "$(of "$1" node)" -o jsonpath='{range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}') || return 1
  [ "$(grep -c . <<<"$ready")" = "$2" ] && [ "$(grep -c True <<<"$ready")" = "$2" ]
}
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
log_of() { local uid; uid=$(k get pod "$1" -o jsonpath='{.metadata.uid}') && echo "$work/logs/$1.$uid"; } # POD: the present one's

# Records. A question that is not answered is a failure, not a zero.
sql_of() { local release=$1; shift; k exec "$release-postgres-0" -- psql -U quorate -d quorate -At -c "$1"; } # NAME QUERY
sql() { sql_of "$release" "$1"; }
count() { local number; number=$(sql_of "${1:-$release}" 'SELECT count(*) FROM eth_prices' 2>/dev/null) && [[ "$number" =~ ^[0-9]+$ ]] && echo "$number"; }
has_records() { local now; now=$(count "${2:-$release}") && [ "$now" -ge "$1" ]; } # NUMBER NAME
has_further() { # HOW_MANY SECONDS NAME
  local before now
  before=$(count "${3:-$release}") || return 1
  within "$2" has_records $((before + $1)) "${3:-$release}" && now=$(count "${3:-$release}") && echo "$before, then $now records"
}
digests() { sql 'SELECT digest FROM eth_prices_hex ORDER BY feed, sequence'; }
remember() { digests >>"$work/known" && sort -u -o "$work/known" "$work/known"; }
nothing_lost() { # what was read before the loss, and what a node ever said to be written, is there
  local lost
  [ -s "$work/known" ] || { echo "nothing was read before"; return 1; }
  cat "$work/logs/$release-node-"* | sed -n 's/.*record written: .* record=\(0x[0-9a-f]\{8\}\).*/\1/p' | sort -u >"$work/said-written"
  digests >"$work/now" || return 1
  lost=$(grep -vxFf "$work/now" "$work/known"; cut -c1-10 "$work/now" | grep -vxFf - "$work/said-written")
  [ -z "$lost" ] || { echo "gone: $(tr '\n' ' ' <<<"$lost")"; return 1; }
  [ -s "$work/said-written" ] || { echo "no node said that it wrote"; return 1; }
  echo "$(grep -c . "$work/known") read, $(grep -c . "$work/said-written") in logs"
}
verified() { # by a library that is not ours
  sql 'SELECT row_to_json(r) FROM eth_prices_hex r' >"$work/records" || return 1
  "$work/venv/bin/python" tests/end-to-end/verify.py 3 "$WINDOW" <"$work/records" >"$work/verdict" || return 1
  sed -n 's/^\([0-9]*\) records.*, \([0-9.]* to [0-9.]* s\) apart$/\1 records, \2 apart/p' "$work/verdict"
}
db_now() { sql 'SELECT clock_timestamp()'; }
missed() { # AT_MOST SINCE: windows without a record since then, by the database's clock, the one that is open now included
  local lost
  lost=$(sql "SELECT coalesce(sum(ceil(extract(epoch FROM gap) / $WINDOW - 1.2)) FILTER (WHERE gap > interval '$WINDOW s' * 1.2), 0)::int
    FROM (SELECT moment - lag(moment) OVER (ORDER BY moment) AS gap, moment
      FROM (SELECT written_at AS moment FROM eth_prices UNION ALL SELECT clock_timestamp()) AS t) AS g WHERE moment > '$2'") || return 1
  [[ "$lost" =~ ^[0-9]+$ ]] || return 1
  echo "$lost missed"
  [ "$lost" -le "$1" ]
}

# Everything in the namespace that somebody made: no events, and not what a controller derives.
everything() {
  kubectl api-resources --namespaced --verbs=list -o name | grep -vE '^(events|pods\.metrics|endpoints$|endpointslices|controllerrevisions)' |
    paste -sd, | xargs -I{} kubectl --namespace "$ns" get {} -o name 2>/dev/null | grep -vE '^secret/.*-token-' | sort
}
