"""Runs IBM's programs on Aer, with the errors of a device's properties.

Circuits come in the gates and on the qubits of the device, and run as they are, on the qubits that they use. Each gate
is followed by a depolarizing error of its published error rate; each bit is misread as its qubit's properties say.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.primitives import BackendSamplerV2, PrimitiveResult, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error
from qiskit_aer.primitives import EstimatorV2 as AerEstimator

from qonverge_dev_cloud.ibm.errors import Refused
from qonverge_dev_cloud.simulation import WIDEST_EXACT, WIDEST_NOISY

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from ibm_quantum_schemas.common.tensor import CompressedTensorModel
    from ibm_quantum_schemas.executor.version_2_0.models import (
        ItemMetadataModel,
        MetadataModel,
        ParamsModel,
        QuantumProgramResultItemModel,
        QuantumProgramResultModel,
    )
    from qiskit_ibm_runtime import RuntimeDecoder, RuntimeEncoder
    from qiskit_ibm_runtime.fake_provider.executor.run_quantum_program import run_quantum_program
    from qiskit_ibm_runtime.options import EstimatorOptions, SamplerOptions
    from qiskit_ibm_runtime.options_models.simulator import SimulatorOptions
    from qiskit_ibm_runtime.quantum_program.converters.converters_2_0 import (
        passthrough_data_to_2_0,
        quantum_program_from_2_0,
    )

DEFAULT_SHOTS = 4096
# What acts on no qubit, and what besides may join qubits that are not coupled.
_PASSIVE = frozenset(("barrier", "delay"))
_ANYWHERE = _PASSIVE | {"if_else", "for_loop", "switch_case"}


@dataclass(frozen=True, slots=True)
class Program:
    """What a job runs, read from what was sent."""

    kind: str
    """sampler, estimator or executor."""
    pubs: Sequence[Any]
    """Of the primitives' own classes; of an executor the one program."""
    shots: int
    """Runs of circuits, all together."""

    @property
    def circuits(self) -> list[QuantumCircuit]:
        """All circuits."""
        return [each.circuit for each in (self.pubs[0].items if self.kind == "executor" else self.pubs)]


def read(kind: str, params: Mapping[str, Any]) -> Program:
    """Return a program.

    Raises:
        Refused: it is none that runs here; the message says why.
    """
    try:
        if kind == "executor":
            return _executor(params)
        given = json.loads(json.dumps(params), cls=RuntimeDecoder)
        options = given.get("options") or {}
        if kind == "sampler":
            SamplerOptions(**options)
            default = options.get("default_shots") or DEFAULT_SHOTS
            pubs = [SamplerPub.coerce(tuple(pub), default) for pub in given["pubs"]]
            return Program(kind, pubs, sum(pub.shots * max(1, pub.parameter_values.size) for pub in pubs))
        if kind == "estimator":
            level = {} if "resilience_level" not in given else {"resilience_level": given["resilience_level"]}
            EstimatorOptions(**options, **level)
            wanted = [EstimatorPub.coerce(tuple(pub), _precision(options)) for pub in given["pubs"]]
            return Program(kind, wanted, sum(math.ceil(1 / pub.precision**2) * max(1, pub.size) for pub in wanted))
    except Refused:
        raise
    except Exception as error:
        # What decodes a program raises whatever Python does.
        raise Refused(400, f"the program cannot be read: {str(error) or type(error).__name__}", 1207) from None
    raise Refused(404, f"dev-cloud has no program {kind!r}: use sampler, estimator or executor", 1352)


