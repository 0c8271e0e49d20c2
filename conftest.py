"""How tests are shared out where several processes run them (``pytest -n``)."""

from __future__ import annotations

import gc

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer  # type: ignore[import-untyped]  # xdist ships no types
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

# How long an example takes says how busy the machine is.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# Collecting makes 8,000 tests and imports all libraries, and looking for garbage among them finds none.
gc.disable()

TOGETHER = ("e2e/", "tests/compatibility/")
"""Folders whose tests share what exists once: a cluster, the page of all that they find."""
LONGEST_FIRST = ("e2e/", "tests/integration/", "tests/differential/", "tests/compatibility/")


class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """Gives each file, and some folders, to one process: for their fixtures' sake."""

    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in TOGETHER if nodeid.startswith(folder)), nodeid.partition("::")[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Return what shares tests out."""
    return ByFile(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes longest; before the cluster is there, with what sees that one leaves nothing behind."""
    if not hasattr(config, "workerinput"):
        return

    def rank(item: pytest.Item) -> tuple[int, bool]:
        folders = (place for place, folder in enumerate(LONGEST_FIRST) if item.nodeid.startswith(folder))
        return next(folders, len(LONGEST_FIRST)), "cluster" in getattr(item, "fixturenames", ())

    items.sort(key=rank)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Look for garbage again, but not among what was collected: that stays until the end."""
    gc.freeze()
    gc.enable()
