"""Unchanged programs of cirq-google, which find dev-cloud by their environment alone."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import cirq
import cirq_google
import numpy as np
import pytest
import sympy
from cirq_google.cloud import quantum
from cirq_google.engine import virtual_engine_factory
from cirq_google.engine.asyncio_executor import AsyncioExecutor

from qonverge_dev_cloud.cloud import DevCloud

Start = Callable[..., DevCloud]
QUBITS = cirq.GridQubit.rect(1, 2, 6, 6)
SILENT = {"google": {"processors": {"willow_pink": {"noise": False}}}}


@pytest.fixture
def engine(start: Start) -> Iterator[Any]:
    """Return what starts an engine of a scenario; its client's streams end with the test."""
    engines: list[cirq_google.Engine] = []

    def begin(**scenario: Any) -> tuple[cirq_google.Engine, DevCloud]:
        cloud = start(**scenario)
        engines.append(cirq_google.Engine(project_id="lab"))
        return engines[-1], cloud

    yield begin
    for each in engines:
        if "_stream_manager" in vars(each.context.client):
            each.context.client._stream_manager.stop()
        AsyncioExecutor.instance().submit(each.context.client.grpc_client.transport.close).result()


def flips(*qubits: cirq.Qid) -> cirq.Circuit:
    return cirq.Circuit(cirq.PhasedXZGate(x_exponent=1, z_exponent=0, axis_phase_exponent=0).on_each(*qubits))


def test_a_sampler_gives_what_cirq_computes(engine: Any) -> None:
    own, cloud = engine(**SILENT)
    angle = sympy.Symbol("angle")
    turned = cirq.PhasedXZGate(x_exponent=angle, z_exponent=0.1, axis_phase_exponent=0.2)(QUBITS[0])
    one, other = QUBITS
    half = cirq.PhasedXZGate(x_exponent=0.5, z_exponent=0, axis_phase_exponent=0.5)
    circuit = cirq.Circuit(turned, half(other), cirq.CZ(one, other), half(other))
    # The measured order and an inverted bit are the program's own.
    measured = circuit + cirq.measure(other, one, key="m", invert_mask=(True, False))
    sweep = cirq.Points("angle", [0.0, 1.0, 0.3])
    found = own.get_sampler("willow_pink").run_sweep(measured, sweep, repetitions=4000)
    assert [result.params.param_dict for result in found] == [
        {"angle": pytest.approx(value)} for value in (0.0, 1.0, 0.3)
    ]
    for result, value in zip(found, (0.0, 1.0, 0.3), strict=True):
        bound = cirq.resolve_parameters(circuit, {"angle": value})
        state = cirq.Simulator().simulate(bound, qubit_order=[other, one]).final_state_vector
        chances = np.abs(state) ** 2
        counts = result.histogram(key="m")
        for outcome in range(4):
            chance = chances[outcome ^ 0b10]
            assert abs(counts[outcome] - 4000 * chance) <= 5 * (4000 * chance * (1 - chance)) ** 0.5 + 1e-3
    (task,) = cloud.tasks()
    assert (task["cloud"], task["device"], task["status"], task["shots"]) == ("google", "willow_pink", "SUCCESS", 12000)


def test_errors_are_those_that_cirq_s_virtual_engine_has(engine: Any) -> None:
    own, _ = engine()
    circuit = cirq.Circuit([flips(*QUBITS), cirq.CZ(*QUBITS)] * 10) + cirq.measure(*QUBITS, key="m")
    noise = virtual_engine_factory.load_device_noise_properties("willow_pink")
    model = cirq_google.NoiseModelFromGoogleNoiseProperties(noise)
    noisy = cirq.Circuit(model.noisy_moments(circuit, sorted(circuit.all_qubits())))
    bare = cirq.Circuit(op for op in noisy.all_operations() if not cirq.is_measurement(op))
    matrix = cirq.DensityMatrixSimulator().simulate(bare, qubit_order=QUBITS).final_density_matrix
    chances = np.real(np.diag(matrix))
    counts = own.get_sampler("willow_pink").run(circuit, repetitions=20_000).histogram(key="m")
    for outcome in range(4):
        expected = 20_000 * chances[outcome]
        assert abs(counts[outcome] - expected) < 5 * expected**0.5 + 1
    assert chances[0] < 0.97