def check(program: Program, configuration: Mapping[str, Any], *, noisy: bool) -> None:
    """Say whether a device takes a program, and this machine runs it with errors or without.

    Raises:
        Refused: it does not.
    """
    name, gates = configuration["backend_name"], {*configuration["supported_instructions"], "barrier"}
    pairs = {tuple(pair) for pair in configuration["coupling_map"]}
    for circuit in program.circuits:
        if circuit.num_qubits > configuration["n_qubits"]:
            raise Refused(400, f"{circuit.num_qubits} qubits: {name} has {configuration['n_qubits']}", 1517)
        if program.kind == "executor":
            # Its boxes are translated while it runs.
            continue
        for operation, qubits in _operations(circuit, range(circuit.num_qubits)):
            if operation not in gates:
                raise Refused(400, f"{name} has no instruction {operation}: transpile the circuit for it", 1517)
            if len(qubits) == 2 and operation not in _ANYWHERE and qubits not in pairs:
                raise Refused(400, f"{operation} on qubits {qubits[0]} and {qubits[1]}: {name} has no such pair", 1517)
        widest = WIDEST_NOISY if noisy else WIDEST_EXACT
        if (width := len(_used(circuit))) > widest:
            errors = " with errors" if noisy else ""
            raise Refused(400, f"the circuit uses {width} qubits: dev-cloud simulates up to {widest}{errors}", 1517)


def run(program: Program, properties: Mapping[str, Any] | None, seed: int) -> str:
    """Return the result as the SDK reads it.

    Args:
        program: that was checked.
        properties: the device's errors; None for none.
        seed: of all draws.
    """
    if program.kind == "executor":
        return _run_executor(program.pubs[0], properties, seed)
    one = _sampled if program.kind == "sampler" else _estimated
    results = [one(pub, properties, seed + place) for place, pub in enumerate(program.pubs)]
    return json.dumps(PrimitiveResult(results, metadata={"version": 2}), cls=RuntimeEncoder)


def _sampled(pub: SamplerPub, properties: Mapping[str, Any] | None, seed: int) -> PubResult:
    circuit, places = _compact(pub.circuit, _used(pub.circuit))
    sampler = BackendSamplerV2(
        backend=AerSimulator(noise_model=_errors(circuit, places, properties)), options={"seed_simulator": seed}
    )
    found = sampler.run([SamplerPub(circuit, pub.parameter_values, pub.shots)]).result()[0]
    # As IBM's has it; the rest of the metadata is not imitated.
    return type(found)(found.data, metadata={"circuit_metadata": pub.circuit.metadata or {}})


def _estimated(pub: EstimatorPub, properties: Mapping[str, Any] | None, seed: int) -> PubResult:
    observed = {
        pub.circuit.num_qubits - 1 - place
        for each in pub.observables.ravel().tolist()
        for label in each
        for place, letter in enumerate(label)
        if letter != "I"
    }
    used = sorted({*_used(pub.circuit), *observed}) or [0]
    circuit, places = _compact(pub.circuit, used)
    width = pub.circuit.num_qubits
    here = [
        {"".join(label[width - 1 - place] for place in reversed(places)): weight for label, weight in each.items()}
        for each in pub.observables.ravel().tolist()
    ]
    errors = _errors(circuit, places, properties)
    method = "statevector" if errors is None else "density_matrix"
    estimator = AerEstimator(
        options={"backend_options": {"method": method, "noise_model": errors}, "run_options": {"seed": seed}}
    )
    observables = ObservablesArray.coerce(here).reshape(pub.observables.shape)
    found = estimator.run([EstimatorPub(circuit, observables, pub.parameter_values, pub.precision)]).result()[0]
    shots = math.ceil(1 / pub.precision**2)
    return PubResult(found.data, metadata={"shots": shots, "target_precision": pub.precision, "circuit_metadata": {}})


def _executor(params: Mapping[str, Any]) -> Program:
    if params.get("schema_version") != "v2.0":
        raise Refused(400, f"dev-cloud reads executor programs of the schema v2.0, not {params.get('schema_version')}")
    program, _ = quantum_program_from_2_0(ParamsModel.model_validate(params))
    for item in program.items:
        samplex = getattr(item, "samplex", None)
        if samplex is not None:
            samplex.finalize()
    return Program("executor", [program], program.shots * sum(math.prod(item.shape) for item in program.items))


