"""Automatic: for each pub the engine that suits it, of those that are installed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from qiskit import QuantumCircuit

from qonverge.backend import providers
from qonverge.backend.config import EngineConfig
from qonverge.backend.providers import Provider
from qonverge.backend.providers.checks import accepted, is_exact
from qonverge.backend.providers.choice import choose_engine
from qonverge.circuits.analysis import Analysis, analyse
from qonverge.wire.errors import InvalidCircuit
from qonverge.wire.messages import Pub, PubResult

# BraketLocal runs what Aer runs, and compiles for seconds at the first circuit of each width: who wants it names it.
_CANDIDATES = ("Aer", "Stim")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A circuit, and what engines have made of it."""

    circuit: QuantumCircuit
    analysis: Analysis
    used: int
    """Qubits that operations act on: of others a device's imitation takes no notice."""
    by_engine: dict[str, Any] = field(default_factory=dict)


class Automatic:
    """Several engines as one."""

    def __init__(self, config: EngineConfig) -> None:
        """Load the engines that are installed and have the method that is set."""
        self._engines: dict[str, Provider] = {}
        refused = []
        for name in _CANDIDATES:
            device = config.device if name == "Aer" else "CPU"
            try:
                self._engines[name] = providers.load(replace(config, provider=name, device=device))
            except ModuleNotFoundError as error:
                refused.append(f"{name} is not installed ({error.name} is missing)")
            except LookupError as error:
                if device == "GPU":
                    # Somebody counts on it: no other engine may take its work in silence.
                    raise
                refused.append(str(error.args[0]))
        if not self._engines:
            raise LookupError("; ".join(refused))
        engines = self._engines.values()
        self.version = f"Automatic ({', '.join(engine.version for engine in engines)})"
        self.methods = tuple(dict.fromkeys(method for engine in engines for method in engine.methods))
        self.basis_gates = tuple(sorted({gate for engine in engines for gate in engine.basis_gates}))
        self.noise = config.noise
        self._limit = config.circuit_bytes

    def prepare(self, circuit: QuantumCircuit) -> Prepared:
        """Analyse the circuit; it is translated for an engine when that is first chosen."""
        circuit = accepted(circuit, self.noise)
        used = {qubit for item in circuit.data if item.operation.name != "barrier" for qubit in item.qubits}
        return Prepared(circuit, analyse(circuit), len(used))

    def run(self, prepared: Prepared, pub: Pub, *, seed: int, memory: bool, threads: int = 1) -> PubResult:
        """Run one pub; see ``Provider.run``."""
        relaxes = self.noise is not None and not self.noise.pauli
        name = choose_engine(
            prepared.analysis,
            tuple(self._engines),
            shots=pub.shots,
            statevector=pub.statevector,
            noisy=self.noise is not None,
            relaxing_bytes=16 << prepared.used * (2 if is_exact(pub) else 1) if relaxes else 0,
            limit=self._limit,
        )
        try:
            own = self._translated(prepared, name)
        except InvalidCircuit:
            if name != "Stim" or "Aer" not in self._engines:
                raise
            # All gates are Clifford, and yet their conditions or loops are more than Stim takes.
            name = "Aer"
            own = self._translated(prepared, name)
        result = self._engines[name].run(own, pub, seed=seed, memory=memory, threads=threads)
        return replace(result, engine=self._engines[name].version)

    def _translated(self, prepared: Prepared, name: str) -> Any:
        if name not in prepared.by_engine:
            prepared.by_engine[name] = self._engines[name].prepare(prepared.circuit)
        return prepared.by_engine[name]
