"""What programs use of backends is counted, told and kept within quotas, on real pods."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

from e2e.workspace import Workspace, backend, eventually, program

_LIMIT = 20_000
_SPEND = dedent(
    """
    from qiskit import QuantumCircuit
    from qonverge.client import SamplerV2, TaskFailed, result

    bell = QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    bell.measure_all()
    sampler, done, why = SamplerV2(), 0, ""
    while not why and done < 100_000:
        try:
            sampler.run([bell], shots=500).result()
            done += 500
        except TaskFailed as error:
            why = str(error)
    result({"shots": done, "why": why})
    """
)


def _quota(**limits: Any) -> dict[str, Any]:
    return {
        "apiVersion": "qonverge.io/v1alpha1",
        "kind": "QuantumQuota",
        "metadata": {"name": "programs"},
        "spec": {"limits": limits, "period": "8760h"},
    }


def test_programs_share_a_quota_and_never_exceed_it(workspace: Workspace) -> None:
    workspace.apply(backend("pair", replicas=2, pricing={"perShot": "0.001"}), _quota(shots=_LIMIT))
    workspace.wait("--for=jsonpath={.status.readyReplicas}=2", "quantumbackend/pair")
    workspace.apply(*(program(name, _SPEND, backend={"name": "pair"}) for name in ("one", "two")))
    ended = [workspace.completed(name) for name in ("one", "two")]
    done = [status["result"]["value"]["shots"] for status in ended]
    # Nobody got more than there was, and nothing was left that somebody wanted.
    assert _LIMIT - 500 < sum(done) <= _LIMIT
    assert all("shots and" in status["result"]["value"]["why"] for status in ended)
    assert [status["usage"]["shots"] for status in ended] == done
    assert [status["usage"]["costs"] for status in ended] == [
        [{"amount": f"{shots * 0.001:g}", "currency": "USD"}] for shots in done
    ]
    assert all(status["usage"]["seconds"] > 0 for status in ended)
    eventually(
        lambda: workspace.get("quantumquota", "programs")["status"]["used"]["shots"] == sum(done), "the quota's status"
    )
    # What would find nothing waits instead of failing.
    workspace.apply(program("late", _SPEND, backend={"name": "pair"}))
    message = eventually(lambda: workspace.status("late").get("message"), "a reason")
    assert "quota" in message


def test_a_program_that_is_deleted_has_used_what_it_used(workspace: Workspace) -> None:
    workspace.apply(backend("single"), _quota(shots=10_000_000, seconds=3600.0))
    workspace.wait("--for=condition=Ready", "quantumbackend/single")
    workspace.apply(program("cut-off", _SPEND.replace("100_000", "10_000_000"), backend={"name": "single"}))
    workspace.running("cut-off")

    def used() -> int:
        status = workspace.get("quantumquota", "programs").get("status", {})
        return int(status.get("used", {}).get("shots", 0))

    def known() -> int:
        return int(workspace.get("quantumquota", "programs")["status"]["reserved"]["shots"])

    eventually(lambda: known() > 0, "a grant")
    workspace.kubectl("delete", "hybridjob", "cut-off")
    eventually(lambda: used() > 0 and known() == 0, "the count of a deleted program's shots")
