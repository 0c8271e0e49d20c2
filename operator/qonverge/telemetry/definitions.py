"""Every metric, once: its name, type, unit, meaning, labels, and how many series it has at most.

Names follow Prometheus' conventions: base units, ``_total`` of counters, ``_ratio`` of parts of one, and points in time
as Unix seconds rather than ages. No label has a job's name, so that the number of series follows from the objects that
there are and not from what was run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qonverge.documents.reports import MOST_METRICS

Type = Literal["counter", "gauge", "histogram"]
Unit = Literal["", "seconds", "bytes", "joules", "ratio", "watts"]
Per = Literal["pod", "program", "operator", "backend", "namespace", "quota", "pair"]
"""What has the series: a backend pod, a program's process, an operator's replica, or there a backend, a namespace, a
quota, or a namespace with a backend."""

TASK_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)
JOB_SECONDS = (1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400)
RECONCILE_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60)
RATIOS = (0.1, 0.25, 0.5, 0.8, 1.25, 2, 4, 10)

MOST_REASONS = 40
"""Reasons of one backend that have series of their own, such as codes of errors; others count as ``Other``."""
MOST_CURRENCIES = 8
MOST_SITES = 33
"""Sites to which a pod measures its links, with its own."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric."""

    name: str
    """As it is exposed; of a counter with ``_total``."""
    type: Type
    help: str
    labels: tuple[str, ...] = ()
    per: Per = "pod"
    most: int = 1
    """Values of the labels together that one of ``per`` has at most."""
    buckets: tuple[float, ...] = ()
    """Of a histogram, without the last one, which has no bound."""

    @property
    def unit(self) -> Unit:
        """The unit that its name says; empty of what is only counted."""
        word = self.name.removesuffix("_total").rsplit("_", 1)[1]
        return word if word in ("seconds", "bytes", "joules", "ratio", "watts") else ""  # type: ignore[return-value]  # one of them

    @property
    def series(self) -> int:
        """Series that one of ``per`` has at most."""
        return self.most * (len(self.buckets) + 3 if self.type == "histogram" else 1)


def _pod(name: str, kind: Type, text: str, *labels: str, most: int = 1, buckets: tuple[float, ...] = ()) -> Metric:
    return Metric(f"qonverge_backend_{name}", kind, text, labels, "pod", most, buckets)


def _program(name: str, kind: Type, text: str, *labels: str, most: int = 1) -> Metric:
    return Metric(f"qonverge_program_{name}", kind, text, labels, "program", most)


def _operator(
    name: str,
    kind: Type,
    text: str,
    *labels: str,
    per: Per = "operator",
    most: int = 1,
    buckets: tuple[float, ...] = (),
) -> Metric:
    return Metric(f"qonverge_operator_{name}", kind, text, labels, per, most, buckets)


