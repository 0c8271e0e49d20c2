"""What runs in a program's pod before it: what brings its files, and what installs its requirements. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qonverge.api.backend import ResourceRequirements
from qonverge.api.program_source import GitSource
from qonverge.controller.settings import Settings
from qonverge.programs.parameters import escaped
from qonverge.wire.program_inits import PASSWORD, TRY_AGAIN, USERNAME

_FETCH, _INSTALL = "qonverge-fetch", "qonverge-install"
_REASONS = {_FETCH: "ProgramNotFetched", _INSTALL: "RequirementsNotInstalled"}
_TMP = {"name": "qonverge-tmp", "mountPath": "/tmp"}  # noqa: S108 - a volume of the pod's own
_TERMINATION_LOG = "/dev/termination-log"


def fetching(git: GitSource, revision: str, volume: str, folder: str, settings: Settings) -> dict[str, Any]:
    """Return the container that brings a revision into a folder of a volume."""
    variables: list[dict[str, Any]] = [{"name": "QONVERGE_TERMINATION_LOG", "value": _TERMINATION_LOG}]
    if git.credentials is not None:
        for name, key in ((USERNAME, "username"), (PASSWORD, "password")):
            reference = {"name": git.credentials.name, "key": key, "optional": True}
            variables.append({"name": name, "valueFrom": {"secretKeyRef": reference}})
    return {
        **_container(_FETCH, settings.program_image, "fetch", [git.url, revision, folder], settings),
        "env": variables,
        "volumeMounts": [{"name": volume, "mountPath": folder}, _TMP],
    }


def installing(requirements: Sequence[str], image: str, volume: str, folder: str, settings: Settings) -> dict[str, Any]:
    """Return the container that installs requirements for an image into a folder of a volume, if that is not done."""
    top, _, _ = folder.rpartition("/")
    return {
        **_container(_INSTALL, image, "install", [folder, *requirements], settings),
        "env": [{"name": "QONVERGE_TERMINATION_LOG", "value": _TERMINATION_LOG}, {"name": "HOME", "value": "/tmp"}],  # noqa: S108
        "volumeMounts": [{"name": volume, "mountPath": top}, _TMP],
    }


def _container(name: str, image: str, module: str, args: Sequence[str], settings: Settings) -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        "command": ["python3", "-m", f"qonverge.client.program.{module}"],
        # Nothing in them is a reference to a variable.
        "args": [escaped(each) for each in args],
        "terminationMessagePath": _TERMINATION_LOG,
        # Such as that an image does not have the module.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": settings.program_resources.fill(ResourceRequirements()),
    }


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a program could not start in its pod."""

    reason: str
    message: str
    again: bool
    """Whether another try may succeed."""


def commits_of(pods: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the commits that the pods of a program's ranks have, each once; none where it is not from a repository."""
    fetched = (ended for pod in pods for name, ended in _ended(pod) if name == _FETCH and ended.get("exitCode") == 0)
    return list(dict.fromkeys(str(ended["message"]) for ended in fetched if ended.get("message")))


def failure_of(pod: Mapping[str, Any]) -> Failure | None:
    """Return what failed in a pod before its program; None for nothing, or where that is not known."""
    for name, ended in _ended(pod):
        if name in _REASONS and (code := int(ended.get("exitCode", -1))) != 0:
            told = str(ended.get("message", "")).strip() or f"the container {name} ended with exit code {code}"
            return Failure(_REASONS[name], told, again=code == TRY_AGAIN)
    return None


def _ended(pod: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for container in pod.get("initContainerStatuses") or []:
        if (found := (container.get("state") or {}).get("terminated")) is not None:
            yield container["name"], found
