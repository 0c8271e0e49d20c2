"""Clouds for tests, reached by the environment alone, as programs of people reach them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from qonverge_dev_cloud.cloud import DevCloud
from qonverge_dev_cloud.scenario import Scenario

Start = Callable[..., DevCloud]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Return what starts clouds of a scenario, which end with the test."""
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with ExitStack() as stack:

        def begin(**scenario: Any) -> DevCloud:
            cloud = stack.enter_context(DevCloud(Scenario.model_validate(scenario)))
            for name, value in cloud.environment.items():
                monkeypatch.setenv(name, value)
            return cloud

        yield begin
