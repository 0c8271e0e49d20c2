"""What a retry policy may say, and the sentences where it may not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from qonverge.api import HybridJob
from qonverge.api.retries import Reason

ONE_OF = "a rule of retryPolicy.rules: set exactly one of onExitCodes, onReasons"
BAD_RULES: list[tuple[dict[str, Any], str]] = [
    ({"action": "Fail"}, ONE_OF),
    ({"action": "Fail", "onExitCodes": {"operator": "In", "values": [1]}, "onReasons": ["Evicted"]}, ONE_OF),
    (
        {"action": "Fail", "onExitCodes": {"operator": "In", "values": [0, 1]}},
        "exit code 0 is no failure: leave it out of the values of operator In",
    ),
]
"""Rules that the API server refuses with the same sentence."""


def job(*rules: dict[str, Any], **policy: Any) -> HybridJob:
    spec = {"program": {"python": {"source": "x"}}, "retryPolicy": {"rules": list(rules), **policy}}
    return HybridJob.model_validate({"metadata": {"name": "j"}, "spec": spec})


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        *BAD_RULES,
        ({"action": "Count", "onReasons": ["Evicted"]}, "Input should be 'Fail', 'Retry' or 'Ignore'"),
        ({"action": "Fail", "onReasons": ["Eviction"]}, "Input should be 'ProgramFailed', 'OOMKilled'"),
        ({"action": "Fail", "onReasons": []}, "at least 1 item"),
        ({"action": "Fail", "onReasons": ["Evicted", "Evicted"]}, "each value once"),
        ({"action": "Fail", "onExitCodes": {"operator": "In", "values": [256]}}, "less than or equal to 255"),
        ({"action": "Fail", "onExitCodes": {"operator": "In", "values": [3, 3]}}, "each value once"),
    ],
)
def test_bad_rules_are_refused(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        job(rule)


def test_exit_codes_match_as_in_batch_v1() -> None:
    (given, others) = job(
        {"action": "Fail", "onExitCodes": {"operator": "In", "values": [42, 43]}},
        {"action": "Retry", "onExitCodes": {"operator": "NotIn", "values": [0, 42]}},
    ).spec.retry_policy.rules
    assert given.on_exit_codes is not None
    assert others.on_exit_codes is not None
    assert [given.on_exit_codes.matches(code) for code in (1, 42, 43)] == [False, True, True]
    assert [others.on_exit_codes.matches(code) for code in (1, 42, 43)] == [True, False, True]


def test_more_rules_than_a_person_reads_are_refused() -> None:
    rule = {"action": "Retry", "onReasons": ["Evicted"]}
    assert len(job(*[rule] * 20).spec.retry_policy.rules) == 20
    with pytest.raises(ValidationError, match="at most 20 items"):
        job(*[rule] * 21)


def test_every_reason_that_a_rule_may_name_is_explained() -> None:
    page = (Path(__file__).parents[2] / "docs" / "retries.md").read_text(encoding="utf-8")
    assert [reason for reason in get_args(Reason) if f"`{reason}`" not in page] == []
