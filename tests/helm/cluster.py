"""A Kubernetes API of a few answers, for `helm template --dry-run=server`: templates that look objects up find those that a test
puts there. It knows nothing else; what a real API refuses is for tests/cluster."""

import http.server
import json
import threading

RESOURCES = {
    "v1": {"secrets": "Secret", "persistentvolumeclaims": "PersistentVolumeClaim", "configmaps": "ConfigMap"},
    "apps/v1": {"statefulsets": "StatefulSet"},
    "batch/v1": {"jobs": "Job"},
}


class Cluster:
    """An API server on a port of its own, from `with` to the end of its block."""

    def __init__(self, objects):
        """`objects` are found by kind and name, in any namespace."""
        self.objects = {(each["kind"], each["metadata"]["name"]): each for each in objects}

    def __enter__(self):
        answer = self.answer

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                code, body = answer(self.path.split("?")[0].strip("/").split("/"))
                body = json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def kubeconfig(self):
        named = [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.server.server_port}"}}]
        return json.dumps({"apiVersion": "v1", "kind": "Config", "clusters": named, "current-context": "c",
                           "contexts": [{"name": "c", "context": {"cluster": "c"}}]})

    def answer(self, path):
        if path == ["version"]:
            return 200, {"major": "1", "minor": "32", "gitVersion": "v1.32.0"}
        if path == ["api"]:
            return 200, {"kind": "APIVersions", "versions": ["v1"]}
        if path == ["apis"]:
            groups = [version.split("/") for version in RESOURCES if "/" in version]
            return 200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": [
                {"name": group, "versions": [{"groupVersion": f"{group}/{version}", "version": version}]} for group, version in groups]}
        version = path[1] if path[0] == "api" else "/".join(path[1:3])
        rest = path[2 if path[0] == "api" else 3:]
        resources = RESOURCES.get(version, {})
        if not rest:
            return 200, {"kind": "APIResourceList", "groupVersion": version, "resources": [
                {"name": name, "singularName": "", "namespaced": True, "kind": kind, "verbs": ["get", "list"]} for name, kind in resources.items()]}
        if len(rest) == 4 and rest[0] == "namespaces" and (resources.get(rest[2]), rest[3]) in self.objects:
            return 200, {"apiVersion": version, **self.objects[resources[rest[2]], rest[3]]}
        return 404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
