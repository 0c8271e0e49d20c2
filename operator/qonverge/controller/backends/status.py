"""What a QuantumBackend's status says, from what was observed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from qonverge.api import QuantumBackend, QuantumBackendStatus
from qonverge.api.backend import OFFERS_LABEL
from qonverge.api.backend_status import Capabilities, DeviceStatus, EnergyStatus, PricingStatus
from qonverge.api.conditions import Progress, Verdict, set_conditions, timestamp
from qonverge.api.pricing import Pricing
from qonverge.controller.backends import calibration
from qonverge.controller.kube.refusals import Refusal
from qonverge.controller.objects import object_names
from qonverge.controller.objects.pod_troubles import Trouble
from qonverge.controller.store.pods import do_not_answer
from qonverge.controller.store.state import Calibrated
from qonverge.execution.placement import why_offline
from qonverge.providers.descriptor import STATE_POWER
from qonverge.scaling import Decision
from qonverge.wire.backend_info import BackendInfo
from qonverge.wire.vendor import DeviceState


@dataclass(frozen=True, slots=True)
class Seen:
    """What was observed of a backend."""

    deployment: Mapping[str, Any] | None = None
    """Its Deployment's status and generation."""
    infos: Sequence[BackendInfo] = ()
    """What its pods say."""
    calibrated: Calibrated | None = None
    """What is known of its noise; None where it has none."""
    trouble: Trouble | None = None
    """Why a pod does not serve."""
    refusal: Refusal | None = None
    """What the API server refused of its objects."""
    taken: str = ""
    """Which of its larger sizes cannot be made since others have their names."""
    provider_problem: str | None = None
    """Why its provider cannot serve it."""
    may_offer: bool = True
    """Whether its namespace may offer backends to others."""
    pricing: Pricing | None = None
    """Prices in force; None where none are known."""
    task_watts: float | None = None
    """What a task draws while it runs, watts; None where it is not known."""
    measured: bool = False
    """Whether that was measured."""
    replicas: int | None = None
    """Pods that it should have; None: as many as its specification says."""
    scaled: Decision | None = None
    """Why, where it scales automatically and that was decided."""
    silent: Sequence[str] = ()
    """Its pods that serve and do not answer, by namespace and name."""


def status_of(backend: QuantumBackend, seen: Seen, now: float) -> QuantumBackendStatus:
    """Return the backend's status.

    Args:
        backend: with its status as it is.
        seen: what was observed.
        now: Unix seconds.
    """
    before, generation, infos = backend.status, backend.metadata.generation, seen.infos
    pods = _Pods.of(backend.spec.replicas if seen.replicas is None else seen.replicas, seen.deployment)
    ready, progress = _serving(backend, pods, seen)
    others = {}
    if seen.calibrated is not None:
        others["Calibrated"] = calibration.verdict(seen.calibrated, infos, now)
    device = next((info.device for info in infos if info.device is not None), None)
    if backend.spec.source.elsewhere:
        others["Available"] = _availability(device, infos)
    if backend.spec.scaling is not None and backend.spec.scaling.mode == "Auto":
        others |= _scaling(backend, seen.scaled)
    if backend.is_offered:
        others["Offered"] = _offer(backend, seen.may_offer)
    capabilities = before.capabilities
    if infos:
        first = infos[0]
        capabilities = Capabilities(
            max_qubits=_widest(first),
            max_shots=first.max_shots,
            memory_bytes=first.memory_bytes,
            methods=list(first.methods),
            basis_gates=list(first.basis_gates),
            engine_version=first.engine,
        )
    return QuantumBackendStatus(
        observed_generation=generation,
        conditions=set_conditions(
            before.conditions, ready=ready, progress=progress, others=others, now=now, generation=generation
        ),
        engine=backend.spec.source.provider,
        replicas=pods.exist,
        ready_replicas=pods.ready,
        ready=f"{pods.ready}/{pods.wanted}",
        selector=",".join(f"{k}={v}" for k, v in object_names.backend_labels(backend).items()),
        queue_length=sum(info.queued for info in infos) if infos else None,
        running=sum(info.running for info in infos) if infos else None,
        capabilities=capabilities,
        calibration=calibration.in_short(seen.calibrated),
        device=None if device is None else _device(device),
        pricing=None if seen.pricing is None else _pricing(seen.pricing, own=backend.spec.pricing is not None),
        energy=None if seen.task_watts is None else _energy(seen.task_watts, measured=seen.measured),
    )


@dataclass(frozen=True, slots=True)
class _Pods:
    """How far a Deployment is, by what ``kubectl rollout status`` goes by too."""

    wanted: int
    exist: int
    """Old ones too."""
    updated: int
    """Of the present specification."""
    ready: int
    """Old ones too."""
    observed: bool
    """Whether the figures are about the Deployment's present specification."""
    stalled: str | None
    """Why it does not get on, in its own words."""

    @classmethod
    def of(cls, wanted: int, deployment: Mapping[str, Any] | None) -> _Pods:
        status = (deployment or {}).get("status") or {}
        stalled = next(
            (
                str(c.get("message") or c.get("reason"))
                for c in status.get("conditions") or []
                if (c["type"] == "Progressing" and c.get("reason") == "ProgressDeadlineExceeded")
                or (c["type"] == "ReplicaFailure" and c["status"] == "True")
            ),
            None,
        )
        observed = deployment is not None and status.get("observedGeneration", 0) >= (deployment.get("generation") or 0)
        exist, updated, ready = (
            int(status.get(name) or 0) for name in ("replicas", "updatedReplicas", "readyReplicas")
        )
        return cls(wanted, exist, updated, ready, observed, stalled if observed else None)

    @property
    def rolled_out(self) -> bool:
        return self.observed and self.exist == self.updated == self.ready == self.wanted


