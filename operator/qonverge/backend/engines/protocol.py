"""What a provider's code must be able to do."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from qonverge.backend.config import EngineConfig
from qonverge.circuits.analysis.analysis import Analysis
from qonverge.devices import Layout
from qonverge.devices.noise import Noise
from qonverge.providers.installed import find
from qonverge.wire.messages import Pub, PubResult

if TYPE_CHECKING:
    from qiskit import QuantumCircuit


class Provider(Protocol):
    """An engine inside a worker process. Its class takes the ``EngineConfig``.

    The class refuses by LookupError, with a sentence, what it cannot do on this machine.
    """

    version: str
    """Name and version, such as ``Aer 0.17.2``."""
    methods: tuple[str, ...]
    """Methods by the API's names."""
    basis_gates: tuple[str, ...]
    noise: Noise | None
    """The device that is imitated or driven: its gates, where they act and how well; None where any gate acts on any
    qubits without error. A simulator takes it from ``EngineConfig.noise``."""

    def prepare(self, circuit: QuantumCircuit, layout: Layout | None = None) -> Any:
        """Translate the circuit into what the engine runs; the result is kept for later runs.

        The layout says where the circuit lies on the device; where there is none it has no meaning.

        Raises:
            WireError: the engine cannot run it.
        """

    def run(self, prepared: Any, pub: Pub, *, seed: int, memory: bool, threads: int = 1) -> PubResult:
        """Run one pub on up to so many threads.

        Raises:
            WireError: the circuit does not fit, or the engine refuses it.
        """


@dataclass(frozen=True, slots=True)
class Question:
    """What Automatic asks its candidates: how well they suit this."""

    analysis: Analysis
    """Of the circuit."""
    shots: int | None = None
    """Those that are asked for; None: exact values, or the default."""
    statevector: bool = False
    """Whether amplitudes are wanted."""
    noisy: bool = False
    """Whether a device is imitated."""
    relaxing_bytes: int = 0
    """Memory of a state that follows relaxation, rather than Pauli errors in its place; 0 where there is none."""
    limit: int = 0
    """Bytes that the circuit may take."""


class RankedProvider(Provider, Protocol):
    """A provider that Automatic may choose: its descriptor says ``candidate``."""

    @staticmethod
    def preference(question: Question) -> int | None:
        """Return how well it suits: the highest is taken. 1: it can; 2: it is the faster one; None: it cannot."""


def load(config: EngineConfig) -> Provider:
    """Return the provider that the configuration names.

    Raises:
        LookupError: none has this name, or it cannot be set up so.
        ModuleNotFoundError: the package that it needs is not installed.
    """
    descriptor = find(config.provider)
    noise = config.noise
    problem = descriptor.problem(
        method=config.method,
        device=config.device,
        noisy=noise is not None,
        pauli=noise is None or noise.pauli,
        options=config.options,
    )
    if problem is not None:
        raise LookupError(problem)
    module, _, name = descriptor.implementation.partition(":")
    provider: Provider = getattr(import_module(module), name)(config)
    return provider
