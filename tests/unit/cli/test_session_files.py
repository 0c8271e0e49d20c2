"""The token of a session on this machine, for those who read it and for nobody else."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from qonverge.cli.following import SeenJob
from qonverge.cli.session import SessionRequest, summary
from qonverge.cli.session_files import TokenFile
from qonverge.client.errors import NotConfigured, SessionEnded
from qonverge.client.transport.tokens import read_token


def test_a_token_is_replaced_and_only_its_user_reads_it(tmp_path: Path) -> None:
    token = TokenFile(tmp_path)
    variables = {"QONVERGE_TOKEN_FILE": str(token.path)}
    for text in ("first", "second"):
        token.write(text)
        assert read_token(variables) == text
        assert stat.S_IMODE(token.path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["token"]


def test_after_the_end_programs_read_why_and_before_that_a_missing_token_is_what_it_was(tmp_path: Path) -> None:
    token = TokenFile(tmp_path)
    variables = {"QONVERGE_TOKEN_FILE": str(token.path)}
    with pytest.raises(NotConfigured, match="the token cannot be read from QONVERGE_TOKEN_FILE"):
        read_token(variables)
    token.write("t")
    token.end("the session s has ended: its time is over")
    with pytest.raises(SessionEnded, match="the session s has ended: its time is over"):
        read_token(variables)
    token.end("twice changes nothing")


def test_what_is_asked_for_is_the_least_manifest() -> None:
    assert SessionRequest("1h").manifest()["spec"] == {
        "program": {"session": {"duration": "1h"}},
        "ttlSecondsAfterFinished": 86400,
    }
    asked = SessionRequest("5m", "lab/aer", 10, {"amount": "5", "currency": "EUR"}, "urgent").manifest()
    assert asked["metadata"] == {"generateName": "session-"}
    assert asked["spec"] == {
        "program": {"session": {"duration": "5m", "maxShots": 10}},
        "ttlSecondsAfterFinished": 86400,
        "backend": {"name": "aer", "namespace": "lab"},
        "budget": {"amount": "5", "currency": "EUR"},
        "priorityClassName": "urgent",
    }


def test_what_was_used_is_told_at_the_end() -> None:
    status = {"state": "Complete", "message": "it is over", "startedAt": "2030-01-01T00:00:00Z", "duration": "12m"}
    usage = {"shots": 2048, "seconds": 1.25, "costs": [{"amount": "0.35", "currency": "USD"}]}
    metadata = {"namespace": "lab", "name": "s", "uid": "u"}
    job = SeenJob.of({"metadata": metadata, "status": {**status, "usage": usage}})
    assert summary(job) == "s Complete: it is over; used: in 12m, 2048 shots, 1.25 s of the backend, 0.35 USD"
    assert summary(SeenJob.of({"metadata": metadata, "status": status}, deleted=True)) == "s was deleted"
