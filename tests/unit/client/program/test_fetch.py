"""Programs from Git repositories, on a server of the tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qonverge.client.program import fetch as fetching
from qonverge.client.program.fetch import NotFetched, fetch
from qonverge.wire.program_inits import PASSWORD, TRY_AGAIN, USERNAME
from tests.git_site import PROGRAM, Site, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(tmp_path_factory.mktemp("git") / "solve") as site:
        yield site


@pytest.fixture
def site(served: Site) -> Site:
    served.password = ""
    return served


@pytest.mark.parametrize(
    ("revision", "which"), [("HEAD", 2), ("old", 1), ("v1", 1), ("refs/heads/old", 1), ("main2", 2)]
)
def test_a_branch_or_a_tag_is_brought_with_its_commit(site: Site, tmp_path: Path, revision: str, which: int) -> None:
    assert fetch(site.url, revision, tmp_path) == site.commits[which]
    assert (tmp_path / "solve" / "main.py").read_text() == PROGRAM.format(number=which + 1)
    # The history is of no use to a program.
    assert [path.name for path in tmp_path.iterdir()] == ["solve"]


@pytest.mark.parametrize("which", [0, 2])
def test_a_commit_is_brought_by_its_id(site: Site, tmp_path: Path, which: int) -> None:
    assert fetch(site.url, site.commits[which], tmp_path) == site.commits[which]


def test_what_is_not_there_is_said_with_what_is(site: Site, tmp_path: Path) -> None:
    with pytest.raises(
        NotFetched, match=r"has no revision v2: it has HEAD, main2, master, old, v1; a commit is"
    ) as refused:
        fetch(site.url, "v2", tmp_path)
    assert not refused.value.again
    with pytest.raises(NotFetched, match=r"has no commit a{40}"):
        fetch(site.url, "a" * 40, tmp_path)
    with pytest.raises(NotFetched, match=r"there is no Git repository at .*/lab/none"):
        fetch(site.url.replace("solve", "none"), "HEAD", tmp_path)


def test_credentials_are_needed_where_the_server_asks_for_them(site: Site, tmp_path: Path) -> None:
    site.password = "hush"
    with pytest.raises(NotFetched, match=r"asks for credentials: name a Secret with username and password"):
        fetch(site.url, "HEAD", tmp_path)
    with pytest.raises(NotFetched, match="does not take the credentials"):
        fetch(site.url, "HEAD", tmp_path, username="me", password="other")
    assert fetch(site.url, "HEAD", tmp_path, username="me", password="hush") == site.commits[2]


def run(log: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", fetching.__name__, *args]
    environment = {"QONVERGE_TERMINATION_LOG": str(log), USERNAME: "me", PASSWORD: "hush"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_command_leaves_the_commit_or_a_sentence(site: Site, tmp_path: Path) -> None:
    site.password, log, folder = "hush", tmp_path / "log", tmp_path / "program"
    folder.mkdir()
    assert run(log, site.url, "old", str(folder)).returncode == 0
    assert log.read_text() == site.commits[1]
    refused = run(log, site.url, "none", str(folder))
    assert refused.returncode == 1
    assert f"{site.url} has no revision none" in log.read_text()
    assert "Traceback" not in refused.stderr
    # Nobody listens there: another try may find somebody.
    assert run(log, "http://127.0.0.1:9/a", "HEAD", str(folder)).returncode == TRY_AGAIN
    assert "could not be read" in log.read_text()
