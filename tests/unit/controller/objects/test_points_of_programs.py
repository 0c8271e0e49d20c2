"""The Indexed Job of a program that is swept, and how a process finds its point."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qonverge.api import HybridJob, QuantumBackend
from qonverge.client.program.points import choose_point, index_of
from qonverge.client.seeds import seed_from_environment
from qonverge.controller.jobs.kinds.python import PythonJobs
from qonverge.controller.objects import object_names
from qonverge.controller.objects.points import of_points
from qonverge.controller.settings import Settings

SWEEP = {"parameters": {"layers": {"values": [1, 2]}, "mode": {"strings": ["$(A)", "b"]}}}
BACKEND = QuantumBackend.model_validate({"metadata": {"name": "aer", "namespace": "lab"}, "spec": {"simulator": {}}})


def job(name: str = "grid", **program: Any) -> HybridJob:
    python = {"source": "print(1)", "args": ["$(parameters.layers)", "$(parameters.shots)", "$(parameters.mode)"]}
    spec = {"program": {"python": python, "sweep": SWEEP, "parameters": {"shots": 10}, **program}}
    metadata = {"name": name, "namespace": "chem", "uid": "12345678-uid"}
    return HybridJob.model_validate({"metadata": metadata, "spec": spec})


def made(given: HybridJob, indexes: list[int], slots: int = 10) -> dict[str, Any]:
    batch = PythonJobs().objects(given, BACKEND, Settings(), attempt=2, tokens=["t"])[-1]
    return of_points(given, batch, indexes, slots)


def as_in_pod(batch: dict[str, Any], number: int) -> tuple[dict[str, str], list[str]]:
    """Return environment and arguments of a pod, as Kubernetes gives them."""
    (container,) = batch["spec"]["template"]["spec"]["containers"]
    plain = {each["name"]: each["value"].replace("$$", "$") for each in container["env"] if "value" in each}
    return {**plain, "JOB_COMPLETION_INDEX": str(number)}, container["args"]


def test_there_is_a_pod_for_each_point_and_some_at_the_same_time() -> None:
    spec = made(job(parallelism=3), [0, 1, 2, 3])["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 4, 3)
    assert made(job(), [0, 1, 2, 3])["spec"]["parallelism"] == 1
    assert made(job(parallelism=3), [0, 1, 2, 3], slots=2)["spec"]["parallelism"] == 2
    assert made(job(parallelism=3), [0, 1, 2, 3], slots=0)["spec"]["parallelism"] == 1, "its pods may be back soon"
    # A limit for all pods would end the job with the first that fails.
    assert (spec["backoffLimitPerIndex"], "backoffLimit" in spec) == (0, False)
    assert spec["podFailurePolicy"]["rules"][0]["action"] == "Ignore"


def test_a_process_has_the_parameters_of_its_point() -> None:
    environment, args = as_in_pod(made(job(), [0, 1, 2, 3]), 2)
    assert choose_point(environment, args) == ["2", "10", "$(A)"]
    assert json.loads(environment["QONVERGE_PARAMETERS"]) == {"shots": 10, "layers": 2, "mode": "$(A)"}
    assert index_of(environment) == 2


def test_a_later_attempt_runs_the_points_that_are_left() -> None:
    batch = made(job(parallelism=4), [1, 3])
    assert batch["metadata"]["annotations"][object_names.INDEXES_ANNOTATION] == "1,3"
    assert (batch["spec"]["completions"], batch["spec"]["parallelism"]) == (2, 2)
    environment, args = as_in_pod(batch, 1)
    assert choose_point(environment, args) == ["2", "10", "b"]
    assert (index_of(environment), environment["JOB_COMPLETION_INDEX"]) == (3, "3")


def test_a_program_that_is_not_swept_has_no_point() -> None:
    environment: dict[str, str] = {}
    assert choose_point(environment, ["$(parameters.layers)"]) == ["$(parameters.layers)"]
    assert (environment, index_of(environment)) == ({}, None)


def test_each_point_has_a_seed_of_its_own_that_is_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QONVERGE_SEED", "11")

    def seed(index: int) -> int | None:
        monkeypatch.setenv("QONVERGE_INDEX", str(index))
        return seed_from_environment()

    seeds = [seed(index) for index in range(32)]
    assert (seeds[0], len(set(seeds))) == (11, 32)
    assert seeds == [seed(index) for index in range(32)]


def test_host_names_of_pods_fit_a_label() -> None:
    name = made(job("j" * 70), [0, 1, 2, 3])["metadata"]["name"]
    assert len(f"{name}-999") <= 63