def test_what_the_engine_tells_of_processors(engine: Any) -> None:
    window = {"start": 100, "end": 200}
    own, cloud = engine(
        virtualClock=True,
        google={"processors": {"weber": {"maintenance": [window], "drift": {"seconds": 50, "spread": 0.5}}}},
    )
    assert [each.processor_id for each in own.list_processors()] == ["willow_pink", "weber", "rainbow"]
    weber = own.get_processor("weber")
    assert weber.health() == "OK"
    assert weber.get_device() == virtual_engine_factory.create_device_from_processor_id("weber")
    first = weber.get_current_calibration()
    published = virtual_engine_factory.load_median_device_calibration("weber")
    assert first is not None and dict(first) == dict(published)
    assert first.timestamp == 1000 * int(cloud.clock.start)
    cloud.advance(60)
    second = weber.get_current_calibration()
    assert second is not None and second.timestamp == first.timestamp + 50_000
    metric = "single_qubit_rb_pauli_error_per_gate"
    assert {second[metric][key][0] == first[metric][key][0] for key in first[metric]} == {False}
    assert second["single_qubit_idle_t1_micros"] == first["single_qubit_idle_t1_micros"]
    assert [each.timestamp for each in weber.list_calibrations()] == [second.timestamp, first.timestamp]
    config = weber.get_config()
    assert config is not None and config.config_name == "default"
    assert config.calibration[metric] == second[metric]
    slots = weber.get_schedule(None, None)
    kinds = [slot.time_slot_type.name for slot in slots]
    assert kinds == ["OPEN_SWIM", "MAINTENANCE", "OPEN_SWIM"]
    cloud.advance(60)
    assert weber.health() == "DOWN"
    assert weber.expected_recovery_time().timestamp() == cloud.clock.start + 200


def test_a_job_waits_runs_and_is_cancelled(engine: Any) -> None:
    own, cloud = engine(
        virtualClock=True,
        google={"processors": {"willow_pink": {"queue": {"seconds": 60}, "run": {"perShot": 0.1}, "noise": False}}},
    )
    circuit = flips(QUBITS[0]) + cirq.measure(QUBITS[0], key="m")
    program = own.create_program(circuit, program_id="one", labels={"kind": "flip"})
    assert [each.program_id for each in own.list_programs(has_labels={"kind": "flip"})] == ["one"]
    assert own.list_programs(has_labels={"kind": "other"}) == []
    assert own.get_program("one").get_circuit() == circuit
    first, second = (
        program.run_sweep(
            processor_id="willow_pink",
            run_name="current",
            device_config_name="default",
            job_id=name,
            repetitions=100,
            labels={"name": name},
        )
        for name in ("first", "second")
    )
    assert first.status() == "READY"
    cloud.advance(61)
    assert first.status() == "RUNNING"
    assert first.get_processor().processor_id == "willow_pink"
    second.cancel()
    assert second.status() == "CANCELLED"
    cloud.advance(10)
    assert first.results()[0].histogram(key="m") == {1: 100}
    again = cirq_google.EngineJob("lab", "one", "first", own.context)
    assert again.get_repetitions_and_sweeps()[0] == 100
    states = {quantum.ExecutionStatus.State.SUCCESS}
    assert [each.job_id for each in own.list_jobs(execution_states=states)] == ["first"]
    assert [each.job_id for each in program.list_jobs(has_labels={"name": "second"})] == ["second"]
    first.add_labels({"more": "1"}).set_description("words")
    assert (first.labels()["more"], first.description()) == ("1", "words")
    assert {(task["id"].rsplit("/")[-1], task["status"]) for task in cloud.tasks()} == {
        ("first", "SUCCESS"),
        ("second", "CANCELLED"),
    }
    program.delete(delete_jobs=True)
    assert own.list_programs() == []


def test_what_the_processor_does_not_take_fails_and_says_why(engine: Any) -> None:
    own, _ = engine(google={"processors": {"rainbow": {"failing": {"calls": [1], "reason": "It warmed up."}}}})
    sampler = own.get_sampler("rainbow")
    device = virtual_engine_factory.create_device_from_processor_id("rainbow")
    circuit = flips(cirq.GridQubit(4, 1)) + cirq.measure(cirq.GridQubit(4, 1), key="m")
    with pytest.raises(RuntimeError, match=r"SYSTEM_ERROR: It warmed up\."):
        sampler.run(circuit)
    for bad, words in (
        (circuit + cirq.X(cirq.GridQubit(99, 99)), "INVALID_PROGRAM: Qubit not on device"),
        (flips(cirq.GridQubit(4, 1)), "INVALID_PROGRAM: Code must measure"),
        (
            flips(*sorted(device.metadata.qubit_set)[:12]) + cirq.measure(cirq.GridQubit(4, 1), key="m"),
            "INVALID_PROGRAM: 12 qubits: dev-cloud simulates up to 11 with errors",
        ),
        (circuit + cirq.Circuit(cirq.Z(cirq.GridQubit(4, 1)) ** sympy.Symbol("a")), "INVALID_PROGRAM"),
    ):
        with pytest.raises(RuntimeError, match=words):
            sampler.run(bad)


def test_a_lost_reply_leaves_one_job_whichever_it_was(engine: Any) -> None:
    """Cirq's client goes on with what is there: its names are its own."""
    lost = {"cloud": "google", "kind": "lostReply", "when": "after", "calls": [1]}
    own, cloud = engine(
        **SILENT,
        faults=[
            {**lost, "operation": "CreateQuantumProgram"},
            {**lost, "operation": "CreateQuantumJob"},
            {**lost, "operation": "GetQuantumResult"},
        ],
    )
    circuit = flips(QUBITS[1]) + cirq.measure(*QUBITS, key="m")
    assert own.get_sampler("willow_pink").run(circuit, repetitions=50).histogram(key="m") == {0b01: 50}
    assert [task["status"] for task in cloud.tasks()] == ["SUCCESS"]
    effects = [entry.status for entry in cloud.journal.entries("google", "CreateQuantumJob") if entry.effect]
    assert effects == [None]


