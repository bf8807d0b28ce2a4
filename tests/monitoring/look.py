"""Asks a Prometheus what the dashboard's panels ask, and how the alerts are.   usage: look.py URL DASHBOARD RULES"""
import itertools, json, re, sys, time, urllib.error, urllib.parse, urllib.request

DEADLINE_S = 60
# What a healthy network has none of: nothing is refused, no source fails, no actor restarts or drops a message, no member misses anything.
MAY_BE_EMPTY = {"Refusals by reason", "Source errors", "Actors", "Windows missed by members"}
VARIABLES = {"$namespace": "compose", "$service": "quorate", "$feed": ".*", "$__rate_interval": "10s"}


def ask(path, **query):
    try:
        with urllib.request.urlopen(f"{url}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=5) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        sys.exit(f"monitoring: {query}: {json.load(error)['error']}")


def series(expression):
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return ask("query", query=expression)["result"]


def overlap(one, other):
    a, b = one["gridPos"], other["gridPos"]
    return a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"] and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]


url, dashboard, rules = sys.argv[1], json.load(open(sys.argv[2])), open(sys.argv[3]).read()
panels = dashboard["panels"]
for one, other in itertools.combinations(panels, 2):
    if overlap(one, other):
        sys.exit(f"monitoring: the panels {one['title']!r} and {other['title']!r} lie on each other")
for panel in panels:
    if "unit" not in panel["fieldConfig"]["defaults"]:
        sys.exit(f"monitoring: the panel {panel['title']!r} has no unit")
expected = [(panel["title"], target["expr"]) for panel in panels for target in panel["targets"]]

deadline, empty = time.monotonic() + DEADLINE_S, expected
while empty and time.monotonic() < deadline:
    time.sleep(1)
    try:
        empty = [(title, expression) for title, expression in empty if title not in MAY_BE_EMPTY and not series(expression)]
    except OSError:
        pass  # It does not listen yet.
for title, expression in expected:
    print(f"{len(series(expression)):3} series  {title}: {expression}")
if empty:
    sys.exit(f"monitoring: no series within {DEADLINE_S} s: {empty}")

alerts = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
named = re.findall(r"^\s*- alert: (\w+)", rules, re.M)
if sorted(rule["name"] for rule in alerts) != sorted(named):
    sys.exit(f"monitoring: of the rules {named} these are known: {[rule['name'] for rule in alerts]}")
for rule in alerts:
    print(f"{rule['state']:>10}  {rule['name']}")
    if rule["health"] == "err" or rule["state"] == "firing":
        sys.exit(f"monitoring: {rule['name']} is {rule['state']}: {rule.get('lastError', '')} {rule.get('alerts')}")
print(f"monitoring: ok, {len(expected)} expressions and {len(alerts)} alerts")
