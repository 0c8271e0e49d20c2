"""What the operator knows and says of backends' noise, and what their pods get."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from qonverge.api import QuantumBackend
from qonverge.controller.backends import calibration
from qonverge.controller.backends.status import Seen, status_of
from qonverge.controller.kube.client import Kube, KubeError
from qonverge.controller.objects import backend_objects, object_names
from qonverge.controller.placement.snapshot import seen
from qonverge.controller.settings import Settings
from qonverge.controller.store.cluster import Cluster
from qonverge.controller.store.state import Calibrated, State
from qonverge.devices import Rates, snapshots
from qonverge.devices.noise import Noise
from qonverge.wire.backend_info import BackendInfo

REFERENCE = {"configMapKeyRef": {"name": "figures", "key": "lima.json"}}
NOW = datetime(2026, 1, 31, tzinfo=UTC).timestamp()


def backend(noise: dict[str, Any] | None, **spec: Any) -> QuantumBackend:
    simulator = {"device": spec.pop("device", "CPU"), "layout": spec.pop("layout", "Optimized")}
    simulator |= {} if noise is None else {"noise": noise}
    metadata = {"name": "b", "namespace": "lab", "uid": "u"}
    return QuantumBackend.model_validate({"metadata": metadata, "spec": {"simulator": simulator, **spec}})


def info(noise: Noise | None) -> BackendInfo:
    digest = "" if noise is None else noise.digest
    return BackendInfo("Aer", "Automatic", (), (), None, 1, None, 1, 0, 0, 1, False, calibration_digest=digest)


class ConfigMaps(Kube):
    """Has ConfigMaps and nothing else."""

    def __init__(self, *maps: dict[str, str], broken: bool = False, binary: dict[str, str] | None = None) -> None:
        self.binary = binary
        self.maps = dict.fromkeys(["figures"], *maps) if maps else {}
        self.broken = broken

    async def get(self, kind: str, namespace: str | None, name: str) -> dict[str, Any] | None:
        assert (kind, namespace) == ("ConfigMap", "lab")
        if self.broken:
            raise KubeError(403, "configmaps is forbidden")
        return {"data": self.maps[name], "binaryData": self.binary} if name in self.maps else None


async def looked(noise: dict[str, Any], *maps: dict[str, str], known: Calibrated | None = None) -> Calibrated:
    found = await calibration.look(backend(noise), known, ConfigMaps(*maps), NOW)
    assert found is not None
    return found


async def test_figures_come_from_the_snapshot_the_rates_or_the_config_map() -> None:
    lima = snapshots.load("lima")
    assert (await looked({"device": "lima"})).noise == lima
    assert (await looked({"rates": {"readout": 0.1}})).noise == Rates(readout=0.1)
    written = {"lima.json": json.dumps(lima.to_dict())}
    assert (await looked(REFERENCE, written)).noise == lima
    assert await calibration.look(backend(None), None, ConfigMaps(), NOW) is None


async def test_figures_may_be_compressed() -> None:
    lima = snapshots.load("lima")
    packed = base64.b64encode(gzip.compress(json.dumps(lima.to_dict()).encode())).decode()
    maps = ConfigMaps({"other": "{}"}, binary={"lima.json": packed})
    found = await calibration.look(backend(REFERENCE), None, maps, NOW)
    assert found is not None
    assert (found.noise, found.problem) == (lima, None)
    missing = await calibration.look(backend(REFERENCE), None, ConfigMaps({}, binary={"lima": packed}), NOW)
    assert missing is not None
    assert missing.problem == ("Missing", "the ConfigMap figures has no key lima.json; it has lima")


@pytest.mark.parametrize(
    ("maps", "reason", "message"),
    [
        ([], "Missing", "there is no ConfigMap figures"),
        ([{"other": "{}"}], "Missing", "the ConfigMap figures has no key lima.json; it has other"),
        ([{"lima.json": "{"}], "Invalid", "the key lima.json of the ConfigMap figures: the calibration is not JSON"),
    ],
)
async def test_a_config_map_that_does_not_serve_is_told_and_the_former_figures_stay(
    maps: list[dict[str, str]], reason: str, message: str
) -> None:
    lima = snapshots.load("lima")
    former = await looked(REFERENCE, {"lima.json": json.dumps(lima.to_dict())})
    found = await looked(REFERENCE, *maps, known=former)
    assert found.noise == lima
    told = calibration.verdict(found, [info(lima)], NOW)
    assert (told.status, told.reason) == ("False", reason)
    assert told.message.startswith(message)


async def test_a_config_map_that_may_not_be_read_stops_nothing() -> None:
    found = await calibration.look(backend(REFERENCE), None, ConfigMaps(broken=True), NOW)
    assert found is not None
    assert found.problem is not None
    assert found.problem[0] == "Unreadable"


async def test_noise_is_read_again_when_it_may_differ() -> None:
    written = {"lima.json": json.dumps(snapshots.load("lima").to_dict())}
    known = await looked(REFERENCE, written)
    assert not calibration.is_stale(backend(REFERENCE), known, NOW + 1)
    assert calibration.is_stale(backend(REFERENCE), known, NOW + calibration.LOOK_SECONDS)
    assert calibration.is_stale(backend({"device": "lima"}), known, NOW)
    assert calibration.is_stale(backend(None), known, NOW)
    assert not calibration.is_stale(backend(None), None, NOW)
    snapshot = await looked({"device": "lima"})
    assert not calibration.is_stale(backend({"device": "lima"}), snapshot, NOW + 1e6)


async def test_the_status_says_how_good_and_how_old_the_device_is() -> None:
    lima = snapshots.load("lima")
    given, known = backend({"device": "lima"}), await looked({"device": "lima"})
    deployment = {"status": {"readyReplicas": 1, "replicas": 1}}
    status = status_of(given, Seen(deployment, [info(lima)], known), NOW)
    condition = next(c for c in status.conditions if c.type == "Calibrated")
    assert (condition.status, condition.reason) == ("True", "Calibrated")
    assert condition.message.startswith("lima was measured ")
    assert condition.message.endswith(" days ago")
    short = status.calibration
    assert short is not None
    assert (short.name, short.digest, short.num_qubits) == ("lima", lima.digest, 5)
    assert short.median_two_qubit_error == lima.median_error(2)
    assert short.median_one_qubit_error == lima.median_error(1)
    assert short.median_readout_error == lima.median_readout_error
    assert short.measured_at is not None
    assert datetime.fromisoformat(short.measured_at).timestamp() == pytest.approx(lima.measured_at, abs=1)

    waiting = status_of(given, Seen(deployment, [info(lima), info(Rates())], known), NOW)
    condition = next(c for c in waiting.conditions if c.type == "Calibrated")
    assert (condition.status, condition.reason) == ("False", "Updating")
    assert condition.message.startswith("1 of 2 pods have the calibration")
    condition = next(c for c in status_of(given, Seen(calibrated=known), NOW).conditions if c.type == "Calibrated")
    assert condition.status == "Unknown"

    ideal = status_of(backend(None), Seen(deployment, [info(None)]), NOW)
    assert ideal.calibration is None
    assert "Calibrated" not in [c.type for c in ideal.conditions]


async def test_placement_sees_the_errors_of_the_device() -> None:
    state, given, lima = State(), backend({"device": "lima"}), snapshots.load("lima")
    unknown = seen(state, Cluster(), given, {}, 0.0)
    assert (unknown.two_qubit_error, unknown.readout_error) == (None, None)
    state.calibrations["lab/b"] = await looked({"device": "lima"})
    there = seen(state, Cluster(), given, {}, 0.0)
    assert (there.two_qubit_error, there.readout_error) == (lima.median_error(2), lima.median_readout_error)
    ideal = seen(state, Cluster(), backend(None), {}, 0.0)
    assert (ideal.two_qubit_error, ideal.readout_error) == (0.0, 0.0)


async def test_placement_sees_the_width_of_the_device() -> None:
    state = State()
    given = backend({"device": "lima"}, capacity={"maxQubits": 7})
    assert seen(state, Cluster(), given, {}, 0.0).max_qubits == 7
    state.calibrations["lab/b"] = await looked({"device": "lima"})
    assert seen(state, Cluster(), given, {}, 0.0).max_qubits == 5
    narrow = backend({"device": "lima"}, capacity={"maxQubits": 3})
    assert seen(state, Cluster(), narrow, {}, 0.0).max_qubits == 3


class TestPods:
    @staticmethod
    def pod(given: QuantumBackend) -> tuple[dict[str, Any], dict[str, str]]:
        spec: dict[str, Any] = backend_objects.deployment(given, Settings(), b"key")["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        return spec, {item["name"]: item.get("value", "") for item in container["env"]}

    def test_noise_travels_by_name_by_value_or_as_a_file(self) -> None:
        assert self.pod(backend({"device": "lima"}))[1]["QONVERGE_NOISE"] == "lima"
        told = self.pod(backend({"rates": {"readout": 0.1}}))[1]["QONVERGE_NOISE"]
        assert Rates.from_dict(json.loads(told)) == Rates(readout=0.1)
        assert "QONVERGE_NOISE" not in self.pod(backend(None))[1]
        assert self.pod(backend({"device": "lima"}))[1]["QONVERGE_LAYOUT"] == "Optimized"
        assert self.pod(backend({"device": "lima"}, layout="AsGiven"))[1]["QONVERGE_LAYOUT"] == "AsGiven"
        spec, environment = self.pod(backend(REFERENCE))
        (mount,) = [m for m in spec["containers"][0]["volumeMounts"] if m["name"] == "noise"]
        (volume,) = [v for v in spec["volumes"] if v["name"] == "noise"]
        ((item,), name) = volume["configMap"]["items"], volume["configMap"]["name"]
        assert (name, item["key"], mount["readOnly"]) == ("figures", "lima.json", True)
        assert environment["QONVERGE_NOISE"] == f"@{mount['mountPath']}/{item['path']}"
        assert "subPath" not in mount, "a file that is mounted by itself never changes"

    @pytest.mark.parametrize(
        ("limits", "expected"),
        [
            ({}, {"nvidia.com/gpu": 1}),
            ({"memory": "4Gi"}, {"memory": "4Gi", "nvidia.com/gpu": 1}),
            ({"nvidia.com/gpu": 2}, {"nvidia.com/gpu": 2}),
            ({"nvidia.com/mig-1g.5gb": 1}, {"nvidia.com/mig-1g.5gb": 1}),
        ],
    )
    def test_a_gpu_is_asked_for_once(self, limits: dict[str, Any], expected: dict[str, Any]) -> None:
        given = backend(None, device="GPU", template={"resources": {"limits": limits}})
        spec, environment = self.pod(given)
        assert spec["containers"][0]["resources"]["limits"] == {**expected, "ephemeral-storage": "1Gi"}
        assert environment["QONVERGE_DEVICE"] == "GPU"
        spec, _ = self.pod(backend(None, template={"resources": {"limits": limits}}))
        assert spec["containers"][0]["resources"]["limits"] == {**limits, "ephemeral-storage": "1Gi"}

    def test_why_a_pod_does_not_serve_is_in_the_status(self) -> None:
        state, given = State(), backend(None, device="GPU")
        metadata = {
            "name": "b-0",
            "namespace": "lab",
            "uid": "p",
            "resourceVersion": "1",
            "labels": object_names.backend_labels(given),
        }
        ended = {"terminated": {"exitCode": 1, "message": "noise\nqonverge.backend: device is GPU and Aer has none\n"}}
        pod = {
            "metadata": metadata,
            "spec": {"containers": []},
            "status": {"containerStatuses": [{"state": {"waiting": {}}, "lastState": ended}]},
        }
        state.observe("Pod", pod, deleted=False)
        told = state.pods.trouble("lab/b-0")
        assert told is not None
        of, trouble = told
        assert (of, str(trouble)) == ("lab/b-qb", "device is GPU and Aer has none")
        status = status_of(given, Seen(trouble=trouble), NOW)
        assert status.conditions[0].message == "0 of 1 pods serve: device is GPU and Aer has none"
        unplaced = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
        newer = {**pod, "metadata": {**metadata, "resourceVersion": "2"}, "status": {"conditions": [unplaced]}}
        state.observe("Pod", newer, deleted=False)
        assert str(state.pods.trouble_of("lab/b-qb")) == "0/3 nodes are available"
        state.observe("Pod", {**newer, "metadata": {**metadata, "resourceVersion": "3"}}, deleted=True)
        assert state.pods.trouble("lab/b-0") is None