def _run_executor(program: Any, properties: Mapping[str, Any] | None, seed: int) -> str:
    # Their circuits are as wide as the device, and are not made narrower: what randomizes them knows their qubits.
    errors: NoiseModel | None = None
    for item in program.items:
        errors = _errors(item.circuit, range(item.circuit.num_qubits), properties, errors)
    backend = AerSimulator(method="matrix_product_state", noise_model=errors)
    found = run_quantum_program(backend, program, SimulatorOptions(seed_simulator=seed % 2**31))
    model = QuantumProgramResultModel(
        data=[
            QuantumProgramResultItemModel(
                results={name: CompressedTensorModel.from_numpy(value) for name, value in item.items()},
                metadata=ItemMetadataModel(),
            )
            for item in found
        ],
        metadata=MetadataModel(chunk_timing=[]),
        passthrough_data=passthrough_data_to_2_0(program.passthrough_data),
        semantic_role=program._semantic_role,
    )
    return str(model.model_dump_json())


def _precision(options: Mapping[str, Any]) -> float:
    if shots := options.get("default_shots"):
        return 1 / math.sqrt(shots)
    return float(options.get("default_precision") or 1 / math.sqrt(DEFAULT_SHOTS))


def _operations(circuit: QuantumCircuit, outer: Sequence[int]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the name and the qubits of each operation, those in blocks too."""
    for item in circuit.data:
        qubits = tuple(outer[circuit.find_bit(qubit).index] for qubit in item.qubits)
        yield item.operation.name, qubits
        for block in getattr(item.operation, "blocks", ()):
            yield from _operations(block, qubits)


def _used(circuit: QuantumCircuit) -> list[int]:
    """Return the qubits that anything acts on."""
    found = {
        circuit.find_bit(qubit).index for item in circuit.data if item.name not in _PASSIVE for qubit in item.qubits
    }
    return sorted(found) or [0]


def _compact(circuit: QuantumCircuit, used: Sequence[int]) -> tuple[QuantumCircuit, list[int]]:
    """Return a circuit on these qubits only, and the device's qubit that each of them is."""
    inner = {place: index for index, place in enumerate(used)}
    narrow = QuantumCircuit(len(used), name=circuit.name, global_phase=circuit.global_phase)
    narrow.add_bits(circuit.clbits)
    for register in circuit.cregs:
        narrow.add_register(register)
    for item in circuit.data:
        qubits = [inner[place] for qubit in item.qubits if (place := circuit.find_bit(qubit).index) in inner]
        if len(qubits) == len(item.qubits):
            narrow.append(item.operation, qubits, item.clbits)
    return narrow, list(used)


def _errors(
    circuit: QuantumCircuit,
    places: Sequence[int],
    properties: Mapping[str, Any] | None,
    model: NoiseModel | None = None,
) -> NoiseModel | None:
    """Return the errors of what a circuit does, added to those of a model."""
    if properties is None:
        return None
    model = model or NoiseModel()
    rates = {(gate["gate"], tuple(gate["qubits"])): _named(gate["parameters"]) for gate in properties["gates"]}
    for name, qubits in dict.fromkeys(_operations(circuit, range(circuit.num_qubits))):
        there = tuple(places[qubit] for qubit in qubits)
        if name == "measure":
            own = _named(properties["qubits"][there[0]])
            one, zero = own["prob_meas1_prep0"], own["prob_meas0_prep1"]
            model.add_readout_error(ReadoutError([[1 - one, one], [zero, 1 - zero]]), qubits, warnings=False)
            continue
        error = rates.get((name, there), {}).get("gate_error", 0.0)
        if error > 0:
            size = 2 ** len(qubits)
            # Depolarizing with probability p turns a gate into one of average fidelity 1 - p (d - 1) / d.
            probability = min(error * size / (size - 1), 1.0)
            model.add_quantum_error(depolarizing_error(probability, len(qubits)), name, qubits, warnings=False)
    return model


def _named(parameters: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return {each["name"]: float(each["value"]) for each in parameters if np.isfinite(each["value"])}
