"""Requirements that are installed once, from an index in a folder."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from qonverge.client.program import install as installing
from qonverge.client.program.install import NotInstalled, install
from qonverge.programs.requirements import key_of
from tests.wheels import wheel


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    # pip takes its options from the environment, as in a pod.
    for name, value in (("NO_INDEX", "1"), ("FIND_LINKS", str(folder)), ("CONFIG_FILE", "/dev/null")):
        monkeypatch.setenv(f"PIP_{name}", value)
    wheel(folder, "qonverge_test_molecules", "1.0", needs="numpy")
    return folder


def test_what_is_installed_is_found_by_programs_and_stays(index: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "key"
    site = install(["qonverge_test_molecules"], folder)
    asks = "import qonverge_test_molecules as m; print(m.version)"
    done = subprocess.run(
        [sys.executable, "-c", asks], env={"PYTHONPATH": str(site)}, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "1.0", done.stderr
    # What the interpreter has is not installed again: there is no numpy in the index.
    assert not list(folder.rglob("numpy"))
    wheel(index, "qonverge_test_molecules", "2.0")
    assert install(["qonverge_test_molecules"], folder) == site
    assert not list(folder.rglob("*-2.0.dist-info"))


def test_of_many_that_come_together_one_installs(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, found, run, folder = list[object](), list[Path](), subprocess.run, tmp_path / "key"

    def counted(command: object, **options: Any) -> Any:
        runs.append(command)
        return run(command, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", counted)
    threads = [
        threading.Thread(target=lambda: found.append(install(["qonverge_test_molecules"], folder))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(runs), found) == (1, [folder / "site-packages"] * 4)


@pytest.mark.parametrize(
    ("requirement", "says"),
    [("qonverge_test_nothing", "No matching distribution found for qonverge_test_nothing"), ("numpy<1", "numpy")],
)
def test_what_cannot_be_installed_is_said_and_leaves_nothing(
    index: Path, tmp_path: Path, requirement: str, says: str
) -> None:
    folder = tmp_path / "cache" / "key"
    with pytest.raises(NotInstalled, match=says):
        install([requirement], folder)
    assert [path.name for path in folder.parent.iterdir()] == ["key.lock"]


def test_the_command_leaves_the_words_of_pip(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QONVERGE_TERMINATION_LOG", str(tmp_path / "log"))
    command = [sys.executable, "-m", installing.__name__, str(tmp_path / "key")]
    assert subprocess.run([*command, "qonverge_test_molecules"], check=False).returncode == 0
    failed = subprocess.run(
        [*command[:-1], str(tmp_path / "other"), "qonverge_test_nothing"], capture_output=True, check=False
    )
    assert failed.returncode == 1
    assert "No matching distribution found" in (tmp_path / "log").read_text()


def test_the_same_list_for_the_same_image_has_one_folder() -> None:
    assert key_of(["a", "b"], "image:1") == key_of(["b", "a", "a"], "image:1")
    assert len({key_of(["a"], "image:1"), key_of(["a"], "image:2"), key_of(["b"], "image:1")}) == 3
