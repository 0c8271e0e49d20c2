"""The devices: size, couplings, gates, prices and typical errors, as the vendors publish them.

Prices are those of Amazon's page "Amazon Braket pricing" (aws.amazon.com/braket/pricing), of which copies were read on
2026-11-30: 0.30 a task of any QPU; a shot 0.00145 on Garnet, 0.08 on Forte, 0.0009 on Ankaa. That page has the price of
a minute of SV1 too, which was not checked again; DM1's is taken to be the same. All QPUs take program sets of up to
100 executables ("Running multiple programs" of the developer guide, and the announcement of program sets, read on the
same day); how many shots one may have is not published, and as many as Braket's local simulators take are assumed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

from qonverge_dev_cloud.chips import Chip, Edge


@dataclass(frozen=True, slots=True, kw_only=True)
class Device(Chip):
    """A device as Braket offers it."""

    provider: str
    arn: str
    regions: tuple[str, ...]
    max_shots: int
    min_shots: int = 1
    per_task: float = 0.0
    """US dollars."""
    per_shot: float = 0.0
    per_minute: float = 0.0
    returns_probabilities: bool = False
    """Whether results hold relative frequencies in place of shots, as IonQ's do."""
    most_executables: int = 0
    """In a program set; 0 where it takes none."""
    most_set_shots: int = 0
    """Of all executables of a program set together."""

    @property
    def two_qubit_gate(self) -> str:
        """The native gate on two qubits."""
        return self.native[-1]


def _grid(rows: tuple[tuple[int, ...], ...], offsets: tuple[int, ...]) -> tuple[Edge, ...]:
    """Return the couplings of a square lattice whose rows begin at these columns."""
    places = {
        (row, offset + index): label
        for row, (labels, offset) in enumerate(zip(rows, offsets, strict=True))
        for index, label in enumerate(labels)
    }
    return tuple(
        (label, places[other])
        for (row, column), label in places.items()
        for other in ((row, column + 1), (row + 1, column))
        if other in places
    )


_GARNET_ROWS = ((1, 2), (3, 4, 5, 6, 7), (8, 9, 10, 11, 12), (13, 14, 15, 16, 17), (18, 19, 20))
# Two qubits of the chip are not offered.
_ANKAA_MISSING = frozenset({42, 48})
_ANKAA = tuple(label for label in range(84) if label not in _ANKAA_MISSING)

SV1 = Device(
    name="SV1",
    provider="Amazon Braket",
    arn="arn:aws:braket:::device/quantum-simulator/amazon/sv1",
    regions=("us-east-1", "us-west-1", "us-west-2", "eu-west-2"),
    kind="SIMULATOR",
    qubits=(),
    width=34,
    min_shots=0,
    max_shots=100_000,
    per_minute=0.075,
)
DM1 = replace(
    SV1,
    name="DM1",
    arn="arn:aws:braket:::device/quantum-simulator/amazon/dm1",
    width=17,
    mixed=True,
)
GARNET = Device(
    name="Garnet",
    provider="IQM",
    arn="arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet",
    regions=("eu-north-1",),
    kind="QPU",
    qubits=tuple(range(1, 21)),
    width=20,
    max_shots=20_000,
    most_executables=100,
    most_set_shots=200_000,
    per_task=0.3,
    per_shot=0.00145,
    edges=_grid(_GARNET_ROWS, (1, 0, 0, 0, 1)),
    native=("prx", "cz"),
    fidelities=(0.9990, 0.9951, 0.981),
    coherence=(40e-6, 9e-6),
    durations=(20e-9, 40e-9, 1.5e-6),
)
FORTE = Device(
    name="Forte-1",
    provider="IonQ",
    arn="arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1",
    regions=("us-east-1",),
    kind="QPU",
    qubits=tuple(range(36)),
    width=36,
    max_shots=5_000,
    most_executables=100,
    most_set_shots=200_000,
    per_task=0.3,
    per_shot=0.08,
    edges=tuple(combinations(range(36), 2)),
    fully_connected=True,
    native=("gpi", "gpi2", "zz"),
    fidelities=(0.9998, 0.9932, 0.9960),
    coherence=(100.0, 1.0),
    durations=(130e-6, 970e-6, 150e-6),
    returns_probabilities=True,
)
ANKAA = Device(
    name="Ankaa-3",
    provider="Rigetti",
    arn="arn:aws:braket:us-west-1::device/qpu/rigetti/Ankaa-3",
    regions=("us-west-1",),
    kind="QPU",
    qubits=_ANKAA,
    width=len(_ANKAA),
    max_shots=50_000,
    most_executables=100,
    most_set_shots=200_000,
    per_task=0.3,
    per_shot=0.0009,
    edges=tuple(
        edge
        for edge in _grid(tuple(tuple(range(7 * row, 7 * row + 7)) for row in range(12)), (0,) * 12)
        if not _ANKAA_MISSING.intersection(edge)
    ),
    native=("rx", "rz", "iswap"),
    fidelities=(0.9986, 0.985, 0.955),
    coherence=(34e-6, 22e-6),
    durations=(40e-9, 72e-9, 1.0e-6),
)
DEVICES = (SV1, DM1, GARNET, FORTE, ANKAA)
