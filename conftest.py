"""How tests are shared out where several processes run them (``pytest -n``)."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

ALONE = {"e2e": "cluster", "tests/compatibility": "page"}
"""Folders whose tests share what exists once: a cluster, the page of all that they find."""
LONGEST_FIRST = ("e2e", "tests/integration", "tests/differential", "tests/compatibility")


@pytest.hookimpl(tryfirst=True)  # before the names of groups become part of the tests' names
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each file to one process, for its fixtures' sake, and begin with what takes longest."""
    # The processes that run tests know no more of ``--dist`` than this.
    if not getattr(config.option, "loadgroup", False):
        return

    def rank(item: pytest.Item) -> int:
        return next((n for n, folder in enumerate(LONGEST_FIRST) if item.nodeid.startswith(folder)), len(LONGEST_FIRST))

    items.sort(key=rank)
    for item in items:
        file = item.nodeid.partition("::")[0]
        group = next((group for folder, group in ALONE.items() if file.startswith(folder + "/")), file)
        item.add_marker(pytest.mark.xdist_group(group))
