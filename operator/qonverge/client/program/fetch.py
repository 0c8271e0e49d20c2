"""Brings a program from a Git repository: ``python -m qonverge.client.program.fetch URL REVISION FOLDER``.

The commit goes to ``$QONVERGE_TERMINATION_LOG`` where it succeeds, and a sentence where it does not. The exit status is
75 where another try may succeed.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from qonverge.documents.excerpt import some
from qonverge.wire.program_inits import PASSWORD, TRY_AGAIN, USERNAME

if TYPE_CHECKING:
    from dulwich.objects import ObjectID
    from dulwich.refs import Ref

_SECONDS = 60.0
"""For each answer of the server."""


class NotFetched(Exception):
    """The program could not be brought; the message is a sentence."""

    def __init__(self, message: str, *, again: bool = False) -> None:
        """``again``: whether another try may succeed."""
        super().__init__(message)
        self.again = again


def fetch(url: str, revision: str, folder: Path, *, username: str | None = None, password: str | None = None) -> str:
    """Write the files of a revision into a folder, without the history, and return its commit, in hex.

    Args:
        url: of the repository, by HTTP.
        revision: a branch, a tag, a whole commit id, or HEAD.
        folder: which there is, and is empty.
        username: for the server.
        password: or token, for the server.

    Raises:
        NotFetched: there is no such repository or revision, or the server did not answer.
        ImportError: dulwich is not installed.
    """
    try:
        from dulwich.client import HttpGitClient, HTTPUnauthorized
        from dulwich.errors import GitProtocolError, HangupException, NotGitRepository
        from dulwich.index import build_index_from_tree
        from dulwich.objects import Commit
        from dulwich.repo import Repo
    except ImportError as error:
        raise ImportError("programs from Git repositories need dulwich: install qonverge[git]") from error

    parsed = urlsplit(url)
    try:
        client = HttpGitClient(
            f"{parsed.scheme}://{parsed.netloc}", username=username, password=password, timeout=_SECONDS, quiet=True
        )
        refs = {name: value for name, value in client.get_refs(parsed.path).refs.items() if value is not None}
        wanted = resolve(refs, revision)
        with tempfile.TemporaryDirectory(prefix="qonverge-git-") as bare:
            repository = Repo.init_bare(bare)
            with contextlib.closing(repository):
                try:
                    client.fetch(parsed.path, repository, lambda *_, **__: [wanted], depth=1)
                except GitProtocolError:
                    if wanted in refs.values():
                        raise
                    # Some servers give only what a branch or tag is at: the rest comes with its history.
                    client.fetch(parsed.path, repository)
                if wanted not in repository.object_store:
                    raise NotFetched(f"{url} has no commit {revision}")
                commit = repository[wanted]
                if not isinstance(commit, Commit):
                    raise NotFetched(f"{revision} of {url} is no commit")
                build_index_from_tree(str(folder), str(Path(bare) / "index"), repository.object_store, commit.tree)
        return wanted.decode()
    except LookupError as error:
        raise NotFetched(f"{url} has no revision {revision}: {error.args[0]}") from None
    except HTTPUnauthorized:
        given = "does not take the credentials" if username or password else "asks for credentials"
        raise NotFetched(f"{url} {given}: name a Secret with username and password in git.credentials") from None
    except NotGitRepository:
        raise NotFetched(f"there is no Git repository at {url}, or it is shown with credentials only") from None
    except (GitProtocolError, HangupException, OSError) as error:
        raise NotFetched(f"{url} could not be read: {error or type(error).__name__}", again=True) from None


def resolve(refs: Mapping[Ref, ObjectID], revision: str) -> ObjectID:
    """Return the commit that a repository has for a revision, or the revision itself where it is a whole commit id.

    Raises:
        LookupError: it has none; with what it has.
    """
    # What an annotated tag is about stands beside it.
    for form in ("{}^{{}}", "{}", "refs/tags/{}^{{}}", "refs/tags/{}", "refs/heads/{}"):
        if (found := refs.get(form.format(revision).encode())) is not None:  # type: ignore[call-overload]
            return found  # type: ignore[no-any-return]
    if re.fullmatch("[0-9a-f]{40}", revision):
        return revision.encode()  # type: ignore[return-value]
    names = [name.decode() for name in refs if not name.endswith(b"^{}")]
    known = sorted(re.sub("^refs/(heads|tags)/", "", name) for name in names)
    raise LookupError(f"it has {some(known)}; a commit is given by its whole id")


def main() -> None:
    """Fetch into the folder, and leave the commit or a sentence where the kubelet reads it."""
    if len(sys.argv) != 4:
        sys.exit("usage: python -m qonverge.client.program.fetch URL REVISION FOLDER")
    url, revision, folder = sys.argv[1:]
    given = os.environ
    try:
        commit = fetch(url, revision, Path(folder), username=given.get(USERNAME), password=given.get(PASSWORD))
    except NotFetched as error:
        _leave(str(error))
        print(f"qonverge: {error}", file=sys.stderr)
        sys.exit(TRY_AGAIN if error.again else 1)
    _leave(commit)


def _leave(words: str) -> None:
    if (log := os.environ.get("QONVERGE_TERMINATION_LOG")) is not None:
        Path(log).write_text(words, encoding="utf-8")


if __name__ == "__main__":
    main()
