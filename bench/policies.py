"""How far a comparison of single rounds may be from what follows of them: ``python -m bench.policies``.

Jobs come to ten devices of unequal fidelity. The policy in force counts nothing but time, the second one nothing but
fidelity. They are compared over each recorded round by itself, as metrics of a shadow policy are, and over the time
that each would have lived through.
"""

from __future__ import annotations

import math

import numpy as np

from qonverge.forecast.intervals import Floats, Intervals, JobForecasts
from qonverge.scheduling import Backend, Job, Needs, Policy
from qonverge.scheduling.comparison import Comparison, compare
from qonverge.scheduling.model import Weights
from qonverge.scheduling.simulation import Simulation
from qonverge.scheduling.trace import Recorded, read, record

_DEVICES = 10
_RUN_SECONDS = 4.0
# Of the time of all devices together.
_LOAD = 0.9
TIME_ONLY, FIDELITY_ONLY = Policy(weights=Weights(0.0, 1.0, 0.0)), Policy(weights=Weights(1.0, 0.0, 0.0))


def compared(jobs: int, seed: int = 1) -> Comparison:
    """Return what a policy that counts nothing but fidelity would change for so many jobs."""
    random = np.random.default_rng(seed)
    devices = tuple(
        Backend(f"qpu-{number}", "lab", admits_all_namespaces=True, max_qubits=9, workers=1, free_seconds=(0.0,))
        for number in range(_DEVICES)
    )
    fidelity = np.linspace(0.7, 0.95, _DEVICES)
    run = np.full(_DEVICES, _RUN_SECONDS)
    row = JobForecasts(*(_certain(figures) for figures in (fidelity, run, np.zeros(_DEVICES))))
    came = np.cumsum(random.exponential(_RUN_SECONDS / (_LOAD * _DEVICES), jobs))
    needs = Needs(5, 1000, clifford=False, statevector_bytes=512)
    arrivals = [Job(f"chem/job-{number}", "chem", float(at), needs) for number, at in enumerate(came)]
    recorded: list[Recorded] = []
    lived = Simulation(devices, lambda _: row, lambda _job, _target: _RUN_SECONDS, TIME_ONLY)
    lived.on_round = lambda seen, made: recorded.append(read(record(seen, TIME_ONLY, made)))
    lived.run(arrivals, lambda _: (), math.inf)
    return compare(recorded, FIDELITY_ONLY)


def _certain(figures: Floats) -> Intervals:
    return Intervals(figures, figures, figures)


def sentence(found: Comparison) -> str:
    """Return the mean waits, as the documentation has them."""
    alone, follows = found.by_round[0].wait, found.simulated[0].wait
    assert alone is not None
    assert follows is not None
    return (
        f"Round by round the mean wait goes from {alone.before:.2g} s to {alone.after:.2g} s, "
        f"simulated from {follows.before:.2g} s to {follows.after:.3g} s"
    )


def main() -> None:
    """Compare 300 jobs and print the waits."""
    print(sentence(compared(300)))


if __name__ == "__main__":
    main()
