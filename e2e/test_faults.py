"""Pods and processes that die, or are taken away, with jobs in flight."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

from e2e.cluster.access import ClusterAccess
from e2e.workspace import MOMENT, SOME_SECONDS, Killer, Workspace, circuit, operator_pods, program, restarts

# On a busy machine what computes may get little for a while.
_KILL_BUSY_CHILDREN = """
import psutil
children = psutil.Process(1).children()
for _ in range(100):
    busy = [child for child in children if child.cpu_percent(0.3) > 10]
    if busy:
        break
assert busy
for child in busy:
    child.kill()
"""


def calling(name: str, calls: int) -> dict[str, Any]:
    """Return a program that calls the backend again and again, with a little to do of its own between calls."""
    source = f"""
        import time
        from qiskit.circuit import Parameter, QuantumCircuit
        from qonverge.client import SamplerV2, report, result

        theta = Parameter("theta")
        circuit = QuantumCircuit(2)
        circuit.rx(theta, 0)
        circuit.cx(0, 1)
        circuit.measure_all()
        sampler = SamplerV2()
        shots = 0
        for call in range({calls}):
            shots += sampler.run([(circuit, [call / 10])]).result()[0].data.meas.num_shots
            report(progress=call / {calls}, call=call)
            time.sleep(0.1)
        result({{"calls": {calls}, "shots": shots}})
    """
    return program(name, dedent(source))


def test_what_runs_on_a_backend_that_dies_runs_again(workspace: Workspace, shared: Workspace, killer: Killer) -> None:
    (pod,) = shared.backend_pods()
    workspace.apply(calling("program", 150))
    workspace.wait("--for=jsonpath={.status.metrics.call}", "hybridjob/program")
    workspace.apply(circuit("long", SOME_SECONDS, retryPolicy={"maxAttempts": 4}))
    workspace.running("long")

    shared.kubectl("delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force")
    workspace.wait("--for=jsonpath={.status.attempts}=2", "hybridjob/long")
    (another,) = shared.backend_pods()
    assert another["metadata"]["uid"] != pod["metadata"]["uid"]

    workspace.running("long")
    killer.kill(another)
    workspace.wait("--for=jsonpath={.status.attempts}=3", "hybridjob/long")
    assert restarts(shared.backend_pods()) == {another["metadata"]["uid"]: 1}

    workspace.running("long")
    shared.kubectl("exec", another["metadata"]["name"], "--", "python", "-c", _KILL_BUSY_CHILDREN)
    status = workspace.completed("long")
    assert status["attempts"] == 4
    assert sum(status["result"]["counts"].values()) == 1024
    assert restarts(shared.backend_pods()) == {another["metadata"]["uid"]: 1}
    # Its own calls are tried again: the program itself ran once.
    status = workspace.completed("program")
    assert (status["attempts"], status["result"]["value"]) == (1, {"calls": 150, "shots": 150 * 1024})


def test_a_program_whose_pod_is_lost_runs_again(workspace: Workspace) -> None:
    workspace.apply(calling("program", 40))
    workspace.wait("--for=jsonpath={.status.metrics.call}", "hybridjob/program")
    workspace.kubectl("delete", "pod", "--selector=qonverge.io/job")
    status = workspace.completed("program")
    assert (status["attempts"], status["result"]["value"]["calls"]) == (2, 40)


def test_a_suspended_program_gives_its_pod_back_until_it_is_resumed(workspace: Workspace) -> None:
    workspace.apply(calling("program", 40))
    workspace.wait("--for=jsonpath={.status.metrics.call}", "hybridjob/program")
    workspace.kubectl("patch", "hybridjob", "program", "--type=merge", "--patch", '{"spec": {"suspend": true}}')
    workspace.wait("--for=delete", "pod", "--selector=qonverge.io/job")
    workspace.wait("--for=condition=Suspended", "hybridjob/program")
    workspace.kubectl("patch", "hybridjob", "program", "--type=merge", "--patch", '{"spec": {"suspend": false}}')
    status = workspace.completed("program")
    assert (status["attempts"], status["result"]["value"]["calls"]) == (2, 40)


def test_an_operator_that_is_killed_finds_all_its_work_again(
    cluster: ClusterAccess, workspace: Workspace, shared: Workspace, killer: Killer
) -> None:
    before, ran = restarts(operator_pods(cluster)), shared.tasks("Completed")
    circuits, programs = [f"circuit-{n}" for n in range(50)], ["program-0", "program-1"]
    workspace.apply(*(calling(name, 100) for name in programs))
    workspace.running(*programs)
    workspace.apply(*(circuit(name, MOMENT) for name in circuits))
    (pod,) = operator_pods(cluster)
    killer.kill(pod)
    ended = [job for job in workspace.items("hybridjobs") if job.get("status", {}).get("completedAt")]
    assert len(ended) < len(circuits), "the operator was killed too late"
    for name in (*circuits, *programs):
        assert workspace.completed(name)["attempts"] == 1
    assert restarts(operator_pods(cluster)) == {uid: count + 1 for uid, count in before.items()}
    # Nothing was lost, and nothing ran twice.
    assert shared.tasks("Completed") - ran == len(circuits) + 100 * len(programs)