TASKS = _pod("tasks_total", "counter", "Tasks that ended, by state.", "state", most=3)
TASK_ERRORS = _pod(
    *("task_errors_total", "counter", "Tasks that failed, by the code of their error.", "reason"),
    most=MOST_REASONS + 1,
)
QUEUE_SECONDS = _pod("queue_seconds", "histogram", "Time that tasks waited.", buckets=TASK_SECONDS)
RUN_SECONDS = _pod("run_seconds", "histogram", "Time that tasks ran.", buckets=TASK_SECONDS)
QUEUE_LENGTH = _pod("queue_length", "gauge", "Tasks that wait.")
QUEUE_LIMIT = _pod("queue_limit", "gauge", "Tasks that may wait; with more, further ones are refused.")
TASKS_RUNNING = _pod("tasks_running", "gauge", "Tasks that run.")
WORKERS = _pod("workers", "gauge", "Worker processes; of a device elsewhere none.")
UTILIZATION = _pod(
    *("utilization_ratio", "gauge", "Part of the tasks that can run at once that do; not there while none can."),
)
WORKER_RESTARTS = _pod("worker_restarts_total", "counter", "Worker processes that were replaced.")
KEPT_RESULT_BYTES = _pod("kept_result_bytes", "gauge", "Results that are kept to be fetched.")
CALIBRATION_TIMESTAMP = _pod(
    *("calibration_timestamp_seconds", "gauge", "When the calibration in force was measured, Unix time."),
)
TWO_QUBIT_ERROR = _pod("two_qubit_error_ratio", "gauge", "Median error of two-qubit gates, by the calibration.")
READOUT_ERROR = _pod("readout_error_ratio", "gauge", "Median error of measurements, by the calibration.")
DEVICE_ONLINE = _pod("device_online", "gauge", "1 where the device elsewhere runs tasks, else 0.")
DEVICE_QUEUE_LENGTH = _pod(
    *("device_queue_length", "gauge", "Everybody's tasks that wait for the device elsewhere, as its vendor tells."),
)
DEVICE_WAIT = _pod(
    *("device_wait_seconds", "gauge", "How long a new task waits for the device elsewhere, as its vendor tells."),
)
DEVICE_ROUND_TRIP = _pod(
    *("device_round_trip_seconds", "gauge", "Time of a request to the device's site or vendor and its answer."),
)
LINK_ROUND_TRIP = _pod(
    *("link_round_trip_seconds", "gauge", "Time of a small request to a server at the site and its answer.", "site"),
    most=MOST_SITES,
)
LINK_LOSS = _pod(
    *("link_loss_ratio", "gauge", "Part of what is sent to the site that is lost.", "site"), most=MOST_SITES
)
LINK_BANDWIDTH = _pod(
    *("link_bandwidth_bytes_per_second", "gauge", "Rate at which bytes come from the site.", "site"), most=MOST_SITES
)
CLOUD_CALLS = _pod(
    *("cloud_calls_total", "counter", "Calls of the cloud, by what was asked and how that ended.", "call", "result"),
    most=8 * 10,
)
CLOUD_CALL_WAIT = _pod(
    *("cloud_call_wait_seconds_total", "counter"),
    *("Time that calls of the cloud waited for its limits or after failures: submit, read.", "kind"),
    most=2,
)
CLOUD_BILLED = _pod(
    *("cloud_billed_total", "counter", "What the cloud billed for tasks that ended, in units of the currency."),
    "currency",
    most=MOST_CURRENCIES,
)
SPOOL_TASKS = _pod("spool_tasks", "gauge", "Tasks on disk, by whether they have ended.", "ended", most=2)
SPOOL_BYTES = _pod("spool_bytes", "gauge", "Bytes of tasks on disk.")
REMOTE_CALLS = _pod(
    *("remote_calls_total", "counter", "Requests to another site, by kind and by whether an answer came."),
    *("kind", "answered"),
    most=5 * 2,
)

BACKEND = (
    TASKS,
    TASK_ERRORS,
    QUEUE_SECONDS,
    RUN_SECONDS,
    QUEUE_LENGTH,
    QUEUE_LIMIT,
    TASKS_RUNNING,
    WORKERS,
    UTILIZATION,
    WORKER_RESTARTS,
    KEPT_RESULT_BYTES,
    CALIBRATION_TIMESTAMP,
    TWO_QUBIT_ERROR,
    READOUT_ERROR,
    DEVICE_ONLINE,
    DEVICE_QUEUE_LENGTH,
    DEVICE_WAIT,
    DEVICE_ROUND_TRIP,
    LINK_ROUND_TRIP,
    LINK_LOSS,
    LINK_BANDWIDTH,
    CLOUD_CALLS,
    CLOUD_CALL_WAIT,
    CLOUD_BILLED,
    SPOOL_TASKS,
    SPOOL_BYTES,
    REMOTE_CALLS,
)
"""What a backend pod exposes, whether it simulates, stands for a device, or is a server outside Kubernetes."""

