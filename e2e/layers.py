"""Layers of tests that a machine may lack the means for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NoReturn

import pytest

from e2e.cluster.requirements import install_monitoring, missing_requirements


def leave_out(reason: str) -> NoReturn:
    """Leave the test out and say why; with CI=true nothing may be left out, and it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def require(layer: str, environment: Mapping[str, str] = os.environ) -> None:
    """Leave the test out where this machine cannot run the layer, ``integration`` or ``e2e``."""
    if missing := missing_requirements(layer, environment):
        leave_out(f"the {layer} tests need {'; '.join(missing)}")


def require_prometheus() -> None:
    """Have the commands prometheus and promtool, or leave the test out."""
    if missing := install_monitoring():
        leave_out(f"tests of metrics need {'; '.join(missing)}")
