"""Which plugins Qiskit's transpiler loads in the process that translates circuits."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points

from stevedore import ExtensionManager

_STAGES = ("init", "layout", "routing", "translation", "optimization", "scheduling")


def load_only_imported_plugins() -> None:
    """Let the transpiler load the plugins of packages that are imported by now, as of Qiskit and of the provider.

    It loads those of all that is installed when it first runs. Where qiskit-ibm-runtime is, that takes 77 MiB, most
    of it for web clients that nobody uses there. Call it before anything is transpiled.
    """
    for stage in _STAGES:
        group = f"qiskit.transpiler.{stage}"
        ExtensionManager.ENTRY_POINT_CACHE[group] = [
            point for point in entry_points(group=group) if point.module.partition(".")[0] in sys.modules
        ]
