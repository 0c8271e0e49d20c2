"""Programs that go on from their checkpoints after their pod, or the backend that they call, is gone."""

from __future__ import annotations

from textwrap import dedent

import numpy as np

from e2e.object_store import stored
from e2e.workspace import Workspace, backend, eventually, program

_TERMS: list[tuple[str, float]] = [("II", -1.0524), ("IZ", 0.3979), ("ZI", -0.3979), ("ZZ", -0.0113), ("XX", 0.1809)]
_ITERATIONS = 200
_LABELS = {"runs": "vqe"}
_VQE = dedent(
    f"""
    import numpy as np
    from qiskit.circuit import Parameter, QuantumCircuit
    from qiskit.quantum_info import SparsePauliOp
    from qonverge.client import EstimatorV2, checkpoint, report, result

    hamiltonian, theta = SparsePauliOp.from_list({_TERMS}), Parameter("theta")
    circuit = QuantumCircuit(2)
    circuit.x(0)
    circuit.ry(theta, 1)
    circuit.cx(1, 0)
    estimator = EstimatorV2()

    def energy(at, precision=0.02):
        data = estimator.run([(circuit, hamiltonian, [at])], precision=precision).result()[0].data
        return float(data.evs), float(data.stds)

    # Simultaneous perturbation: it draws in each step, so that the generator's state has to come back too.
    rng = np.random.default_rng(7)
    state = checkpoint.load() or {{"iteration": 0, "theta": 0.5, "begins": [], "rng": rng.bit_generator.state}}
    state["begins"].append(state["iteration"])
    while state["iteration"] < {_ITERATIONS}:
        rng.bit_generator.state = state["rng"]
        step = 0.1 * rng.choice([-1.0, 1.0])
        slope = (energy(state["theta"] + step)[0] - energy(state["theta"] - step)[0]) / (2 * step)
        iteration = state["iteration"] + 1
        rate = 0.3 / (1 + iteration / 20)
        state |= {{"iteration": iteration, "theta": state["theta"] - rate * slope, "rng": rng.bit_generator.state}}
        checkpoint.save(state)
        report(progress=iteration / {_ITERATIONS}, iteration=iteration)
    value, error = energy(state["theta"], 0.002)
    result({{"energy": value, "error": error, "begins": state["begins"]}})
    """
)


def _lowest() -> float:
    """Return the least eigenvalue of the Hamiltonian, by numpy alone."""
    paulis = {"I": np.eye(2), "X": np.array([[0, 1], [1, 0]]), "Z": np.diag([1, -1])}
    matrix = np.zeros((4, 4))
    for label, weight in _TERMS:
        matrix += weight * np.kron(paulis[label[0]], paulis[label[1]])
    return float(np.linalg.eigvalsh(matrix)[0])


def test_a_program_goes_on_from_its_checkpoint_after_its_pod_and_its_backend_are_gone(workspace: Workspace) -> None:
    with stored(workspace):
        for name in ("one", "two"):
            workspace.apply({**backend(name), "metadata": {"name": name, "labels": _LABELS}})
        workspace.wait("--for=condition=Ready", "quantumbackend/one", "quantumbackend/two")
        workspace.apply(program("vqe", _VQE, backend={"selector": {"matchLabels": _LABELS}}))

        def known(least: int) -> int:
            """Wait for an iteration and return it: its checkpoint is kept, since the program says it after that."""
            return int(
                eventually(
                    lambda: (
                        (told := (workspace.status("vqe").get("metrics") or {}).get("iteration", 0)) >= least and told
                    ),
                    f"iteration {least}",
                )
            )

        first = known(40)
        workspace.kubectl("delete", "pod", "--selector=qonverge.io/job", "--grace-period=0", "--force")
        workspace.wait("--for=jsonpath={.status.attempts}=2", "hybridjob/vqe")
        second = known(max(first + 20, 80))
        former = workspace.status("vqe")["backend"]
        workspace.kubectl("delete", "quantumbackend", former, "--wait=false")
        status = workspace.completed("vqe")
        value = status["result"]["value"]
        assert (status["attempts"], status["backend"]) == (3, "two" if former == "one" else "one")
        # No iteration ran again whose checkpoint was kept.
        assert len(value["begins"]) == 3
        assert value["begins"][0] == 0
        assert value["begins"][1] >= first
        assert value["begins"][2] >= second
        assert abs(value["energy"] - _lowest()) < 5 * value["error"] + 0.002
