"""What a parallel program has beside its batch Job, and what makes that Indexed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qonverge.api import HybridJob, QuantumBackend
from qonverge.controller.objects import object_names
from qonverge.controller.objects.program_pod import own_first
from qonverge.controller.settings import Settings
from qonverge.programs import dask
from qonverge.programs.ranks import RANK_VARIABLES, world

INDEX = "batch.kubernetes.io/job-completion-index"
"""The annotation, and since Kubernetes 1.28 the label, that has the rank of a pod."""
KINDS = ("Service", "NetworkPolicy", "Secret")
_JOB_NAME = "batch.kubernetes.io/job-name"
_RENDEZVOUS_PORT = 29400
_MASTER_PORT = 29500
_DASK_PORT = 8786
_CERTIFICATE = "dask.pem"


def rank_of(metadata: Mapping[str, Any]) -> int:
    """Return the rank of a program's pod; 0 of one that is alone."""
    return int((metadata.get("annotations") or {}).get(INDEX, 0))


def name_of(job: HybridJob, attempt: int) -> str:
    """Return the name of what an attempt has beside its batch Job for its ranks: an object of each of ``KINDS``."""
    return object_names.child_name(f"ranks-{job.metadata.name}", object_names.attempt_suffix(job, attempt))


def of_ranks(
    job: HybridJob, batch: dict[str, Any], backends: Sequence[QuantumBackend], settings: Settings, attempt: int
) -> list[dict[str, Any]]:
    """Return the objects of an attempt at a parallel program that its batch Job becomes, which is the last.

    Args:
        job: the job.
        batch: its batch Job, as it would be for one pod.
        backends: those that its ranks call, in the order of the ranks.
        settings: whether programs tell metrics.
        attempt: which attempt it is.
    """
    size, metadata = job.spec.program.world_size, batch["metadata"]
    name = name_of(job, attempt)
    selector = {"matchLabels": {_JOB_NAME: metadata["name"]}}
    # Kueue admits the Job only, and only it says which backends its program calls.
    labels = {label: value for label, value in metadata["labels"].items() if label != object_names.QUEUE_LABEL}
    own = {**{key: metadata[key] for key in metadata if key != "annotations"}, "name": name, "labels": labels}
    secrets = []
    if job.spec.program.framework == "Dask":
        data = {_CERTIFICATE: dask.certificate()}
        # Ranks that start late need the certificate of the first: who made it once makes no other.
        secrets.append({"apiVersion": "v1", "kind": "Secret", "metadata": own, "stringData": data, "immutable": True})
    return [
        *secrets,
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": own,
            # Ranks look for each other before they are ready, which is when they are connected.
            "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": selector["matchLabels"]},
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": own,
            "spec": {"podSelector": selector, "policyTypes": ["Ingress"], "ingress": _ingress(selector, settings)},
        },
        _indexed(job, batch, size, name, backends),
    ]


def _ingress(selector: dict[str, Any], settings: Settings) -> list[dict[str, Any]]:
    """Return who may reach a rank: MPI asks nobody who they are, and takes any port, as Dask's workers do."""
    scrapes = [{"ports": [{"protocol": "TCP", "port": object_names.METRICS_PORT}]}] if settings.program_metrics else []
    return [{"from": [{"podSelector": selector}]}, *scrapes]


def _indexed(
    job: HybridJob, batch: dict[str, Any], size: int, service: str, backends: Sequence[QuantumBackend]
) -> dict[str, Any]:
    template, name = batch["spec"]["template"], batch["metadata"]["name"]
    # The Job controller gives each pod the host name NAME-INDEX.
    host = f"{name}-0.{service}.{job.metadata.namespace}.svc"
    program, variables, certificate = job.spec.program, RANK_VARIABLES, dict[str, Any]()
    if program.framework == "Dask":
        alike, variables = dask.world(size, host, _DASK_PORT), RANK_VARIABLES[:1]
        certificate = {"secretKeyRef": {"name": service, "key": _CERTIFICATE}}
    else:
        alike = world(size, host, master_port=_MASTER_PORT, rendezvous_port=_RENDEZVOUS_PORT)
    if len(backends) > 1:
        alike["QONVERGE_BACKEND_URLS"] = " ".join(map(object_names.backend_url, backends))
        alike["QONVERGE_RANKS_PER_BACKEND"] = str(program.ranks_per_backend)
    index = {"fieldRef": {"fieldPath": f"metadata.annotations['{INDEX}']"}}
    environment: list[dict[str, Any]] = [
        *({"name": variable, "value": value} for variable, value in alike.items()),
        *({"name": variable, "valueFrom": index} for variable in variables),
        *({"name": variable, "valueFrom": certificate} for variable in dask.TLS_VARIABLES if certificate),
    ]
    (container,) = template["spec"]["containers"]
    containers = [{**container, "env": own_first(environment, container["env"])}]
    pod = {**template["spec"], "subdomain": service, "containers": containers}
    indexed = {"completionMode": "Indexed", "completions": size, "parallelism": size}
    annotations = {object_names.PROGRAM_BACKENDS_ANNOTATION: " ".join(map(object_names.audience, backends))}
    metadata = {**batch["metadata"], "annotations": {**batch["metadata"]["annotations"], **annotations}}
    spec = {**batch["spec"], **indexed, "template": {**template, "spec": pod}}
    return {**batch, "metadata": metadata, "spec": spec}
