"""The objects of a parallel program: an Indexed Job, a headless Service, and who may reach its pods."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from qonverge.api import HybridJob, QuantumBackend
from qonverge.controller.jobs.kinds.container import ContainerJobs
from qonverge.controller.jobs.kinds.python import PythonJobs
from qonverge.controller.objects import object_names, ranks
from qonverge.controller.settings import Settings


def job(name: str = "qnn", **program: Any) -> HybridJob:
    spec = {"program": {"python": {"source": "print(1)"}, **program}}
    metadata = {"name": name, "namespace": "chem", "uid": "12345678-uid"}
    return HybridJob.model_validate({"metadata": metadata, "spec": spec})


def backend(name: str) -> QuantumBackend:
    return QuantumBackend.model_validate({"metadata": {"name": name, "namespace": "lab"}, "spec": {"simulator": {}}})


def made(given: HybridJob, *backends: QuantumBackend, **settings: Any) -> dict[str, dict[str, Any]]:
    """Return the objects by their kinds, as attempt 2."""
    known, tokens = Settings(**settings), [f"t{number}" for number in range(len(backends))]
    *others, batch = PythonJobs().objects(given, backends[0], known, attempt=2, tokens=tokens)
    objects = [*others, *ranks.of_ranks(given, batch, backends, known, 2)]
    assert objects[-1]["kind"] == "Job"
    return {each["kind"]: each for each in objects}


def environment(batch: dict[str, Any]) -> dict[str, Any]:
    (container,) = batch["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry.get("value") or entry["valueFrom"] for entry in container["env"]}


def test_ranks_are_an_indexed_job() -> None:
    objects = made(job(parallelism=4), backend("aer"))
    spec = objects["Job"]["spec"]
    found = (spec["completionMode"], spec["completions"], spec["parallelism"], spec["backoffLimit"])
    assert found == ("Indexed", 4, 4, 0)
    known = environment(objects["Job"])
    index = {"fieldRef": {"fieldPath": "metadata.annotations['batch.kubernetes.io/job-completion-index']"}}
    assert known["RANK"] == known["QONVERGE_RANK"] == index
    assert known["WORLD_SIZE"] == known["QONVERGE_WORLD_SIZE"] == "4"
    host = "qnn-12345-2-0.ranks-qnn-12345-2.chem.svc"
    assert (known["MASTER_ADDR"], known["MASTER_PORT"]) == (host, "29500")
    assert known["QONVERGE_RENDEZVOUS"] == f"{host}:29400"
    assert "QONVERGE_BACKEND_URLS" not in known


def test_a_headless_service_gives_each_rank_a_name_before_it_is_ready() -> None:
    objects = made(job(parallelism=2), backend("aer"))
    service, pod = objects["Service"], objects["Job"]["spec"]["template"]["spec"]
    assert pod["subdomain"] == service["metadata"]["name"] == "ranks-qnn-12345-2"
    assert service["spec"] == {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": {"batch.kubernetes.io/job-name": "qnn-12345-2"},
    }
    assert service["metadata"]["ownerReferences"] == objects["Job"]["metadata"]["ownerReferences"]


def test_ranks_of_one_attempt_reach_each_other_and_nobody_else_does() -> None:
    spec = made(job(parallelism=2), backend("aer"), program_metrics=False)["NetworkPolicy"]["spec"]
    selector = {"matchLabels": {"batch.kubernetes.io/job-name": "qnn-12345-2"}}
    assert spec == {
        "podSelector": selector,
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"podSelector": selector}]}],
    }
    scraped = made(job(parallelism=2), backend("aer"), program_metrics=True)["NetworkPolicy"]["spec"]["ingress"]
    assert scraped[1] == {"ports": [{"protocol": "TCP", "port": object_names.METRICS_PORT}]}


def test_groups_of_ranks_have_backends_and_tokens_of_their_own() -> None:
    given = job(parallelism=4, ranksPerBackend=2)
    objects = made(given, backend("aer"), backend("stim"))
    known = environment(objects["Job"])
    assert known["QONVERGE_BACKEND_URLS"] == "http://aer-qb.lab.svc:8080 http://stim-qb.lab.svc:8080"
    assert known["QONVERGE_RANKS_PER_BACKEND"] == "2"
    assert {name: objects["Secret"]["stringData"][name] for name in ("token", "token-1")} == {
        "token": "t0",
        "token-1": "t1",
    }


def test_host_names_of_ranks_are_labels_however_long_the_job_is_named() -> None:
    """Kubernetes refuses an Indexed Job whose pods would have none, and Services that begin with a digit."""
    objects = made(job("9" + "x" * 200, parallelism=256), backend("aer"))
    assert len(objects["Job"]["metadata"]["name"] + "-255") <= 63
    assert len(objects["Service"]["metadata"]["name"]) <= 63
    assert objects["Service"]["metadata"]["name"][0].isalpha()


def test_the_rank_of_a_pod_is_its_index() -> None:
    assert ranks.rank_of({"annotations": {ranks.INDEX: "3"}}) == 3
    assert ranks.rank_of({"name": "alone"}) == 0


def test_ranks_of_a_container_have_the_variables_too_and_its_own_cannot_replace_them() -> None:
    env = [{"name": "RANK", "value": "9"}, {"name": "OUT", "value": "/data/$(QONVERGE_RANK)"}]
    container = {"image": "lab:1", "args": ["$(parameters.steps)"], "template": {"env": env}}
    spec = {"program": {"container": container, "parallelism": 2, "parameters": {"steps": 5}}}
    given = HybridJob.model_validate({"metadata": {"name": "j", "namespace": "chem", "uid": "12345678"}, "spec": spec})
    *_, batch = ContainerJobs().objects(given, backend("aer"), Settings(), attempt=1, tokens=["t"])
    *_, batch = ranks.of_ranks(given, batch, [backend("aer")], Settings(), 1)
    assert batch["spec"]["completionMode"] == "Indexed"
    (made_container,) = batch["spec"]["template"]["spec"]["containers"]
    assert made_container["args"] == ["5"]
    names = [variable["name"] for variable in made_container["env"]]
    assert len(names) == len(set(names))
    # Kubernetes replaces references to variables that come before.
    assert names.index("QONVERGE_RANK") < names.index("OUT")
    assert "fieldRef" in environment(batch)["RANK"]


def test_each_rank_brings_its_program() -> None:
    git = {"url": "https://git.example.org/a.git", "path": "a.py"}
    spec = {"program": {"python": {"git": git}, "parallelism": 2}}
    given = HybridJob.model_validate({"metadata": {"name": "j", "namespace": "chem", "uid": "12345678"}, "spec": spec})
    made_pod = made(given, backend("aer"))["Job"]["spec"]["template"]["spec"]
    assert [each["name"] for each in made_pod["initContainers"]] == ["qonverge-fetch"]


def test_ranks_of_a_container_call_one_backend() -> None:
    spec = {"program": {"container": {"image": "lab:1"}, "parallelism": 4, "ranksPerBackend": 2}}
    with pytest.raises(ValidationError, match="ranksPerBackend is about Python programs"):
        HybridJob.model_validate({"metadata": {"name": "j"}, "spec": spec})


def test_ranks_of_dask_find_its_scheduler_and_share_a_certificate_that_stays() -> None:
    given = job(parallelism=4, framework="Dask")
    *others, batch = PythonJobs().objects(given, backend("aer"), Settings(), attempt=2, tokens=["t"])
    secret, *_, indexed = ranks.of_ranks(given, batch, [backend("aer")], Settings(), 2)
    assert (secret["kind"], secret["immutable"]) == ("Secret", True)
    assert secret["metadata"]["name"] not in {each["metadata"]["name"] for each in others}
    assert "BEGIN CERTIFICATE" in secret["stringData"]["dask.pem"]
    known = environment(indexed)
    assert known["DASK_SCHEDULER_ADDRESS"] == "tls://qnn-12345-2-0.ranks-qnn-12345-2.chem.svc:8786"
    assert (known["QONVERGE_FRAMEWORK"], known["QONVERGE_WORLD_SIZE"]) == ("Dask", "4")
    held = {"secretKeyRef": {"name": secret["metadata"]["name"], "key": "dask.pem"}}
    assert known["DASK_DISTRIBUTED__COMM__TLS__WORKER__KEY"] == held
    # Nothing waits for other ranks there.
    assert not known.keys() & {"QONVERGE_RENDEZVOUS", "MASTER_ADDR", "RANK"}
