"""The backends: size, rates and typical errors, as IonQ publishes them.

The form of the price, the larger of a least price and gates times shots, is that of "Job Cost and Usage" in IonQ's
documentation (docs.ionq.com/guides/job-cost-and-usage, read on 2026-11-30), which says that rates depend on the
contract. Aria's least price and its rates, rounded, are in calculators of others; for the rest, Forte's among them, no
published source was found. ``GET /jobs/estimate`` of the real service tells an account's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

from qonverge_dev_cloud.chips import Chip


@dataclass(frozen=True, slots=True)
class Rates:
    """What a job costs, in US dollars."""

    single: float
    """A gate on one qubit, each shot."""
    pair: float
    """A gate on two."""
    least: float
    """What a job costs at least."""
    least_mitigated: float
    """With error mitigation."""

    def cost(self, single: int, pairs: int, shots: int, *, mitigated: bool) -> float:
        """Return what a job with so many gates costs."""
        least = self.least_mitigated if mitigated else self.least
        return round(max(least, shots * (single * self.single + pairs * self.pair)), 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend(Chip):
    """A backend, by its name in the API."""

    rates: Rates = Rates(0.0, 0.0, 0.0, 0.0)


def _qpu(
    name: str, width: int, fidelities: tuple[float, float, float], durations: tuple[float, float], rates: Rates
) -> Backend:
    return Backend(
        name=name,
        kind="QPU",
        width=width,
        qubits=tuple(range(width)),
        edges=tuple(combinations(range(width), 2)),
        fully_connected=True,
        fidelities=fidelities,
        coherence=(100.0, 1.0),
        durations=(*durations, 300e-6),
        rates=rates,
    )


SIMULATOR = Backend(name="simulator", kind="SIMULATOR", width=29)
ARIA = _qpu("qpu.aria-1", 25, (0.9998, 0.9829, 0.9952), (135e-6, 600e-6), Rates(0.0002205, 0.000977, 12.4166, 97.50))
FORTE = _qpu("qpu.forte-1", 36, (0.9998, 0.9932, 0.9960), (130e-6, 970e-6), Rates(0.0001645, 0.001121, 25.79, 168.195))
BACKENDS = (SIMULATOR, ARIA, FORTE)
# Models of errors that the simulator takes, and whose errors they are.
NOISE_MODELS: dict[str, Backend | None] = {"ideal": None, "aria-1": ARIA, "forte-1": FORTE}
