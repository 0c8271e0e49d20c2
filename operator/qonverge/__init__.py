"""Qonverge: hybrid quantum-classical computing on Kubernetes."""

from __future__ import annotations

__version__: str


def __getattr__(name: str) -> str:
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Not before somebody asks: it takes longer to import than all that a program needs of Qonverge.
    from importlib.metadata import version

    return version("qonverge")
