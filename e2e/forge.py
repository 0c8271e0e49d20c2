"""A pod that serves a Git repository and an index of Python packages to the pods of its namespace."""

from __future__ import annotations

import json
from typing import Any

from e2e.workspace import Workspace

_NAME = "forge"
_GIT, _INDEX = 8080, 8081
USERNAME, PASSWORD = "me", "e2e-not-a-real-password"
#: What the package ``greeting`` says, in its version 1.0.
WORDS = "hello from a wheel"

# Serves one commit, for one user, and one package, whose wheel it makes. It prints the commit.
_SERVE = """
import base64, http.server, os, pathlib, sys, threading, zipfile
from dulwich import porcelain
from dulwich.repo import Repo
from dulwich.server import DictBackend
from dulwich.web import make_server, make_wsgi_chain

source, user, words, git, index = sys.argv[1:]
folder = pathlib.Path("/tmp/repository")
(folder / "solve").mkdir(parents=True)
repository = Repo.init(str(folder))
(folder / "solve" / "main.py").write_text(source)
(folder / "solve" / "figures.py").write_text("known = 42\\n")
porcelain.add(str(folder), [str(each) for each in (folder / "solve").iterdir()])
author = b"e2e <e2e@example.org>"
print(porcelain.commit(str(folder), b"one", author=author, committer=author).decode(), flush=True)
chain = make_wsgi_chain(DictBackend({"/lab/solve": repository}))

def guarded(environ, start_response):
    if environ.get("HTTP_AUTHORIZATION") != "Basic " + base64.b64encode(user.encode()).decode():
        start_response("401 Unauthorized", [("WWW-Authenticate", "Basic")])
        return [b""]
    return chain(environ, start_response)

wheels = pathlib.Path("/tmp/index/simple/greeting")
wheels.mkdir(parents=True)
with zipfile.ZipFile(wheels / "greeting-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("greeting.py", f"words = {words!r}")
    about = "greeting-1.0.dist-info/"
    wheel.writestr(about + "METADATA", "Metadata-Version: 2.1\\nName: greeting\\nVersion: 1.0\\n")
    wheel.writestr(about + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr(about + "RECORD", "greeting.py,,\\n")
os.chdir("/tmp/index")
threading.Thread(target=make_server("", int(git), guarded).serve_forever).start()
http.server.ThreadingHTTPServer(("", int(index)), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


class Forge:
    """The pod, from when it answers."""

    def __init__(self, workspace: Workspace, source: str) -> None:
        """Start it; the repository has ``source`` as solve/main.py, and beside it figures.py with ``known = 42``."""
        self._workspace = workspace
        arguments = [source, f"{USERNAME}:{PASSWORD}", WORDS, str(_GIT), str(_INDEX)]
        container = {
            "name": _NAME,
            "image": workspace.cluster.images.image("program"),
            "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-c", _SERVE, *arguments],
            "readinessProbe": {"tcpSocket": {"port": _INDEX}, "periodSeconds": 1},
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
        security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
        spec = {"containers": [container], "securityContext": security, "terminationGracePeriodSeconds": 0}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": _NAME}, "spec": spec}
        # ``create``: an annotation with a copy of the text helps nobody.
        workspace.kubectl("create", "--filename=-", stdin=json.dumps(pod))
        workspace.wait("--for=condition=Ready", f"pod/{_NAME}")
        self._address = workspace.get("pod", _NAME)["status"]["podIP"]
        self.commit = workspace.kubectl("logs", _NAME).split()[0]

    def url(self) -> str:
        """Return where the repository is."""
        return f"http://{self._address}:{_GIT}/lab/solve"

    def pip(self) -> list[dict[str, Any]]:
        """Return the variables by which pip finds the index."""
        index = {"name": "PIP_INDEX_URL", "value": f"http://{self._address}:{_INDEX}/simple"}
        return [index, {"name": "PIP_TRUSTED_HOST", "value": self._address}]

    def end(self) -> None:
        """End it."""
        self._workspace.kubectl("delete", "pod", _NAME)
