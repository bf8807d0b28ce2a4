"""The chart's promises, checked on what helm renders. Called by ./run with VERSION=VALIDATOR for each Kubernetes version."""

import base64
import difflib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import yaml

from cluster import Cluster

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
CHART = ROOT / "helm"
VALIDATORS = dict(argument.split("=", 1) for argument in sys.argv[1:])
NEWEST = max(VALIDATORS)
WORK = pathlib.Path(tempfile.mkdtemp(prefix="quorate-helm-"))
# Not Kubernetes' own, so no schema of its describes them.
CUSTOM = "monitoring.coreos.com/v1"
passed = 0
# What the values file says that is checked at the moment.
current_values = {}


def check(what, problem):
    """One line; `problem` is empty, or what is wrong."""
    global passed
    if problem:
        print(f"FAILED  {what}\n{problem}\n{passed} passed, 1 failed")
        sys.exit(1)
    passed += 1
    print(f"ok      {what}")


def helm(*words):
    done = subprocess.run([os.environ["HELM"], *map(str, words)], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def render(*options, version=NEWEST, release="quorate", namespace="prices", chart=CHART):
    code, out, err = helm("template", release, chart, "--namespace", namespace, "--kube-version", version, *options)
    if code:
        check(f"helm template {' '.join(map(str, options))}", err)
    return out


def objects(text):
    return [document for document in yaml.safe_load_all(text) if document]


def of_kind(documents, *kinds):
    return [document for document in documents if document["kind"] in kinds]


def name(document):
    return f"{document['kind']} {document['metadata']['name']}"


def pods(documents):
    """What each pod is made of: its owner's name, labels and spec."""
    for document in documents:
        if document["kind"] == "Pod":
            yield name(document), document["metadata"]["labels"], document["spec"]
        elif document["kind"] in ("StatefulSet", "Deployment", "Job", "CronJob"):
            template = pod_template(document)
            yield name(document), template["metadata"]["labels"], template["spec"]


def pod_template(document):
    spec = document["spec"]
    return spec["jobTemplate"]["spec"]["template"] if document["kind"] == "CronJob" else spec["template"]


def lines(problems):
    return "\n".join(f"    {problem}" for problem in problems)


# What must hold of all that is rendered: each takes the objects and yields what is wrong.

def restricted(documents):
    for owner, _, spec in pods(documents):
        pod, wanted = spec.get("securityContext", {}), {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        yield from (f"{owner}: {key} is {pod.get(key)}" for key in wanted if pod.get(key) != wanted[key])
        numbers = [pod.get(key) for key in ("runAsUser", "runAsGroup", "fsGroup")]
        # A cluster that assigns them, which refuses root by itself, is given none.
        if numbers != [None] * 3 and not all(numbers):
            yield f"{owner}: runs as {numbers}"
        if spec.get("automountServiceAccountToken") is not False or spec.get("enableServiceLinks") is not False:
            yield f"{owner}: has a token or service links"
        if any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")) or any("hostPath" in v for v in spec.get("volumes", [])):
            yield f"{owner}: takes something of the host"
        for container in spec["containers"] + spec.get("initContainers", []):
            own = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
            if container.get("securityContext") != own:
                yield f"{owner}: container {container['name']} has {container.get('securityContext')}"
            if any("hostPort" in port for port in container.get("ports", [])):
                yield f"{owner}: has a port of the host"


def complete(documents):
    """Images have tags; containers have resources and tell why they failed."""
    for owner, _, spec in pods(documents):
        for container in spec["containers"]:
            if not re.search(r"[^/:]+:[\w.-]+$", container["image"]):
                yield f"{owner}: image {container['image']} has no tag"
            if not container["resources"].get("requests") or not container["resources"].get("limits", {}).get("memory"):
                yield f"{owner}: no requests, or no limit of memory"
            if container.get("terminationMessagePolicy") != "FallbackToLogsOnError":
                yield f"{owner}: does not say why it failed"


def dressed(documents):
    """A pod has the labels and annotations of all pods and those of its component, and its network policy."""
    values = current_values.get("podLabels", {}), current_values.get("podAnnotations", {})
    policies = [d["spec"]["podSelector"]["matchLabels"] for d in of_kind(documents, "NetworkPolicy")]
    for owner, labels, spec in pods(documents):
        component = labels["app.kubernetes.io/component"]
        own = current_values.get({"node": "nodes", "test": "migrate"}.get(component, component), {})
        annotations = next(d.get("metadata", {}) if d["kind"] == "Pod" else pod_template(d)["metadata"] for d in documents if name(d) == owner)
        wanted = {**values[0], **own.get("podLabels", {})}, {**values[1], **own.get("podAnnotations", {})}
        if not wanted[0].items() <= labels.items() or not wanted[1].items() <= annotations.get("annotations", {}).items():
            yield f"{owner}: {labels}, {annotations.get('annotations')}"
        if policies and not any(selector.items() <= labels.items() for selector in policies):
            yield f"{owner}: no network policy"


def owner_password_is_kept(documents):
    """Only Postgres, the migration and the archive are given the owner's password, and a volume of a Secret names what it takes of it."""
    for owner, labels, spec in pods(documents):
        if labels["app.kubernetes.io/component"] in ("postgres", "migrate", "archive"):
            continue
        if "owner-password" in json.dumps(spec):
            yield f"{owner}: owner-password"
        for volume in spec.get("volumes", []):
            if "secret" in volume and volume["name"] != "keys" and not volume["secret"].get("items"):
                yield f"{owner}: volume {volume['name']} takes a whole Secret"
        for container in spec["containers"]:
            for mount in container.get("volumeMounts", []):
                if mount["name"] == "keys" and not (mount.get("subPath") or mount.get("subPathExpr") == "$(POD_NAME)"):
                    yield f"{owner}: sees the keys of other nodes"


def secrets_are_files(documents):
    """No variable comes from a Secret, and secrets that a node is strict about are not for everybody."""
    for owner, _, spec in pods(documents):
        for container in spec["containers"]:
            if "secretKeyRef" in json.dumps(container) or "secretRef" in json.dumps(container):
                yield f"{owner}: a variable from a Secret"
        for volume in spec.get("volumes", []):
            if "secret" in volume and volume["name"] != "ca" and volume["secret"].get("defaultMode") != 0o440:
                yield f"{owner}: volume {volume['name']} has mode {volume['secret'].get('defaultMode')}"


def secrets_stay_in_secrets(documents):
    values = [value for secret in of_kind(documents, "Secret") for value in secret.get("data", {}).values()]
    elsewhere = json.dumps([document for document in documents if document["kind"] != "Secret"])
    for value in values:
        if value in elsewhere or base64.b64decode(value).decode() in elsewhere:
            yield "a secret's value stands outside of Secrets"


def ports_have_protocols(documents):
    for service in of_kind(documents, "Service"):
        yield from (f"{name(service)}: port {port['port']}" for port in service["spec"]["ports"] if "protocol" not in port)


def selectors_match(documents):
    """Each selector finds exactly one kind of pod, and port names exist there."""
    every = list(pods(documents))

    def found(labels):
        return [(owner, spec) for owner, has, spec in every if labels.items() <= has.items()]

    for document in of_kind(documents, "Service", "StatefulSet", "Deployment", "PodDisruptionBudget", "NetworkPolicy"):
        spec = document["spec"]
        selector = spec.get("podSelector", spec.get("selector"))
        labels = selector.get("matchLabels", selector)
        matches = found(labels)
        if len(matches) != 1:
            yield f"{name(document)} selects {[owner for owner, _ in matches]}"
        for port in spec.get("ports", []) if document["kind"] == "Service" else []:
            named = [p["name"] for _, pod in matches for container in pod["containers"] for p in container.get("ports", [])]
            if port["targetPort"] not in named:
                yield f"{name(document)}: no port {port['targetPort']}"
    services = of_kind(documents, "Service")
    for workload in of_kind(documents, "StatefulSet"):
        if workload["spec"]["serviceName"] not in [service["metadata"]["name"] for service in services]:
            yield f"{name(workload)}: no Service {workload['spec']['serviceName']}"
    for monitor in of_kind(documents, "ServiceMonitor"):
        labels = monitor["spec"]["selector"]["matchLabels"]
        matches = [s for s in services if labels.items() <= s["metadata"]["labels"].items()]
        if len(matches) != 1 or monitor["spec"]["endpoints"][0]["port"] not in [p["name"] for p in matches[0]["spec"]["ports"]]:
            yield f"{name(monitor)} selects {[name(s) for s in matches]}"


def mounts_have_volumes(documents):
    for owner, _, spec in pods(documents):
        there = [volume["name"] for volume in spec.get("volumes", [])]
        claims = [c["metadata"]["name"] for d in of_kind(documents, "StatefulSet") if name(d) == owner
                  for c in d["spec"].get("volumeClaimTemplates", [])]
        used = {mount["name"] for container in spec["containers"] for mount in container.get("volumeMounts", [])}
        if used != set(there + claims):
            yield f"{owner}: mounts {sorted(used)} of {sorted(there + claims)}"
        for container in spec["containers"]:
            paths = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
            for file in re.findall(r"(?:=|sslrootcert=)(/(?:etc|var/lib)/[\w/.-]+)", "\n".join(container.get("args", []))):
                if not any(file == path or file.startswith(path + "/") for path in paths):
                    yield f"{owner}: {file} is on no volume"


def names_are_short(documents):
    for document in documents:
        # The controller's label of a StatefulSet's pods adds a hash to its name.
        most = 52 if document["kind"] == "StatefulSet" else 63
        if len(document["metadata"]["name"]) > most:
            yield f"{name(document)} is longer than {most}"


PROPERTIES = {
    "every pod keeps to the restricted profile, without a token": restricted,
    "every pod has its labels, its annotations and a network policy": dressed,
    "images have tags, containers resources and a last word": complete,
    "only Postgres and the migration see the owner's password, and each node its own key alone": owner_password_is_kept,
    "secrets are files, and not for everybody": secrets_are_files,
    "no secret's value outside of Secrets": secrets_stay_in_secrets,
    "every port of a Service has its protocol": ports_have_protocols,
    "selectors find what they are for": selectors_match,
    "every file that an option names is mounted": mounts_have_volumes,
    "names are short": names_are_short,
}


def normal(text):
    """What a snapshot holds: no random values, and not the dashboard, which is a file of its own."""
    text = re.sub(r"(?m)^( +(?:owner-password|node-password|network-secret|quorate/owner-password): )\S+$", r"\1RANDOM", text)
    return re.sub(r"(?m)^(  quorate\.json: )\|\n(?:    .*\n?|\n)+", r"\1dashboards/quorate.json" + "\n", text)


def with_notes():
    """The chart with its notes as an object, for without a cluster helm prints none."""
    chart = WORK / "noted"
    shutil.copytree(CHART, chart)
    (chart / "templates" / "notes.yaml").write_text(
        'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes}\n'
        'data:\n  notes: {{ include "quorate/templates/NOTES.txt" . | quote }}\n')
    return chart


def notes(*options, **more):
    found = [d for d in objects(render(*options, chart=NOTED, **more)) if d["metadata"]["name"] == "notes"]
    return found[0]["data"]["notes"]


NOTED = with_notes()
for values in [*sorted((HERE / "values").glob("*.yaml")), CHART / "values-cnpg.yaml"]:
    title = values.stem
    current_values = yaml.safe_load(values.read_text())
    code, out, err = helm("lint", "--strict", "--quiet", CHART, "--values", values)
    check(f"{title}: helm lint --strict", out + err if code else "")
    for version, validator in VALIDATORS.items():
        text = render("--values", values, version=version)
        documents = objects(text)
        rendered = WORK / f"{title}-{version}.yaml"
        rendered.write_text(yaml.safe_dump_all(d for d in documents if d["apiVersion"] != CUSTOM))
        done = subprocess.run([validator, "-k", version, "--strict", "--quiet", rendered], capture_output=True, text=True)
        skipped = [name(d) for d in documents if d["apiVersion"] == CUSTOM]
        check(f"{title}: fits the schemas of Kubernetes {version}" + (f", but for {', '.join(skipped)}" if skipped else ""),
              done.stdout + done.stderr if done.returncode else "")
        wanted = "policy/v1beta1" if version == "1.20" else "policy/v1"
        budgets = [d["apiVersion"] for d in of_kind(documents, "PodDisruptionBudget")]
        check(f"{title}: the disruption budget is {wanted} there", "" if budgets == [wanted] else lines(budgets))
    for promise, of in PROPERTIES.items():
        check(f"{title}: {promise}", lines(of(documents)))
    snapshot = HERE / "snapshots" / f"{title}.yaml"
    now = normal(text) + "--- # NOTES\n" + "".join(f"# {line}".rstrip() + "\n" for line in notes("--values", values).splitlines())
    if os.environ.get("UPDATE") == "1":
        snapshot.write_text(now)
    before = snapshot.read_text() if snapshot.exists() else ""
    difference = difflib.unified_diff(before.splitlines(), now.splitlines(), "snapshot", "now", lineterm="")
    check(f"{title}: as in its snapshot", "\n".join(difference) and "\n".join(
        [*difflib.unified_diff(before.splitlines(), now.splitlines(), "snapshot", "now", lineterm="")][:80]
        + ["    if that is right: UPDATE=1 tests/helm/run"]))

# What cannot work is refused, with field, value and remedy.
A, B = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
MEMBERS = HERE / "values" / "members.yaml"
REFUSED = [
    (["nodes.replicas=2"], "nodes.replicas: 2 is fewer than the 3 signatures that a record needs (nodes.minSignatures 3): raise it to 3"),
    (["nodes.replicas=5", "nodes.minSignatures=6"], "nodes.replicas: 5 is fewer than the 6 signatures"),
    (["nodes.replicas=0"], "nodes.replicas: Must be greater than or equal to 1"),
    (["nodes.replica=3"], "Additional property replica is not allowed"),
    (["node.replicas=3"], "Additional property node is not allowed"),
    (["nodes.writeInterval=30"], "nodes.writeInterval: Invalid type"),
    (["nodes.writeInterval=30sec"], "nodes.writeInterval: Does not match pattern"),
    (["nodes.writeInterval=500ms"], "nodes.writeInterval: 500ms is out of range: write 1s to 24h"),
    (["nodes.fetchInterval=1m"], "nodes.fetchInterval: 1m is longer than nodes.writeInterval 30s: fetch at least once"),
    (["nodes.feeds={eth-usd}"], "nodes.feeds.0: Does not match pattern"),
    (["nodes.sources={binance}"], "nodes.sources.0: Does not match pattern"),
    (["nodes.sources={kraken}", "nodes.coingeckoKey.existingSecret=gecko"], "nodes.coingeckoKey.existingSecret: is for a source that is not asked"),
    (["nodes.sources={kraken}", "nodes.minSources=2"], "nodes.minSources: 2 is more than the 1 of nodes.sources"),
    (["nodes.quorumFraction=3/3"], "nodes.quorumFraction: 3/3 is not below 1, and no record has the signatures of more than all: write a part, like 2/3"),
    (["nodes.quorumFraction=3/2", "nodes.replicas=2"], "nodes.replicas: 2 is fewer than the 3 signatures that a record needs (nodes.minSignatures 3, nodes.quorumFraction 3/2): raise it to 3"),
    (["nodes.extraArgs={--api-listen=[::]:80}"], "nodes.extraArgs: --api-listen is given by the chart already"),
    (["nodes.peers={/dns4/a/udp/5000/quic-v1}"], "nodes.peers.0: Does not match pattern"),
    (["migrate.podLabels.app\\.kubernetes\\.io/component=job"], "podLabels: app.kubernetes.io/component is what Services find the pods by: leave it out"),
    (["image.digest=0123"], "image.digest: Does not match pattern"),
    (["nodes.quorumFraction=1"], "nodes.quorumFraction: Must be less than 1"),
    (["nodes.quorumFraction=two thirds"], "nodes.quorumFraction: Does not match pattern"),
    (["nodes.keys.passwordKey=password"], "nodes.keys.passwordKey: password is an entry of no Secret"),
    (["network.name=Main Net"], "network.name: Does not match pattern"),
    (["network.name=a-name-of-24-characters-", "exchange.simulated=true"], "longer than 32 characters: shorten it to 22"),
    (["postgres.enabled=false"], "postgres.external.host: is empty, and postgres.enabled is false: name the database's host"),
    (["postgres.enabled=false"], "postgres.external.existingSecret: is empty; name a Secret"),
    (["postgres.external.host=db"], "postgres.external.existingSecret: is empty; name a Secret"),
    (["postgres.external.host=db", "postgres.external.existingSecret=s", "postgres.external.sslMode=prefer", "postgres.external.caSecret=ca"],
     "postgres.external.caSecret: ca is not looked at with postgres.external.sslMode prefer"),
    (["postgres.external.host=a b", "postgres.external.existingSecret=s"], "postgres.external.host: Does not match pattern"),
    (["postgres.external.nodeUrl.secret=n"], "postgres.external.ownerUrl.secret: is empty, and the migration needs the owner's URL"),
    (["postgres.external.nodeUrl.secret=n", "postgres.external.host=a", "migrate.enabled=false"], "postgres.external.host: is given together with postgres.external.nodeUrl"),
    (["postgres.external.sslMode=on"], "postgres.external.sslMode"),
    (["members[0].name=a", "members[0].address=0x12"], "members.0.address: Does not match pattern"),
    (["members[0].name=a", f"members[0].address={A}"], "members: lists 1, fewer than the 3 signatures that a record needs (nodes.minSignatures 3): list 3"),
    (["members[0].name=a", f"members[0].address={A}", "members[1].name=a", f"members[1].address={A.lower()}", "nodes.minSignatures=1"],
     "members: the name a stands twice"),
    (["members[0].name=a", f"members[0].address={A}", "members[1].name=b", f"members[1].address={A.lower()}", "nodes.minSignatures=1"],
     "stands twice: list each member once"),
    (["members[0].name=a", f"members[0].address={A}", "members[1].name=b", f"members[1].address={B}", "nodes.minSignatures=2"],
     "members: lists addresses of keys that the nodes have yet to make"),
    (["-", "nodes.replicas=1", "nodes.peers=null"],
     "nodes.replicas: 1, and 1 endpoints elsewhere, are fewer than the 3 signatures that a record needs (nodes.minSignatures 3, nodes.quorumFraction 2/3): raise it to 2"),
    (["-", "nodes.replicas=5"], "nodes.replicas: 5 is more than the 4 of members"),
    (["-", "nodes.minValidators=2"], "nodes.minValidators: 2 is more than the 1 validators of members"),
]
for settings, message in REFUSED:
    options = ["--values", MEMBERS] if settings[0] == "-" else []
    words = [word for setting in settings if setting != "-"
             for word in ("--set-string" if "address" in setting else "--set", setting)]
    code, out, err = helm("template", "quorate", CHART, *options, *words)
    shown = ", ".join(s.replace(A, "A").replace(A.lower(), "a").replace(B, "B") for s in settings if s != "-")
    check(f"refused: {shown}", "" if code and message in err else f"    expected: {message}\n{err or out[:500]}")
code, out, err = helm("template", "quorate", CHART, "--kube-version", "1.19")
check("refused: Kubernetes 1.19", "" if code and "incompatible" in err else err or out[:500])


def followed(settings):
    """Does what a refusal says, as long as there is one; the number of times."""
    for times in range(5):
        code, _, err = helm("template", "quorate", CHART, *[word for key, value in settings.items() for word in ("--set", f"{key}={value}")])
        if not code:
            return times
        asked = re.search(r"nodes\.replicas: .*raise it to (\d+)", err)
        if asked:
            settings["nodes.replicas"] = asked[1]
        if "is not below 1" in err:
            settings["nodes.quorumFraction"] = "2/3"
    return f"{settings} is refused still: {err}"


for settings in [{"nodes.quorumFraction": "3/2"}, {"nodes.quorumFraction": "3/2", "nodes.replicas": 1}, {"nodes.quorumFraction": "0.999999999", "nodes.replicas": 1},
                 {"nodes.quorumFraction": "9/10", "nodes.replicas": 4, "nodes.minSignatures": 7}]:
    check(f"who does what a refusal says is not refused again: {settings}", "" if followed(dict(settings)) == 1 else f"    {followed(dict(settings))}")


# What a running release does not let be changed is noticed, and answered with what to do.

def upgrade(installed, *options, left_out=(), changed=lambda documents: None, is_upgrade=True):
    """Renders over what an installation with the options `installed` has made. What it says, or the objects."""
    there = objects(render(*installed, release="quorate"))
    # As the controller would make it.
    claims = [{"kind": "PersistentVolumeClaim", "metadata": {"name": f"{claim['metadata']['name']}-{d['metadata']['name']}-0"}}
              for d in of_kind(there, "StatefulSet") for claim in d["spec"].get("volumeClaimTemplates", [])]
    changed(there)
    with Cluster([d for d in there + claims if name(d) not in left_out]) as cluster:
        config = WORK / "kubeconfig"
        config.write_text(cluster.kubeconfig())
        code, out, err = helm("template", "quorate", CHART, "--namespace", "prices", "--dry-run=server", "--kubeconfig", config,
                              *(["--is-upgrade"] if is_upgrade else []), *options)
    return re.sub(r"\s+", " ", err) if code else objects(out)


def password_edited(documents):
    of_kind(documents, "Secret")[-1]["data"]["owner-password"] = base64.b64encode(b"another").decode()


def with_members(*addresses):
    return [word for at, address in enumerate(addresses)
            for word in ("--set", f"members[{at}].name=n{at}", "--set-string", f"members[{at}].address={address}")]


KEYS, OTHERS = ["--set", "nodes.keys.existingSecret=keys"], [f"0x{digit * 40}" for digit in "123456"]
GROW = "kubectl patch pvc -n prices {} -p '{{\"spec\":{{\"resources\":{{\"requests\":{{\"storage\":\"{}\"}}}}}}}}'"
for what, installed, options, more, expected in [
    ("a larger volume of the database", [], ["--set", "postgres.storage.size=20Gi"], {}, [
        "postgres.storage.size: 20Gi, and the volume was made with 4Gi", GROW.format("data-quorate-postgres-0", "20Gi"),
        "kubectl delete statefulset -n prices quorate-postgres --cascade=orphan"]),
    ("a smaller one", [], ["--set", "postgres.storage.size=4095Mi"], {}, ["a volume does not shrink: write 4Gi"]),
    ("the same size in another unit", [], ["--set", "postgres.storage.size=4096Mi"], {}, []),
    ("larger volumes of the keys", [], ["--set", "nodes.keys.storage.size=1Gi"], {}, [GROW.format("key-quorate-node-2", "1Gi"), "statefulset -n prices quorate-node"]),
    ("another storage class", [], ["--set", "postgres.storage.storageClass=fast"], {}, ['postgres.storage.storageClass: "fast", and the volume was made with ""']),
    ("another major version of Postgres", [], ["--set", "postgres.image.tag=17-bookworm"], {}, ["postgres.image.tag: 17-bookworm, and the volume was made by Postgres 15"]),
    ("another minor one", [], ["--set", "postgres.image.tag=15.9"], {}, []),
    ("keys from a Secret in place of their own", [], KEYS, {}, ["the nodes have made keys of their own", "kubectl delete statefulset -n prices quorate-node --cascade=orphan"]),
    ("their own keys in place of a Secret's", KEYS, [], {}, ["the nodes have their keys from a Secret"]),
    ("an owner's password that the database does not know", [], [], {"changed": password_edited}, [
        "the owner-password in the Secret quorate-postgres is not the one", "ALTER ROLE quorate PASSWORD", "annotate statefulset -n prices quorate-postgres quorate/owner-password-"]),
    ("a volume whose passwords are gone", [], [], {"left_out": ["Secret quorate-postgres"]}, ["the Secret quorate-postgres with its passwords is gone"]),
    ("the same after uninstalling", [], [], {"left_out": ["Secret quorate-postgres", "StatefulSet quorate-postgres", "StatefulSet quorate-node"], "is_upgrade": False},
     ["the Secret quorate-postgres with its passwords is gone"]),
    ("members who are all others", [*KEYS, *with_members(*OTHERS[:3])], [*KEYS, *with_members(*OTHERS[3:])], {}, [
        "members: keeps 0 of the members that there are, and a record needs 3 signatures"]),
    ("one more member", [*KEYS, *with_members(*OTHERS[:3])], [*KEYS, *with_members(*OTHERS[:4])], {}, []),
    ("one member less of four", [*KEYS, *with_members(*OTHERS[:4])], [*KEYS, *with_members(*OTHERS[1:4])], {}, []),
    ("a fourth node, of four who must sign", [*KEYS, *with_members(*OTHERS[:3])],
     [*KEYS, *with_members(*OTHERS[:4]), "--set", "nodes.minSignatures=4,nodes.replicas=4"], {}, []),
    ("the same values again", [], [], {}, []),
]:
    found = upgrade(installed, *options, **more)
    wrong = [message for message in expected if message not in found] if expected else [] if isinstance(found, list) else [found]
    check(f"upgrade with {what}: {'refused, with the steps' if expected else 'taken'}", lines(wrong + [str(found)[:600]] if wrong else []))


def failed(documents):
    job = of_kind(documents, "Job")[0]
    job["metadata"]["uid"] = "1"
    job["status"] = {"conditions": [{"type": "Failed", "status": "True"}]}


made = [of_kind(upgrade([], changed=changed), "Job")[0]["metadata"]["name"] for changed in (lambda _: None, failed)]
check("a migration that failed is tried anew by the next upgrade, and one that did not is left", "" if made[0] != made[1] and made[0] ==
      of_kind(objects(render()), "Job")[0]["metadata"]["name"] else lines(made))
kept = of_kind(upgrade([], changed=lambda documents: made.append(of_kind(documents, "Secret"))), "Secret")
check("passwords and the network secret are kept by an upgrade", "" if [s["data"] for s in kept] == [s["data"] for s in made[-1]] else lines(kept))
openshift = [spec["securityContext"] for _, _, spec in pods(objects(render("--api-versions", "security.openshift.io/v1")))]
check("OpenShift assigns users and groups by itself", lines(f for f in openshift if {"runAsUser", "runAsGroup", "fsGroup"} & set(f)))


# The rest: rules between two renderings, and files.

def only(documents, kind, part=""):
    return [d for d in of_kind(documents, kind) if part in d["metadata"]["name"]]


def job(*settings):
    words = [word for setting in settings for word in ("--set", setting)]
    return only(objects(render(*words)), "Job")[0]["metadata"]["name"]


check("the migration's Job is the same if nothing changes in it",
      "" if job() == job() == job("nodes.replicas=5") == job("nodes.maxDeviationBps=75") else "    another name")
names = {job(*settings) for settings in ([], ["nodes.writeInterval=1m"], ["nodes.minSignatures=2"], ["image.tag=v2"], ["migrate.run=2"])}
check("and another if something does", "" if len(names) == 5 else lines(names))
hooks = [name(d) for d in objects(render()) if "helm.sh/hook" in d["metadata"].get("annotations", {})]
check("nothing but the test is a hook", "" if hooks == ["Pod quorate-test"] else lines(hooks))

passwords = only(objects(render()), "Secret", "postgres")[0]
check("uninstalling keeps the passwords", "" if passwords["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" else "    not kept")
secret = base64.b64decode(only(objects(render()), "Secret", "network")[0]["data"]["network-secret"]).decode()
check("the network secret is 64 hex digits", "" if re.fullmatch("[0-9a-f]{64}", secret) else f"    {len(secret)} characters")

for replicas, options, most in [(3, [], 1), (5, [], 2), (7, ["--set", "nodes.quorumFraction=2/3"], 2), (10, ["--set", "nodes.quorumFraction=0.5"], 4),
                                (9, ["--set", "nodes.quorumFraction=0.09"], 6)]:
    budget = only(objects(render("--set", f"nodes.replicas={replicas}", *options)), "PodDisruptionBudget")[0]["spec"]["maxUnavailable"]
    check(f"of {replicas} nodes {' '.join(options[1:])} at most {most} are taken away at once", "" if budget == most else f"    {budget}")

plain = objects(render())
node = only(plain, "StatefulSet", "node")[0]["spec"]
peers = only(plain, "Service", "quorate-nodes")[0]["spec"]
check("nodes start together and find each other before they are ready",
      "" if node["podManagementPolicy"] == "Parallel" and peers["publishNotReadyAddresses"] and peers["clusterIP"] == "None" else str(peers))
check("a node starts without being checked first", "    it is checked" if "initContainers" in node["template"]["spec"] else "")
checked = only(objects(render("--values", MEMBERS, "--set", "nodes.preflight.enabled=true")), "StatefulSet", "node")[0]["spec"]["template"]["spec"]
[before], [after] = checked["initContainers"], checked["containers"]
check("unless it is asked for, with the node's own options, files, variables and memory", lines(
    [key for key in ("image", "env", "resources", "securityContext", "volumeMounts") if before[key] != after[key]]
    + (["args"] if (before["args"][0], before["args"][1:]) != ("check", after["args"][1:]) else [])))
check("a node has time to drain", "" if node["template"]["spec"]["terminationGracePeriodSeconds"] > 10 else "    10 s or less")
check("the cluster's domain stands nowhere", "    cluster.local" if "cluster.local" in re.sub("#.*", "", render()) else "")
changed = objects(render("--set", "nodes.podAnnotations.a=b,image.tag=v9,nodes.replicas=5"))
check("selectors are the same whatever changes", "" if [d["spec"]["selector"] for d in of_kind(plain, "StatefulSet", "Service")]
      == [d["spec"]["selector"] for d in of_kind(changed, "StatefulSet", "Service")] else "    they differ")
check("old records are archived only if it is asked for, by a CronJob that the cluster knows", lines([
    *(name(d) for d in of_kind(objects(render()), "CronJob")),
    *(f"{version}: {job['apiVersion']}" for version, api in (("1.20.0", "batch/v1beta1"), ("1.32.0", "batch/v1"))
      for job in of_kind(objects(render("--set", "archive.enabled=true", version=version)), "CronJob") if job["apiVersion"] != api),
    *(name(d) for d in of_kind(objects(render("--set", "archive.enabled=true", "--set", "archive.existingClaim=mine")), "PersistentVolumeClaim")
      if d["metadata"]["name"].endswith("-archive")),
]))
check("a migration that is switched off is not there", lines(name(d) for d in only(objects(render("--set", "migrate.enabled=false")), "Job")))
external = objects(render("--values", HERE / "values" / "external.yaml"))
cnpg = yaml.safe_load((CHART / "values-cnpg.yaml").read_text())["postgres"]["external"]
secret, cluster = yaml.safe_load_all((CHART / "cnpg-cluster.yaml").read_text())
url = secret["stringData"]["url"]
check("what CloudNativePG is told to make is what the chart asks for", lines(problem for problem, ok in {
    "the owner's Secret": cnpg["ownerUrl"] == {"secret": f"{cluster['metadata']['name']}-app", "key": "uri"},
    "the authority": cnpg["caSecret"] == f"{cluster['metadata']['name']}-ca",
    "the nodes' Secret": cnpg["nodeUrl"] == {"secret": secret["metadata"]["name"], "key": "url"},
    "the URL to read from": cnpg["readUrl"] == {"secret": secret["metadata"]["name"], "key": "read-url"}
        and secret["stringData"]["read-url"] == url.replace("-rw:", "-ro:"),
    "the role and its password": [(role["name"], role["passwordSecret"]["name"]) for role in cluster["spec"]["managed"]["roles"]]
        == [("quorate_node", secret["metadata"]["name"])],
    "the password in the URL": f"//{secret['stringData']['username']}:{secret['stringData']['password']}@" in url,
    "the service of the primary": f"@{cluster['metadata']['name']}-rw:5432/{cluster['spec']['bootstrap']['initdb']['database']}?" in url,
}.items() if not ok))
check("with an external database there is no Postgres", lines(name(d) for d in external if "postgres" in d["metadata"]["name"]))

def names_fit(documents):
    for document in documents:
        if not re.fullmatch("[a-z]([-a-z0-9]{0,61}[a-z0-9])?", document["metadata"]["name"]):
            yield f"{name(document)} is no name of a Service"
        if not isinstance(document["metadata"]["labels"]["app.kubernetes.io/instance"], str):
            yield f"{name(document)}: the release's name is no text"


# As many characters as helm lets a release's name have, and 54 fewer.
RELEASES = ["a-release-with-a-name-as-long-as-helm-lets-it-be-53xx", "a-release-with-a-name-as-long-as-helm-lets-it-be-53xy", "q", "my.release", "my-release",
            "1st", "n1st", "123", "1e3", "0x10", "on", "null", "a.quorate.b", f"{'a' * 25}.{'1' * 27}"]
called = {}
for release in RELEASES:
    documents = objects(render("--set", "exchange.simulated=true", release=release))
    check(f"the name of a release fits: {release}", lines([*names_fit(documents), *names_are_short(documents), *selectors_match(documents)]))
    called[release] = frozenset(map(name, documents))
check("and no two releases make an object of the same name", lines(
    f"{a}, {b}: {sorted(called[a] & called[b])}" for a in RELEASES for b in RELEASES if a < b and called[a] & called[b]))


def given(option, *settings, component="node"):
    documents = objects(render(*[word for setting in settings for word in ("--set", setting)]))
    found = [spec for _, labels, spec in pods(documents) if labels["app.kubernetes.io/component"] == component]
    return [argument.split("=", 1)[1] for argument in found[0]["containers"][0]["args"] if argument.startswith(f"--{option}=")]


for host, wanted in [("fd00::10", "[fd00::10]:5432"), ("[fd00::10]", "[fd00::10]:5432"), ("[fd00::10]:6432", "[fd00::10]:6432"), ("::1", "[::1]:5432"),
                     ("10.0.0.1:6432", "10.0.0.1:6432"), ("db.example", "db.example:5432"), (r"a\,b:1\, fd00::1", "a:5432,b:1,[fd00::1]:5432"),
                     ("{a,fd00::1}", "a:5432,[fd00::1]:5432")]:
    secret = "postgres.external.existingSecret=s"
    urls = given("database-url", f"postgres.external.host={host}", secret) + given("database-url", f"postgres.external.host={host}", secret, component="migrate")
    more = "&target_session_attrs=read-write" if "," in wanted else ""
    check(f"an external host: {host}", "" if urls == [f"postgres://{user}@{wanted}/quorate?sslmode=require{more}" for user in ("quorate_node", "quorate")] else lines(urls))
user = given("database-url", "postgres.external.host=h", "postgres.external.existingSecret=s", "postgres.external.ownerUser=a+b@c", component="migrate")[0]
check("a user's signs are written as a URL has them", "" if user.startswith("postgres://a%2Bb%40c@h:5432/") else user)
check("nodes listen on both families", "" if (given("listen"), given("api-listen")) == (["/ip4/0.0.0.0/tcp/5000", "/ip6/::/tcp/5000"], ["[::]:8080"]) else lines(given("listen")))
check("or, where a kernel has no IPv6, on one", "" if (given("listen", "network.ipv6=false"), given("api-listen", "network.ipv6=false"))
      == (["/ip4/0.0.0.0/tcp/5000"], ["0.0.0.0:8080"]) else lines(given("listen", "network.ipv6=false")))
digest = "sha256:" + "0" * 64
images = {spec["containers"][0]["image"] for _, _, spec in pods(objects(render("--set", f"image.digest={digest},postgres.image.digest={digest},exchange.simulated=true")))}
check("an image can be named by its digest", "" if images == {f"quorate@{digest}", f"postgres:15-bookworm@{digest}"} else lines(images))
check("by default nodes seal what they say, and look for nobody by multicast", "" if given("network-secret-file") and given("mdns") == ["false"] else lines(given("mdns")))
compose = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
check("so do those of compose.yaml", lines(service for service, of in compose.items() if service.startswith("node-") and not
      {"--network-secret-file=/secrets/node/network-secret", "--mdns=false"} <= set(of["command"])))
check("and its Postgres is the chart's", "" if compose["postgres"]["image"] == only(objects(render()), "StatefulSet", "postgres")[0]["spec"]["template"]["spec"]["containers"][0]["image"]
      else compose["postgres"]["image"])
crates = re.findall(r'"(\w+)"', re.search(r"members = \[(.*?)\]", (ROOT / "Cargo.toml").read_text())[1])
dockerfile, context = (ROOT / "Dockerfile").read_text(), (ROOT / ".dockerignore").read_text().splitlines()
check("the image's build is given every crate of the workspace", lines(
    crate for crate in crates if f"COPY {crate}/Cargo.toml {crate}/" not in dockerfile or f"!{crate}/Cargo.toml" not in context
    or (crate != "testkit" and (f"COPY {crate} {crate}" not in dockerfile or f"!{crate}/src" not in context))))
waiting = [f"{path.relative_to(ROOT)}: {line.strip()}" for path in (ROOT / "README.md", ROOT / "helm" / "templates" / "NOTES.txt", ROOT / "docs" / "architecture.md")
           for line in path.read_text().splitlines() if re.search(r"helm (install|upgrade) \S+ .*(\./helm|CHART)", line) and "--wait --wait-for-jobs" not in line]
check("every documented install and upgrade waits for the migration too", lines(waiting))


def network(**more):
    return re.search("--network=(.*)", render("--set", "exchange.simulated=true", **more))[1]


networks = [network(), network(namespace="other"), network(release="quorate-2"), network(namespace="n" * 63), network(namespace="n" * 62)]
check("each release is a network of its own", "" if len(set(networks)) == 5 and max(map(len, networks)) <= 32 else lines(networks))
said = notes(release="mine")
strangers = [word for word in re.findall(r"(?<![\w-])mine-\S*quorate[\w-]*", said) if not re.fullmatch("mine-quorate(-node-0|-postgres|-postgres-0|-test)?", word)]
check("the notes know a release's own name", lines(strangers) or ("" if "mine-quorate-node-0" in said else said))
check("the notes say loudly that prices are invented", "" if "PRICES ARE INVENTED" in notes("--set", "exchange.simulated=true") else "    no")
check("and are silent of it otherwise", "    not silent" if "INVENTED" in said else "")
check("the notes lead to an external database", lines(
    w for w in ["@db.example:6432/prices", "database-passwords"] if w not in notes("--values", HERE / "values" / "external.yaml")))

schema = json.loads((CHART / "values.schema.json").read_text())
defaults = yaml.safe_load((CHART / "values.yaml").read_text())


def undescribed(part, path=""):
    if not part.get("description"):
        yield f"{path}: no description"
    if "properties" in part and part.get("additionalProperties") is not False:
        yield f"{path}: takes unknown keys"
    for key, inner in part.get("properties", {}).items():
        yield from undescribed(inner, f"{path}.{key}")
    if isinstance(part.get("items"), dict):
        yield from undescribed(part["items"], f"{path}[]")


def unequal(part, values, path=""):
    keys = set(part.get("properties", {})) - {"global"}
    if keys:
        yield from (f"{path}.{key}: only in one of schema and values" for key in keys ^ set(values))
        for key in keys & set(values):
            if part["properties"][key].get("type") == "object" and isinstance(values[key], dict):
                if part["properties"][key].get("properties") and "resources" not in key:
                    yield from unequal(part["properties"][key], values[key], f"{path}.{key}")


check("the schema describes every key and takes no other", lines(undescribed(schema)))
check("values.yaml has every key of the schema, and no other", lines(unequal(schema, defaults)))

page = ROOT / "docs" / "metrics.md"
check("docs/metrics.md is there", "" if page.exists() else f"    no {page.relative_to(ROOT)}")
known = dict(re.findall(r"(?m)^\| `(quorate_\w+)` \| (\w+)", page.read_text()))
dashboard_text = (CHART / "dashboards" / "quorate.json").read_text()
dashboard = json.loads(dashboard_text)
expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
expressions += [variable["query"] for variable in dashboard["templating"]["list"]]
monitored = objects(render("--values", HERE / "values" / "everything.yaml"))
rules = [rule for d in of_kind(monitored, "PrometheusRule") for group in d["spec"]["groups"] for rule in group["rules"]]
expressions += [rule["expr"] for rule in rules]
used = {metric for expression in expressions for metric in re.findall(r"quorate_\w+", expression)}


def is_known(metric):
    of = re.sub("_(bucket|count|sum)$", "", metric)
    return known.get(metric) in ("counter", "gauge") or (of != metric and known.get(of) == "histogram")


check(f"the {len(used)} metrics of dashboard and alerts are those of docs/metrics.md", lines(sorted(m for m in used if not is_known(m))))
rates = [re.findall(r"(?:rate|increase)\((quorate_\w+)", expression) for expression in expressions]
check("rates are of counters", lines(m for ms in rates for m in ms if known.get(m) == "gauge"))
check("every alert tells what it means and what to do", lines(
    r["alert"] for r in rules if not (r["annotations"].get("summary") and r["annotations"].get("description") and r["labels"].get("severity"))))
check("every panel says what it shows", lines(p["title"] for p in dashboard["panels"] if not p.get("description")))
shipped = only(monitored, "ConfigMap", "dashboard")[0]
check("the dashboard is shipped whole, for Grafana's sidecar",
      "" if json.loads(shipped["data"]["quorate.json"]) == dashboard and shipped["metadata"]["labels"]["grafana_dashboard"] == "1" else "    not")

shutil.rmtree(WORK)
print(f"{passed} passed, 0 failed")
