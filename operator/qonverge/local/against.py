"""What a backend would refuse, found without a cluster: by its specification, and by its device where that answers.

A device is asked by the code that asks for it in a pod, and circuits are planned by the process that plans them there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from qonverge.accounting.conversion import pricing_from
from qonverge.amounts import Money, TaskLimits
from qonverge.api import HybridJob, QuantumBackend
from qonverge.api.pricing import Pricing
from qonverge.backend.clouds.errors import CloudError, CloudRefused, CredentialsRefused, NoCredentials
from qonverge.backend.clouds.protocol import Cloud, Device, RehearsingCloud
from qonverge.backend.executors.choice import executor_of
from qonverge.backend.executors.cloud.executor import fitted, load_cloud
from qonverge.backend.executors.cloud.translator import Translators
from qonverge.backend.options import EngineOptions
from qonverge.circuits.checker.checked_circuit import CheckedCircuit
from qonverge.circuits.checker.checker import Checker
from qonverge.devices.noise import Noise
from qonverge.execution.placement import provider_problem, why_offline
from qonverge.local.placement import Placing
from qonverge.machine import available_cpus, available_memory
from qonverge.programs import circuit as circuits
from qonverge.providers.installed import find
from qonverge.telemetry import BackendMetrics
from qonverge.wire.errors import WireError
from qonverge.wire.vendor import DeviceState, limits_of

_ANSWER_SECONDS = 20.0
# Of one job's tasks at a cloud: each takes a few requests.
_MOST_REHEARSED = 10
_GIVE_CREDENTIALS = "give --credentials FOLDER, with a file for each key"


@dataclass(slots=True)
class Findings:
    """What is said of something: each a sentence."""

    known: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Why tasks would be refused, or wait."""
    unchecked: list[str] = field(default_factory=list)
    """What nobody could tell."""