def _serving(backend: QuantumBackend, pods: _Pods, seen: Seen) -> tuple[Verdict, Progress | None]:
    """Return Ready, and Reconciling or Stalled while the backend is not what its specification says."""
    why = ""
    if seen.provider_problem is not None:
        word, why, lasts = "InvalidProvider", seen.provider_problem, True
    elif seen.refusal is not None:
        word, why, lasts = "ApplyFailed", seen.refusal.message, seen.refusal.lasts
    elif seen.taken:
        word, why, lasts = "ApplyFailed", seen.taken, True
    elif pods.rolled_out:
        word, lasts = "", False
        if seen.silent:
            why = f"{do_not_answer(seen.silent)} the operator"
    else:
        lasts = pods.stalled is not None
        word = "Stalled" if lasts else "Stopping" if not pods.wanted else "RollingOut" if pods.ready else "Starting"
        # What a pod says is more to the point than what its Deployment makes of it.
        why = "; ".join(str(part) for part in (seen.trouble, pods.stalled) if part)
    none = "no job needs a pod, and one that does starts one" if backend.spec.activatable else "spec.replicas is 0"
    serve = f"{pods.ready} of {pods.wanted} pods serve" if pods.wanted or pods.ready else none
    if word and pods.ready and pods.wanted and (pods.exist > pods.updated or not pods.observed):
        serve += ", some with the former specification"
    message = f"{serve}: {why}" if why else serve
    if pods.ready and pods.wanted and len(seen.silent) >= pods.ready:
        # As where its site is cut off: Kubernetes finds that out later.
        ready, word = Verdict("False", "Unreachable", message), word or "Unreachable"
    elif pods.ready and pods.wanted:
        ready = Verdict("True", "Serving", message)
    elif pods.wanted or word:
        ready = Verdict("False", word or "Starting", message)
    else:
        # As it was asked for: that no pod serves is not for want of anything.
        ready = Verdict("True", "ScaledToZero" if backend.spec.activatable else "Stopped", message)
    return ready, Progress("Stalled" if lasts else "Reconciling", word, message) if word else None


def _scaling(backend: QuantumBackend, decision: Decision | None) -> dict[str, Verdict]:
    """Return whether the operator decides about a backend's pods and why as it did, and what bounds their number."""
    if not backend.spec.replicas:
        return {"ScalingActive": Verdict("False", "ScalingDisabled", "spec.replicas is 0")}
    if decision is None:
        # What an operator before this one decided holds until this one does.
        before = [each for each in backend.status.conditions if each.type in ("ScalingActive", "ScalingLimited")]
        told = {each.type: Verdict(each.status, each.reason, each.message) for each in before}
        return told or {"ScalingActive": Verdict("Unknown", "NotDecided", "nothing was decided yet")}
    if not decision.limited:
        limit = Verdict("False", decision.bound, "there are as many as are wanted")
    else:
        limit = Verdict("True", decision.bound, decision.message)
    return {"ScalingActive": Verdict("True", decision.driver, decision.message), "ScalingLimited": limit}


def _offer(backend: QuantumBackend, may_offer: bool) -> Verdict:
    """Return whether other namespaces' jobs may really use it."""
    given, namespace = backend.spec.access.namespaces.from_, backend.metadata.namespace
    if may_offer:
        return Verdict("True", "NamespaceMayOffer", f"jobs of other namespaces are admitted: from is {given}")
    return Verdict(
        "False",
        "NamespaceMayNotOffer",
        f"only jobs of namespace {namespace} are admitted although from is {given}: a cluster administrator allows "
        f'others with "kubectl label namespace {namespace} {OFFERS_LABEL}=true"',
    )


def _availability(device: DeviceState | None, infos: Sequence[BackendInfo]) -> Verdict:
    """Return whether the device elsewhere runs tasks now."""
    if device is None:
        said = "the pod has not heard of the device yet" if infos else "no pod serves that could ask for the device"
        return Verdict("Unknown", "NotTold", said)
    if device.online:
        return Verdict("True", "Online", "the device runs tasks")
    return Verdict("False", "Offline", why_offline(device))


def _device(device: DeviceState) -> DeviceStatus:
    at = None if device.online or device.available_at is None else timestamp(device.available_at)
    wait = None if device.wait_seconds is None else round(device.wait_seconds)
    return DeviceStatus(queue_length=device.queue_length, wait_seconds=wait, available_at=at)


def _pricing(pricing: Pricing, *, own: bool) -> PricingStatus:
    task, shot, second = (price or "0" for price in (pricing.per_task, pricing.per_shot, pricing.per_second))
    source: Literal["Spec", "Vendor"] = "Spec" if own else "Vendor"
    return PricingStatus(source=source, currency=pricing.currency, per_task=task, per_shot=shot, per_second=second)


def _energy(watts: float, *, measured: bool) -> EnergyStatus:
    if not measured:
        return EnergyStatus(source="Spec", task_watts=watts)
    # In two digits, so that it is not written again with each task.
    return EnergyStatus(source="Prometheus", task_watts=float(f"{watts:.2g}"))


def _widest(info: BackendInfo) -> int | None:
    """Return the most qubits of a general circuit: the backend's limit, or the widest statevector that fits."""
    power = STATE_POWER.get(info.method)
    if power is None or info.memory_bytes is None:
        return info.max_qubits
    fits = ((info.memory_bytes // 16).bit_length() - 1) // power
    return fits if info.max_qubits is None else min(fits, info.max_qubits)
