"""A Git repository behind HTTP, for tests."""

from __future__ import annotations

import base64
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from dulwich import porcelain
from dulwich.repo import Repo
from dulwich.server import BackendRepo, DictBackend
from dulwich.web import make_server, make_wsgi_chain

PROGRAM = """
import sys
from pathlib import Path
from qonverge.client import result
from figures import known

result([{number}, known, sys.argv[1:], Path("solve/main.py").exists()])
"""


class Site:
    """A repository with three commits, a branch and tags, behind HTTP."""

    def __init__(self, folder: Path) -> None:
        self.repository = Repo.init(str(folder), mkdir=True)
        self.commits = []
        for number in (1, 2, 3):
            (folder / "solve").mkdir(exist_ok=True)
            (folder / "solve" / "main.py").write_text(PROGRAM.format(number=number))
            (folder / "solve" / "figures.py").write_text("known = 42\n")
            porcelain.add(str(folder), [str(folder / "solve" / name) for name in ("main.py", "figures.py")])
            self.commits.append(
                porcelain.commit(str(folder), b"change", author=b"a <a@b>", committer=b"a <a@b>").decode()
            )
        porcelain.branch_create(str(folder), "old", self.commits[1])
        porcelain.tag_create(
            str(folder), "v1", annotated=True, message=b"one", author=b"a <a@b>", objectish=self.commits[1]
        )
        # Neither a branch nor a tag is at the first one.
        porcelain.branch_create(str(folder), "main2", self.commits[2])
        self.password = ""
        chain = make_wsgi_chain(DictBackend({"/lab/solve": cast("BackendRepo", self.repository)}))

        def guarded(environ: dict[str, Any], start_response: Any) -> Any:
            wanted = "Basic " + base64.b64encode(f"me:{self.password}".encode()).decode()
            if self.password and environ.get("HTTP_AUTHORIZATION") != wanted:
                start_response("401 Unauthorized", [("WWW-Authenticate", "Basic")])
                return [b""]
            return chain(environ, start_response)

        self.server = make_server("127.0.0.1", 0, guarded)
        self.url = f"http://127.0.0.1:{self.server.server_port}/lab/solve"


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Site]:
    """Serve a repository that is made in a folder."""
    site = Site(folder)
    thread = threading.Thread(target=site.server.serve_forever)
    thread.start()
    try:
        yield site
    finally:
        site.server.shutdown()
        thread.join()
        site.server.server_close()
        site.repository.close()