PROGRAM_TASKS = _program("tasks_total", "counter", "Tasks that it sent and that ended, by state.", "state", most=3)
PROGRAM_TASKS_UNDER_WAY = _program("tasks_under_way", "gauge", "Tasks that it sent and that have not ended.")
PROGRAM_WAITS = _program("waits_total", "counter", "Times that it sent a task while none was under way.")
PROGRAM_WAIT_SECONDS = _program("wait_seconds_total", "counter", "Time in which at least one task was under way.")
PROGRAM_TASK_SECONDS = _program(
    *("task_seconds_total", "counter", "Time from sending a task to its end, of all tasks together.")
)
PROGRAM_QUEUE_SECONDS = _program(
    *("queue_seconds_total", "counter", "Time that its tasks waited at the backend, of all tasks together.")
)
PROGRAM_RUN_SECONDS = _program(
    *("run_seconds_total", "counter", "Time that its tasks ran at the backend, of all tasks together.")
)
PROGRAM_SHOTS = _program("shots_total", "counter", "Shots of its tasks that completed.")
PROGRAM_SENT_BYTES = _program("sent_bytes_total", "counter", "Bytes of its requests to backends, without their heads.")
PROGRAM_RECEIVED_BYTES = _program("received_bytes_total", "counter", "Bytes of the answers, without their heads.")
PROGRAM_PROGRESS = _program("progress_ratio", "gauge", "Part of its work that it reported as done.")
PROGRAM_METRIC = _program(
    *("reported_value", "gauge", "Metric that it reported, its last value, by its own name for it.", "metric"),
    most=MOST_METRICS,
)
PROGRAM_REPORTED = _program(
    *("last_report_timestamp_seconds", "gauge", "When it last reported progress or metrics, Unix time.")
)

PROGRAM = (
    PROGRAM_TASKS,
    PROGRAM_TASKS_UNDER_WAY,
    PROGRAM_WAITS,
    PROGRAM_WAIT_SECONDS,
    PROGRAM_TASK_SECONDS,
    PROGRAM_QUEUE_SECONDS,
    PROGRAM_RUN_SECONDS,
    PROGRAM_SHOTS,
    PROGRAM_SENT_BYTES,
    PROGRAM_RECEIVED_BYTES,
    PROGRAM_PROGRESS,
    PROGRAM_METRIC,
    PROGRAM_REPORTED,
)
"""What the pod of a Python program exposes."""

LEADER = _operator("leader", "gauge", "1 where the replica leads, else 0.")
RECONCILES = _operator("reconciles_total", "counter", "Reconciles, by how they ended.", "kind", "outcome", most=6)
RECONCILE_SECONDS_METRIC = _operator(
    *("reconcile_seconds", "histogram", "Time of a reconcile.", "kind"), most=3, buckets=RECONCILE_SECONDS
)
LAST_RECONCILE = _operator(
    *("last_reconcile_timestamp_seconds", "gauge", "When a reconcile last went well, Unix time.", "kind"), most=3
)
OBJECTS_WAITING = _operator("queue_length", "gauge", "Objects that wait to be reconciled.")
JOBS_IN_FLIGHT = _operator("jobs_in_flight", "gauge", "Jobs that are worked on.")
ROUND_SECONDS = _operator(
    *("placement_round_seconds", "histogram", "Time of a round of placement."), buckets=RECONCILE_SECONDS
)
SOURCE_UP = _operator(
    *("figure_source_up", "gauge", "1 where a source of figures for decisions answered when last asked.", "source"),
)
FIGURES = _operator(
    "decision_figures_total",
    "counter",
    "Figures of backends that rounds of placement used, by their source; Stale: there was none that is new enough.",
    "figure",
    "source",
    most=4 * 3 + 1,
)
SHADOW_ROUNDS = _operator(
    "shadow_rounds_total",
    "counter",
    "Rounds beside which a shadow policy was to decide: Compared, Skipped for want of time, or Failed.",
    "result",
    most=3,
)
SHADOW_JOBS = _operator(
    "shadow_jobs_total",
    "counter",
    "Jobs that a policy sent in a compared round, by whether both send them to the same backends.",
    "same",
    most=2,
)
SHADOW_FIGURES = _operator(
    "shadow_figures_total",
    "counter",
    "Sums over jobs that both policies send: wait_seconds, fidelity, energy_joules, cost_USD and so on, by policy.",
    *("figure", "policy"),
    most=2 * (3 + MOST_CURRENCIES),
)
SHADOW_FIGURE_JOBS = _operator(
    *("shadow_figure_jobs_total", "counter", "Jobs in these sums.", "figure"), most=3 + MOST_CURRENCIES
)
SHADOW_SECONDS = _operator(
    *("shadow_seconds", "histogram", "Time of a decision of the shadow policy."), buckets=RECONCILE_SECONDS
)

