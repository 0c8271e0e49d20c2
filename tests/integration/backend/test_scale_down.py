"""A backend of two real servers gets smaller while programs run: the operator's own steps, over HTTP."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any, cast

from qiskit import QuantumCircuit

from qonverge.api import QuantumBackend
from qonverge.client import SamplerV2
from qonverge.client.transport.connection import Connection
from qonverge.controller.kube.client import Kube
from qonverge.controller.kube.events import Events
from qonverge.controller.kube.signing_key import SigningKey
from qonverge.controller.kube.status_writer import StatusWriter
from qonverge.controller.objects.object_names import BACKEND_LABEL, PORT_NAME
from qonverge.controller.objects.pod_order import COST
from qonverge.controller.pods.task_client import DataPlane
from qonverge.controller.results.kept_results import PodResults
from qonverge.controller.scaling.removal import Removal
from qonverge.controller.settings import Settings
from qonverge.controller.store.state import State
from qonverge.wire.tokens import Signer, generate_private_key, public_key

KEY, LABEL = "lab/aer", "aer-qb"
HOSTS = {"old": "127.0.0.1", "new": "127.0.0.2"}


class Api(Kube):
    """The API server as far as pods are marked there, and the watch that shows it."""

    def __init__(self, port: int) -> None:
        self.state, self.port, self.version, self.replicas = State(), port, 0, 2
        self.costs: dict[str, str | None] = dict.fromkeys(HOSTS)
        metadata = {"name": "aer", "namespace": "lab", "uid": "uid-aer"}
        self.state.backends[KEY] = QuantumBackend.model_validate({"metadata": metadata, "spec": {"simulator": {}}})
        self._show("Deployment", LABEL, ("QuantumBackend", "uid-aer"), spec={"replicas": 2})
        self._show("ReplicaSet", "rs", ("Deployment", f"uid-{LABEL}"), spec={"replicas": 2})
        for name in HOSTS:
            self._pod(name)

    async def apply(self, obj: dict[str, Any]) -> dict[str, Any]:
        metadata = obj["metadata"]
        assert metadata["uid"] == f"uid-{metadata['name']}"
        self.costs[metadata["name"]] = metadata.get("annotations", {}).get(COST)
        self._pod(metadata["name"])
        return obj

    def resize(self, replicas: int) -> list[str]:
        """Give the Deployment another size, and return the pods that its ReplicaSet takes away."""
        names = sorted(self.costs, key=lambda name: int(self.costs[name] or 0))
        return names[: len(names) - replicas]

    def _pod(self, name: str) -> None:
        spec = {"nodeName": "n", "containers": [{"ports": [{"name": PORT_NAME, "containerPort": self.port}]}]}
        status = {"phase": "Running", "podIP": HOSTS[name], "conditions": [{"type": "Ready", "status": "True"}]}
        cost = self.costs[name]
        annotations = {} if cost is None else {COST: cost}
        created = f"2026-01-0{1 + list(HOSTS).index(name)}T00:00:00Z"
        more = {"annotations": annotations, "creationTimestamp": created, "labels": {BACKEND_LABEL: LABEL}}
        self._show("Pod", name, ("ReplicaSet", "uid-rs"), more, spec=spec, status=status)

    def _show(
        self, kind: str, name: str, owner: tuple[str, str], more: dict[str, Any] | None = None, **fields: Any
    ) -> None:
        self.version += 1
        owned = {"kind": owner[0], "name": "aer", "uid": owner[1], "controller": True}
        metadata = {"name": name, "namespace": "lab", "uid": f"uid-{name}", "resourceVersion": str(self.version)}
        obj = {"metadata": {**metadata, "ownerReferences": [owned], **(more or {})}, **fields}
        self.state.observe(kind, obj, False)


async def test_a_busy_pod_ends_its_task_before_it_goes_and_the_loop_moves_on(
    kit: Any, bell: QuantumCircuit, endless: QuantumCircuit
) -> None:
    private, port = generate_private_key(), kit.free_port()
    signer, api = Signer(private), Api(port)
    guarded = ("--audience", KEY, "--public-key", public_key(private).decode(), "--key", signer.backend_key(KEY))
    data = DataPlane(SigningKey(signer))
    nobody = cast("Any", None)
    results = PodResults(
        state=api.state,
        data=data,
        kube=api,
        statuses=cast("StatusWriter", nobody),
        events=cast("Events", nobody),
        settings=cast("Settings", nobody),
        clock=time.time,
    )
    removal = Removal(state=api.state, data=data, kube=api, results=results, clock=time.time)

    def serving(name: str) -> Any:
        own = ("--instance", f"uid-{name}", "--concurrency", "2", "--grace", "0.1")
        return kit.serving(*guarded, *own, port=port, host=HOSTS[name], tokens=False)

    def longer() -> QuantumCircuit:
        circuit = QuantumCircuit(14, 1)
        circuit.rx(0.3, range(14))
        circuit.reset(0)
        circuit.measure(0, 0)
        return circuit

    there = list(HOSTS.values())
    token = signer.sign(audience=KEY, subject="chem/loop", now=time.time(), ttl=3600.0)
    connection = Connection(f"http://{HOSTS['new']}:{port}", lambda: token, resolve=lambda *_: there)
    sampler, stop = SamplerV2(connection), threading.Event()
    done, errors = list[int](), list[BaseException]()

    def loop() -> None:
        try:
            while not stop.is_set():
                done.append(sampler.run([bell], shots=10).result()[0].data.c.num_shots)
        except BaseException as error:
            errors.append(error)

    program = threading.Thread(target=loop)
    with serving("old") as old, serving("new") as new:
        old.signer = new.signer = signer
        for server, circuit, identity in ((old, endless, "endless"), (new, longer(), "long")):
            assert server.send(kit.task(circuit, identity, shots=1_000), wait=0).status == 202
        program.start()
        try:
            ended, allowed, deadline = False, 2, time.monotonic() + 150
            while allowed == 2:
                assert time.monotonic() < deadline
                assert not errors
                for pod in api.state.pods.serving():
                    info = await data.info(pod.endpoint, KEY)
                    pod.answer(info, 0.1, time.time())
                ended = ended or new.ask("GET", "/v1/tasks/long").body["state"] == "Completed"
                allowed, why = await removal.remove(KEY, 1)
                assert ended or allowed == 2, f"it may go while its task runs: {why}"
                await asyncio.sleep(0.05)
            (going,) = api.resize(allowed)
            left = new.info()
            assert (going, left["draining"], left["queued"] + left["running"]) == ("new", True, 0)
            there.remove(HOSTS[going])
            new.process.kill()
            before = len(done)
            await asyncio.to_thread(kit.until, lambda: len(done) > before + 3 or errors, "the loop goes on")
        finally:
            stop.set()
            program.join(120)
            await removal.close()
            await data.close()
        assert not errors
        assert old.ask("GET", "/v1/tasks/endless").body["state"] == "Running"
