"""What the controller manager and kubelets do for a backend's Deployment, where neither runs: servers as its pods."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from e2e.cluster import standin
from qonverge.api.quantity import bytes_of
from tests.integration.conftest import Lab

_COST = "controller.kubernetes.io/pod-deletion-cost"


class DeploymentController:
    """Keeps as many servers as the Deployment of one backend asks for, until the end of its block."""

    def __init__(self, lab: Lab, backend: str) -> None:
        self._lab = lab
        self._name = f"{backend}-qb"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=self._name)
        self._starting: dict[str, threading.Thread] = {}
        self._ending: list[threading.Thread] = []
        self._made = 0
        self._told: tuple[object, ...] = ()
        self.error: BaseException | None = None
        """What ended the thread before its time."""

    def __enter__(self) -> DeploymentController:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for thread in (*self._starting.values(), *self._ending):
            thread.join()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            while not self._stop.wait(0.2):
                deployment = self._lab.get("deployment", self._name)
                if deployment:
                    self._follow(deployment)
        except BaseException as error:
            self.error = error

    def _follow(self, deployment: dict[str, Any]) -> None:
        lab, wanted, replica_set = self._lab, deployment["spec"]["replicas"], f"{self._name}-all"
        if not lab.get("replicaset", replica_set):
            lab.apply(standin.replica_set(deployment, replica_set))
        # What ends already counts no more.
        there = [p for p in lab.list("pod") if _owner(p) == replica_set and "deletionTimestamp" not in p["metadata"]]
        names = {pod["metadata"]["name"] for pod in there} | {
            name for name, each in self._starting.items() if each.is_alive()
        }
        for _ in range(wanted - len(names)):
            self._made += 1
            name = f"{self._name}-{self._made}"
            arguments = (deployment, replica_set, name, *_memory(deployment))
            self._starting[name] = threading.Thread(target=lab.start_pod, args=arguments, name=name)
            self._starting[name].start()
        for pod in sorted(there, key=_goes_first)[: max(0, len(names) - wanted)]:
            name = pod["metadata"]["name"]
            self._starting[name].join()
            self._ending.append(lab.end_pod(name))
        self._tell_of_replica_set(replica_set, wanted)
        exist, ready = len(there), sum(_is_ready(pod) for pod in there)
        if (told := (deployment["metadata"]["generation"], exist, ready)) != self._told:
            self._told = told
            lab.deployment_status(self._name, replicas=exist, updatedReplicas=exist, readyReplicas=ready)

    def _tell_of_replica_set(self, name: str, replicas: int) -> None:
        """Say how many pods the ReplicaSet has, and that its controller knows."""
        lab, found = self._lab, self._lab.get("replicaset", name)
        if found["spec"]["replicas"] != replicas:
            lab.patch("replicaset", name, {"spec": {"replicas": replicas}})
            found = lab.get("replicaset", name)
        generation = found["metadata"]["generation"]
        if found.get("status", {}).get("observedGeneration") != generation:
            status = {"observedGeneration": generation, "replicas": replicas}
            lab.patch("replicaset", name, {"status": status}, "status")


def _memory(deployment: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a server learns of its limit, which a kubelet writes into its cgroup."""
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    limit = container["resources"].get("limits", {}).get("memory")
    return () if limit is None else ("--memory-limit", str(bytes_of(limit)))


def _owner(pod: Mapping[str, Any]) -> str:
    owners = pod["metadata"].get("ownerReferences") or [{}]
    return str(owners[0].get("name"))


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _goes_first(pod: Mapping[str, Any]) -> tuple[object, ...]:
    """Return a key by which pods go as the controller of ReplicaSets takes them; of equal ones the newest."""
    metadata = pod["metadata"]
    cost = int((metadata.get("annotations") or {}).get(_COST, 0))
    return (_is_ready(pod), cost, -int(metadata["name"].rpartition("-")[2]))