JOBS = _operator(
    *("jobs", "gauge", "Jobs that have not ended, by the state in their status.", "namespace", "state"),
    per="namespace",
    most=4,
)
NAMESPACE_USAGE = _operator(
    "namespace_usage_seconds",
    "gauge",
    "Time on backends that counts for the namespace's share: what it used of late, which loses half in a day.",
    "namespace",
    per="namespace",
)
NAMESPACE_WEIGHT = _operator(
    *("namespace_weight", "gauge", "Weight of the namespace's share.", "namespace"), per="namespace"
)

QUOTA_USED = _operator(
    "quota_used",
    "gauge",
    "What jobs used of a quota in its period, and what is set aside for those under way.",
    *("namespace", "quota", "resource", "unit"),
    per="quota",
    most=4,
)
QUOTA_LIMIT = _operator(
    *("quota_limit", "gauge", "Most that jobs may use in a period.", "namespace", "quota", "resource", "unit"),
    per="quota",
    most=4,
)

SHOTS = _operator(
    *("shots_total", "counter", "Shots that ended on a backend.", "namespace", "backend"),
    per="pair",
)
COST = _operator(
    *("cost_total", "counter", "Money that was spent on a backend, in units of the currency."),
    *("namespace", "backend", "currency"),
    per="pair",
    most=MOST_CURRENCIES,
)
ENERGY = _operator(
    "energy_joules_total",
    "counter",
    "Energy of tasks that ended on a backend: their run time, times the power of its tasks where that is known.",
    *("namespace", "backend"),
    per="pair",
)

BACKEND_PLACE = _operator(
    "backend_info",
    "gauge",
    "1 for each backend, with its place, to be joined with other series.",
    *("backend", "tier", "site", "region"),
    per="backend",
)
WANTED_PODS = _operator("backend_wanted_pods", "gauge", "Pods that the backend is to have.", "backend", per="backend")
READY_PODS = _operator("backend_ready_pods", "gauge", "Pods that serve and answer.", "backend", per="backend")
WAITING_TASKS = _operator(
    "backend_waiting_tasks",
    "gauge",
    "Tasks that wait for a worker of a backend with spec.scaling, in its pods and for them.",
    "backend",
    per="backend",
)
WORK = _operator(
    "backend_work_seconds",
    "gauge",
    "Forecast run time that is left of the tasks that wait for a backend with spec.scaling or run there.",
    "backend",
    per="backend",
)
BACKEND_PROGRAMS = _operator(
    "backend_programs",
    "gauge",
    "Python programs that have begun and may send tasks to a backend with spec.scaling at any moment.",
    "backend",
    per="backend",
)
PROGRAM_SLOTS = _operator(
    *("backend_program_slots", "gauge", "Programs that may run on the backend at the same time.", "backend"),
    per="backend",
)
PROGRAM_SLOTS_RESERVED = _operator(
    "backend_program_slots_reserved",
    "gauge",
    "Slots of the backend that programs hold, from when their pods are made until they end.",
    "backend",
    per="backend",
)
PROGRAMS_WAITING = _operator(
    "backend_programs_waiting",
    "gauge",
    "Programs that wait for a slot of the backend, without a pod of their own.",
    "backend",
    per="backend",
)
PROGRAMS_PAUSED = _operator(
    *(
        "backend_programs_paused",
        "gauge",
        "Programs that gave their pods back until their tasks have ended.",
        "backend",
    ),
    per="backend",
)
BACKEND_UTILIZATION = _operator(
    "backend_utilization_ratio",
    "gauge",
    "Part of the tasks that its pods can run at once that do, when they were last asked.",
    "backend",
    per="backend",
)
QUEUE_FORECAST = _operator(
    *("backend_queue_forecast_seconds", "gauge", "How long a task that is sent now is forecast to wait.", "backend"),
    per="backend",
)
BACKEND_ROUND_TRIP = _operator(
    *("backend_round_trip_seconds", "gauge", "Round trip to the fastest pod and on to where it sends tasks."),
    "backend",
    per="backend",
)
BACKEND_BANDWIDTH = _operator(
    *("backend_bandwidth_bytes_per_second", "gauge", "Rate at which its large results came within the last hour."),
    "backend",
    per="backend",
)
BACKEND_ONLINE = _operator(
    *("backend_device_online", "gauge", "1 where the device elsewhere runs tasks, else 0.", "backend"), per="backend"
)
BACKEND_CALIBRATION = _operator(
    *("backend_calibration_timestamp_seconds", "gauge", "When its calibration was measured, Unix time.", "backend"),
    per="backend",
)
CALIBRATION_STALE = _operator(
    *("backend_calibration_stale", "gauge", "1 where the calibration is older than spec.maxCalibrationAge, else 0."),
    "backend",
    per="backend",
)
BACKEND_TASK_POWER = _operator(
    "backend_task_watts",
    "gauge",
    "Power that a task draws while it runs, as placement sees it: measured, or else as spec.energy says.",
    "backend",
    per="backend",
)
BACKEND_TWO_QUBIT_ERROR = _operator(
    *("backend_two_qubit_error_ratio", "gauge", "Median error of two-qubit gates, as placement sees it.", "backend"),
    per="backend",
)
BACKEND_READOUT_ERROR = _operator(
    *("backend_readout_error_ratio", "gauge", "Median error of measurements, as placement sees it.", "backend"),
    per="backend",
)
JOBS_ENDED = _operator(
    *("jobs_ended_total", "counter", "Jobs that ended, by state and reason.", "backend", "state", "reason"),
    per="backend",
    most=MOST_REASONS + 2,
)
JOB_WAIT = _operator(
    "job_wait_seconds",
    "histogram",
    "Time from a job's creation, or its resumption, to the start of its last attempt, in whole seconds.",
    "backend",
    per="backend",
    buckets=JOB_SECONDS,
)
JOB_RUN = _operator(
    *("job_run_seconds", "histogram", "Time from the start of a job's last attempt to its end, in whole seconds."),
    "backend",
    per="backend",
    buckets=JOB_SECONDS,
)
FORECAST_RATIO = _operator(
    "forecast_ratio",
    "histogram",
    "What was observed, in parts of what was forecast as the median: run and wait times of tasks.",
    *("backend", "figure"),
    per="backend",
    most=2,
    buckets=RATIOS,
)
FORECASTS = _operator(
    "forecasts_total",
    "counter",
    "Forecasts whose outcome was observed, by whether it was within the interval that was told.",
    *("backend", "figure", "within"),
    per="backend",
    most=4,
)

