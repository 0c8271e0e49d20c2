"""What an engine must be able to do. A provider is found by its entry point in the group ``qonverge.providers``."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol

from qonverge.backend.config import EngineConfig
from qonverge.devices import Layout
from qonverge.devices.noise import Noise
from qonverge.wire.messages import Pub, PubResult

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

GROUP = "qonverge.providers"


class Provider(Protocol):
    """An engine inside a worker process."""

    version: str
    """Name and version, such as ``Aer 0.17.2``."""
    methods: tuple[str, ...]
    """Methods by the API's names."""
    basis_gates: tuple[str, ...]
    noise: Noise | None
    """The device that is imitated or driven: its gates, where they act and how well; None where any gate acts on any
    qubits without error. A simulator takes it from ``EngineConfig.noise`` and refuses by LookupError what it cannot
    imitate."""

    def prepare(self, circuit: QuantumCircuit, layout: Layout | None = None) -> Any:
        """Translate the circuit into what the engine runs; the result is kept for later runs.

        The layout says where the circuit lies on the device; where there is none it has no meaning.
        """

    def run(self, prepared: Any, pub: Pub, *, seed: int, memory: bool, threads: int = 1) -> PubResult:
        """Run one pub on up to so many threads.

        Raises:
            WireError: the circuit does not fit, or the engine refuses it.
        """


def load(config: EngineConfig) -> Provider:
    """Return the provider that the configuration names."""
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if config.provider not in found:
        raise LookupError(f"no engine is called {config.provider}; installed: {', '.join(sorted(found)) or 'none'}")
    provider: Provider = found[config.provider].load()(config)
    return provider
