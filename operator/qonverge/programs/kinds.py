"""The kinds of program that there are."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from qonverge.api import HybridJob
from qonverge.programs.circuit import CircuitKind
from qonverge.programs.container import ContainerKind
from qonverge.programs.kind import ProgramKind
from qonverge.programs.python import PythonKind
from qonverge.programs.session import SessionKind

_ALL: tuple[ProgramKind, ...] = (CircuitKind(), PythonKind(), ContainerKind(), SessionKind())
KINDS: Mapping[str, ProgramKind] = {kind.name: kind for kind in _ALL}
"""By the field of ``spec.program`` that each is."""


def kind_of(job: HybridJob) -> ProgramKind:
    """Return the kind of the job's program."""
    return KINDS[job.spec.program.chosen]


def parts(package: str) -> dict[str, Any]:
    """Return what a package has for each kind: ``KIND`` of its module that is named like the kind.

    So a package above this one has a part of its own for each kind, and there is one list of them all.
    """
    return {name: import_module(f"{package}.{name}").KIND for name in KINDS}