def ask(method: str, path: str, body: Any = None, token: str = "a") -> Any:
    request = urllib.request.Request(
        f"{os.environ['QONVERGE_GOOGLE_ENDPOINT']}/v1alpha1/{path}",
        None if body is None else json.dumps(body).encode(),
        method=method,
        headers={"Authorization": f"Bearer {token}"} if token else {},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def refused(*arguments: Any, **options: Any) -> tuple[int, str, str]:
    with pytest.raises(urllib.error.HTTPError) as error:
        ask(*arguments, **options)
    told = json.load(error.value)["error"]
    return error.value.code, told["status"], told["message"]


def job(repetitions: int = 10) -> dict[str, Any]:
    context = {
        "@type": "type.googleapis.com/cirq.google.api.v2.RunContext",
        "parameterSweeps": [{"repetitions": repetitions}],
    }
    name = "projects/lab/programs/one/jobs/own"
    processor = {"processor": "projects/lab/processors/willow_pink"}
    return {"name": name, "schedulingConfig": {"processorSelector": processor}, "runContext": context}


def test_what_is_refused_and_that_names_are_taken_once(start: Start) -> None:
    cloud = start(limits=[{"cloud": "google", "operation": "ListQuantumPrograms", "perSecond": 0.001}])
    program = {"name": "projects/lab/programs/one", "code": {"@type": "type.googleapis.com/google.protobuf.Empty"}}
    assert ask("POST", "projects/lab/programs", program)["name"] == program["name"]
    assert refused("POST", "projects/lab/programs", program)[:2] == (409, "ALREADY_EXISTS")
    assert ask("POST", "projects/lab/programs/one/jobs", job())["name"] == job()["name"]
    assert refused("POST", "projects/lab/programs/one/jobs", job())[:2] == (409, "ALREADY_EXISTS")
    while (told := ask("GET", job()["name"])["executionStatus"])["state"] in ("READY", "RUNNING"):
        pass
    assert told["failure"]["errorCode"] == "INVALID_PROGRAM"
    assert "google.protobuf.Empty where a cirq.google.api.v2.Program" in told["failure"]["errorMessage"]
    assert refused("GET", f"{job()['name']}/result")[:2] == (404, "NOT_FOUND")
    assert refused("POST", f"{job()['name']}:cancel", {})[:2] == (400, "FAILED_PRECONDITION")
    unknown = {"processor": "projects/lab/processors/weber", "deviceConfigSelector": {"configAlias": "none"}}
    other = {"schedulingConfig": {"processorSelector": unknown}}
    elsewhere = {"schedulingConfig": {"processorSelector": {"processor": "projects/lab/processors/none"}}}
    for call, answer in (
        (("GET", "projects/lab/programs/two"), (404, "NOT_FOUND", "program projects/lab/programs/two does not exist")),
        (
            ("POST", "projects/lab/programs/one/jobs", elsewhere),
            (
                404,
                "NOT_FOUND",
                "processor 'projects/lab/processors/none' does not exist: use willow_pink, weber, rainbow",
            ),
        ),
        (
            ("POST", "projects/lab/programs/one/jobs", other),
            (400, "INVALID_ARGUMENT", "weber has no configuration none of the run "),
        ),
        (
            ("GET", "projects/lab/programs/one/jobs?filter=age+%3E+3"),
            (
                400,
                "INVALID_ARGUMENT",
                "the filter has age, and dev-cloud knows create_time, executed_processor_id, "
                "execution_status.state, labels, scheduled_processor_ids",
            ),
        ),
        (
            ("GET", "projects/lab/reservationBudgets"),
            (501, "UNIMPLEMENTED", "dev-cloud does not do ListQuantumReservationBudgets"),
        ),
        (("GET", "somewhere"), (404, "NOT_FOUND", "dev-cloud does not do GET /v1alpha1/somewhere")),
    ):
        assert refused(*call) == answer
    assert refused("POST", "projects/lab/programs", {"nam": 1})[:2] == (400, "INVALID_ARGUMENT")
    assert refused("GET", "projects/lab/programs", token="")[:2] == (401, "UNAUTHENTICATED")
    assert refused("GET", "projects/lab/programs")[:2] == (429, "RESOURCE_EXHAUSTED")
    assert "Bearer" not in repr(cloud.journal.entries())


def test_pages(start: Start) -> None:
    start()
    for number in range(5):
        ask("POST", "projects/lab/programs", {"name": f"projects/lab/programs/{number}"})
    first = ask("GET", "projects/lab/programs?pageSize=3")
    second = ask("GET", f"projects/lab/programs?pageSize=3&pageToken={first['nextPageToken']}")
    names = [program["name"].rsplit("/")[-1] for program in first["programs"] + second["programs"]]
    assert (names, "nextPageToken" in second) == (["4", "3", "2", "1", "0"], False)