class Against:
    """A backend, its device as it is now, and what both take."""

    def __init__(
        self,
        backend: QuantumBackend,
        noise: Noise | None,
        credentials: str,
        checker: Checker,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Ask nothing yet.

        Args:
            backend: what jobs are checked against.
            noise: what it imitates.
            credentials: folder with a file for each key of its Secret; empty: what a pod without a Secret would use.
            checker: reads circuits.
            clock: gives Unix seconds.
        """
        self._backend, self._checker, self._clock = backend, checker, clock
        config = EngineOptions.of(backend.spec).config(
            cpus=available_cpus(), memory_bytes=available_memory() * 3 // 4, noise=noise, quiet=True
        )
        self._config = replace(config, credentials=credentials)
        self.usable = True
        """Whether its specification is one that a pod can serve, as far as is known."""
        self._heard = False
        self._limits = TaskLimits()
        self._translator: Translators | None = None
        self._cloud: Cloud | None = None
        """Once it has told of the device."""

    async def device(self) -> Findings:
        """Return what is found of the backend itself; what jobs may ask for is known afterwards."""
        found, source = Findings(), self._backend.spec.source
        if (problem := provider_problem(self._backend)) is not None:
            self.usable = False
            found.problems.append(problem)
        elif source.authorities is not None:
            found.unchecked.append("the device: its certificates (caBundle) are in the cluster")
        elif find(source.provider).cloud:
            await self._ask_cloud(found)
            if not self._heard and not found.problems:
                self._take_status(found)
        elif find(source.provider).executor:
            await self._ask_executor(found)
        return found

    async def job(self, job: HybridJob, checked: CheckedCircuit | None) -> Findings:
        """Return what is found of a job.

        Args:
            job: to be run on the backend.
            checked: its circuit; None for other programs.
        """
        metadata, cloud, found = self._backend.metadata, find(self._config.provider).cloud, Findings()
        unheard = bool(cloud) and not self._heard
        if unheard and job.spec.budget is not None and self._backend.spec.pricing is None:
            found.unchecked.append("its budget: what tasks cost is not known without the device")
            job = job.model_copy(update={"spec": job.spec.model_copy(update={"budget": None})})
        key = f"{metadata.namespace}/{metadata.name}"
        placing = Placing({key: self._backend}, lambda _: self._config, self._checker, limits=self._limits)
        decision = (await placing.place(job, checked, {}, self._clock())).decision
        if decision.backend is None:
            remedy = f"; {decision.remedy}" if decision.remedy else ""
            found.problems.append(f"{decision.reason}{remedy}")
        elif checked is None:
            found.unchecked.append("its circuits are known only when it runs")
        else:
            price = await self._rehearsed(job, checked, found) if cloud else ""
            if not found.problems:
                unknown = ", as far as is known without its device" * unheard
                found.known.append(f"{metadata.name} takes it{price}{unknown}")
        return found

    async def close(self) -> None:
        """End what was started."""
        if self._translator is not None:
            await self._translator.close()

    async def _rehearsed(self, job: HybridJob, checked: CheckedCircuit, found: Findings) -> str:
        """Find why a circuit would not run, by what translates it and by a cloud that rehearses.

        Returns:
            What the vendor would bill, in words; empty where it does not tell.
        """
        task = circuits.task(job, checked, "validate")
        try:
            if self._translator is None:
                self._translator = Translators(self._config)
                await self._translator.start()
            planned = await self._translator.plan("", task, self._limits.shots)
            if not isinstance(self._cloud, RehearsingCloud):
                return ""
            costs = list[Money | None]()
            for each in planned[:_MOST_REHEARSED]:
                submission = await self._translator.encode("", task, [each])
                costs.append(await asyncio.to_thread(self._cloud.rehearse, submission))
        except WireError as error:
            found.problems.append(error.message)
        except (RuntimeError, CloudRefused) as error:
            found.problems.append(str(error))
        except CloudError as error:
            found.unchecked.append(f"whether the vendor takes it: {error}")
        else:
            if (more := len(planned) - len(costs)) > 0:
                found.unchecked.append(f"the other {more} of its {len(planned)} tasks at the vendor")
            return _price(costs, len(planned))
        return ""

    async def _ask_cloud(self, found: Findings) -> None:
        try:
            cloud = await asyncio.to_thread(load_cloud, self._config, lambda _: None)
            device = await asyncio.to_thread(cloud.device)
        except RuntimeError as error:
            if self._backend.spec.source.credentials and not self._config.credentials:
                # What is missing may be in the Secret.
                found.unchecked.append(f"the device: {error}: {_GIVE_CREDENTIALS}")
            else:
                found.problems.append(str(error))
        except CloudRefused as error:
            found.problems.append(str(error))
        except NoCredentials as error:
            found.unchecked.append(f"the device: {error}: {_GIVE_CREDENTIALS}")
        except CredentialsRefused as error:
            found.problems.append(f"the credentials are not good, or lack a right: {error}")
        except CloudError as error:
            found.unchecked.append(f"the device: {error}")
        else:
            self._cloud = cloud
            self._take(device, found)

    def _take(self, device: Device, found: Findings) -> None:
        self._config, self._limits, self._heard = fitted(self._config, device), device.limits, True
        pricing = None if device.prices is None else pricing_from(device.prices)
        if self._backend.spec.pricing is None and pricing is not None:
            self._set(pricing=pricing)
        self._tell(DeviceState(device.online, device.reason, device.available_at, device.queue_length), found)

    def _take_status(self, found: Findings) -> None:
        """Take what the operator last said of the device, where it is a backend of a cluster."""
        status, limits = self._backend.status, [self._config.max_qubits]
        if status.capabilities is not None:
            limits.append(status.capabilities.max_qubits)
            known = [limit for limit in limits if limit is not None]
            self._config = replace(self._config, max_qubits=min(known, default=None))
        if self._backend.spec.pricing is None and status.pricing is not None:
            # Not checked again: it is no person's input.
            self._set(pricing=Pricing.model_construct(**status.pricing.model_dump(exclude={"source"})))
        for each in status.conditions:
            if each.type == "Available" and each.status in ("True", "False"):
                said = f"the cluster says of its device: {each.message}"
                (found.known if each.status == "True" else found.problems).append(said)

    async def _ask_executor(self, found: Findings) -> None:
        executor = executor_of(self._config, BackendMetrics())
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await executor.start()
        except RuntimeError as error:
            found.problems.append(str(error))
            return
        except TimeoutError:
            state = executor.description.device
            reason = "" if state is None else f": {state.reason}"
            found.problems.append(f"its device did not answer within {_ANSWER_SECONDS:g} s{reason}")
            return
        else:
            self._config = executor.config
            self._set(capacity=self._backend.spec.capacity.model_copy(update={"max_shots": self._config.max_shots}))
            if (state := executor.description.device) is not None:
                self._limits = limits_of(state)
                self._tell(state, found)
        finally:
            await executor.close()

    def _set(self, **fields: Any) -> None:
        """Have the backend's specification say what its device says."""
        spec = self._backend.spec.model_copy(update=fields)
        self._backend = self._backend.model_copy(update={"spec": spec})

    def _tell(self, state: DeviceState, found: Findings) -> None:
        if not state.online:
            found.problems.append(f"its device runs nothing now: {why_offline(state)}")
            return
        width, shots = self._config.widest, self._limits.shots
        facts = ["its device runs tasks"]
        facts += [] if width is None else [f"{width} qubits"]
        facts += [] if shots is None else [f"{shots} shots at a time"]
        facts += [] if state.queue_length is None else [f"{state.queue_length} tasks wait"]
        found.known.append(", ".join(facts))


def _price(costs: Sequence[Money | None], tasks: int) -> str:
    """Return what a vendor would bill for all tasks of a job, in words; empty where it does not tell of all."""
    told = [cost for cost in costs if cost is not None]
    if len(told) < tasks or len({cost.currency for cost in told}) != 1:
        return ""
    total = Money(sum((cost.amount for cost in told), Decimal(0)), told[0].currency)
    return f", and its vendor would bill about {total}" if total.amount else ""