OPERATOR = (
    LEADER,
    RECONCILES,
    RECONCILE_SECONDS_METRIC,
    LAST_RECONCILE,
    OBJECTS_WAITING,
    JOBS_IN_FLIGHT,
    ROUND_SECONDS,
    SOURCE_UP,
    FIGURES,
    SHADOW_ROUNDS,
    SHADOW_JOBS,
    SHADOW_FIGURES,
    SHADOW_FIGURE_JOBS,
    SHADOW_SECONDS,
    JOBS,
    NAMESPACE_USAGE,
    NAMESPACE_WEIGHT,
    QUOTA_USED,
    QUOTA_LIMIT,
    SHOTS,
    COST,
    ENERGY,
    BACKEND_PLACE,
    WANTED_PODS,
    READY_PODS,
    WAITING_TASKS,
    WORK,
    BACKEND_PROGRAMS,
    PROGRAM_SLOTS,
    PROGRAM_SLOTS_RESERVED,
    PROGRAMS_WAITING,
    PROGRAMS_PAUSED,
    BACKEND_UTILIZATION,
    QUEUE_FORECAST,
    BACKEND_ROUND_TRIP,
    BACKEND_BANDWIDTH,
    BACKEND_ONLINE,
    BACKEND_CALIBRATION,
    CALIBRATION_STALE,
    BACKEND_TASK_POWER,
    BACKEND_TWO_QUBIT_ERROR,
    BACKEND_READOUT_ERROR,
    JOBS_ENDED,
    JOB_WAIT,
    JOB_RUN,
    FORECAST_RATIO,
    FORECASTS,
)
"""What an operator exposes. Of replicas only the one that leads tells of jobs, backends, namespaces and quotas."""
