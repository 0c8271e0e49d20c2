"""Two HybridJobs as a DAG of Airflow 3: the second one's angle is the first one's result.

It needs apache-airflow-providers-cncf-kubernetes, and a connection to the cluster that may create and get HybridJobs.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
from airflow.providers.cncf.kubernetes.operators.resource import KubernetesCreateResourceOperator
from airflow.sdk import PokeReturnValue, dag, task
from airflow.sdk.exceptions import AirflowFailException

NAMESPACE = "default"
CALIBRATE = """
apiVersion: qonverge.io/v1alpha1
kind: HybridJob
metadata:
  name: calibrate-{{ run_id | replace("_", "-") | replace(":", "-") | replace("+", "-") | lower }}
spec:
  program:
    python:
      source: |
        from qonverge.client import result
        result({"angle": 1.57})
"""
RUN = """
apiVersion: qonverge.io/v1alpha1
kind: HybridJob
metadata:
  name: run-{{ run_id | replace("_", "-") | replace(":", "-") | replace("+", "-") | lower }}
spec:
  program:
    circuit:
      openqasm: |
        OPENQASM 3.0;
        include "stdgates.inc";
        input float theta;
        qubit[1] q;
        bit[1] c;
        ry(theta) q[0];
        c = measure q;
      parameters:
        theta: {{ ti.xcom_pull(task_ids="calibrated")["value"]["angle"] }}
"""


@task.sensor(poke_interval=10, timeout=3600, mode="reschedule")
def ended(name: str) -> PokeReturnValue:
    """Wait for a job's end, and return its result."""
    status: dict[str, Any] = (
        KubernetesHook().get_custom_object("qonverge.io", "v1alpha1", "hybridjobs", name, NAMESPACE).get("status", {})
    )
    if status.get("state") == "Failed":
        raise AirflowFailException(f"{name} failed with {status['reason']}: {status['message']}")
    return PokeReturnValue(is_done=status.get("state") == "Complete", xcom_value=status.get("result"))


def create(task_id: str, manifest: str) -> KubernetesCreateResourceOperator:
    """Return a task that creates a job."""
    return KubernetesCreateResourceOperator(
        task_id=task_id, yaml_conf=manifest, namespace=NAMESPACE, custom_resource_definition=True
    )


def name_of(manifest: str) -> str:
    """Return the name of a job, as the template that it is."""
    return next(line.split(":", 1)[1].strip() for line in manifest.splitlines() if line.startswith("  name:"))


@dag(start_date=datetime(2026, 1, 1), schedule=None, catchup=False)
def quantum() -> None:
    """Calibrate, then run."""
    calibrated = ended.override(task_id="calibrated")(name_of(CALIBRATE))
    create("calibrate", CALIBRATE) >> calibrated >> create("run", RUN) >> ended.override(task_id="ran")(name_of(RUN))


quantum()
