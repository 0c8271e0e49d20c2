"""Automatic: for each pub the engine that suits it, of those that are installed."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from qiskit import QuantumCircuit

from qonverge.backend.config import EngineConfig
from qonverge.backend.engines.checks import accepted, is_exact
from qonverge.backend.engines.protocol import Question, RankedProvider, load
from qonverge.circuits.analysis.analysis import Analysis, analyse
from qonverge.devices import Layout
from qonverge.providers.installed import find, installed
from qonverge.wire.errors import InvalidCircuit
from qonverge.wire.messages import Pub, PubResult


@dataclass(frozen=True, slots=True)
class Prepared:
    """A circuit, and what engines have made of it."""

    circuit: QuantumCircuit
    analysis: Analysis
    used: int
    """Qubits that operations act on: of others a device's imitation takes no notice."""
    layout: Layout | None
    by_engine: dict[str, Any] = field(default_factory=dict)


class Automatic:
    """Several engines as one."""

    def __init__(self, config: EngineConfig) -> None:
        """Load the candidates that are installed and can be set up so."""
        self._engines: dict[str, RankedProvider] = {}
        refused = []
        for descriptor in map(find, installed()):
            if not descriptor.candidate:
                continue
            device = config.device if config.device in descriptor.devices else "CPU"
            try:
                engine = load(replace(config, provider=descriptor.name, device=device, options=None))
                self._engines[descriptor.name] = cast("RankedProvider", engine)
            except ModuleNotFoundError as error:
                refused.append(f"{descriptor.name} is not installed ({error.name} is missing)")
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

    def prepare(self, circuit: QuantumCircuit, layout: Layout | None = None) -> Prepared:
        """Analyse the circuit; it is translated for an engine when that is first chosen."""
        circuit = accepted(circuit, self.noise)
        used = {qubit for item in circuit.data if item.operation.name != "barrier" for qubit in item.qubits}
        return Prepared(circuit, analyse(circuit), len(used), layout)

    def run(self, prepared: Prepared, pub: Pub, *, seed: int, memory: bool, threads: int = 1) -> PubResult:
        """Run one pub; see ``Provider.run``."""
        relaxes = self.noise is not None and not self.noise.pauli
        question = Question(
            prepared.analysis,
            shots=pub.shots,
            statevector=pub.statevector,
            noisy=self.noise is not None,
            relaxing_bytes=16 << prepared.used * (2 if is_exact(pub) else 1) if relaxes else 0,
            limit=self._limit,
        )
        name, own = self._first(prepared, self.ranked(question))
        result = self._engines[name].run(own, pub, seed=seed, memory=memory, threads=threads)
        return replace(result, engine=self._engines[name].version)

    def ranked(self, question: Question) -> list[str]:
        """Return the engines that can, the best first; where none can, one to say why."""
        able = {
            name: preference
            for name in self._engines
            if (preference := self._engines[name].preference(question)) is not None
        }
        return sorted(able, key=lambda name: -able[name]) or [next(iter(self._engines))]

    def _first(self, prepared: Prepared, ranked: Sequence[str]) -> tuple[str, Any]:
        """Return the first engine that takes the circuit, and what it made of it."""
        best, *others = ranked
        try:
            return best, self._translated(prepared, best)
        except InvalidCircuit:
            # It has conditions or loops, say, that are more than this engine takes.
            for name in others:
                with contextlib.suppress(InvalidCircuit):
                    return name, self._translated(prepared, name)
            raise

    def _translated(self, prepared: Prepared, name: str) -> Any:
        if name not in prepared.by_engine:
            prepared.by_engine[name] = self._engines[name].prepare(prepared.circuit, prepared.layout)
        return prepared.by_engine[name]
