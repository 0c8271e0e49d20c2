"""QuantumBackend: one source of quantum computing."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from qonverge.api.backend_status import QuantumBackendStatus
from qonverge.api.base import LabelSelector, ObjectMeta, OneOfModel, OwnerReference, Rule, SpecModel, cel
from qonverge.api.clouds import (
    IBM,
    PROVIDER_NAME,
    Braket,
    Elsewhere,
    Google,
    Ionq,
    Plugin,
    Remote,
    immutable,
)
from qonverge.api.energy import Energy
from qonverge.api.noise import Noise
from qonverge.api.placement import Duration, Location
from qonverge.api.pricing import Pricing
from qonverge.api.quantity import Memory, Quantity, bytes_of
from qonverge.api.scaling import Scaling
from qonverge.api.source import Source
from qonverge.providers.installed import own

OFFERS_LABEL = "qonverge.io/offers-backends"
"""Label of a namespace, with the value "true", whose backends may serve jobs of other namespaces."""
SELECTOR_WITH_FROM = "selector goes with from: Selector, and from: Selector needs one"

ONE_POD = "a backend whose device is elsewhere has one pod: set replicas to 1, or to 0 to stop it"
NOT_SCALED = "scaling is for simulators: a backend whose device is elsewhere has one pod"
AUTOMATIC = "with scaling.mode Auto the operator decides how many pods there are: set replicas to 1, or to 0 to stop it"
LIMIT_FOR_SIZES = "scaling.vertical goes with template.resources.limits.memory: larger pods have a multiple of it"
SIZES = "scaling.vertical.maxMemory is more than template.resources.limits.memory, and at most 1024 times as much"
_SOURCES = ("simulator", "braket", "google", "ibm", "ionq", "remote", "plugin")
_OTHER_SOURCE = "what the backend is cannot change from one section to another: create a new QuantumBackend instead"
_SAME_SIZE = "!has(self.scaling) || !has(self.scaling.vertical)"
_LIMITED = "'memory' in self.template.resources.limits"
_MOST, _USUAL = (
    f"quantity(string(self.{path}))" for path in ("scaling.vertical.maxMemory", "template.resources.limits['memory']")
)


def _with_rules(schema: dict[str, Any]) -> None:
    """Add what the API server can check of Qonverge's own providers; the operator checks the rest, options too."""
    rules = [rule.to_schema() for rule in immutable("engine")]
    for provider in own():
        if provider.elsewhere:
            rules.append(Rule(f"self.engine != '{provider.name}'", provider.no_simulator, ".engine").to_schema())
            continue
        rates = "has(self.noise.rates) && !has(self.noise.rates.t1) && !has(self.noise.rates.t2)"
        good = [
            (f"self.method in {list(provider.methods)}", provider.no_method, ".method"),
            (f"self.device in {list(provider.devices)}", provider.no_device, ".device"),
        ]
        for method in sorted(provider.noiseless_methods):
            good.append((f"self.method != '{method}' || !has(self.noise)", provider.no_errors(method), ".method"))
        for method in sorted(provider.pauli_methods):
            pauli = f"self.method != '{method}' || !has(self.noise) || ({rates})"
            good.append((pauli, provider.pauli_only(method), ".method"))
        rules += [Rule(f"self.engine != '{provider.name}' || {rule}", *rest).to_schema() for rule, *rest in good]
    schema["x-kubernetes-validations"] = rules


class Simulator(SpecModel):
    """A simulator that runs in pods of this cluster."""

    model_config = ConfigDict(json_schema_extra=_with_rules)

    engine: Annotated[str, Field(pattern=PROVIDER_NAME)] = "Automatic"
    """The simulation engine. Automatic takes Stim for Clifford circuits and Aer for others. Aer is Qiskit's
    high-performance simulator, Stim runs Clifford circuits of thousands of qubits, BraketLocal is that of Amazon
    Braket's SDK. Further ones come with installed packages."""
    method: Annotated[str, Field(pattern=PROVIDER_NAME)] = "Automatic"
    """How states are represented: Automatic lets the engine choose from the circuit. Aer has Statevector,
    DensityMatrix, MatrixProductState and Stabilizer, Stim has Stabilizer, BraketLocal has Statevector and
    DensityMatrix."""
    options: (
        Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})] | None
    ) = None
    """The engine's own options, which its documentation describes. Those of Qonverge have none."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] | None = None
    """Seed for jobs that give none. Without it every run draws its own."""
    device: Literal["CPU", "GPU"] = "CPU"
    """Where the engine computes. GPU asks for one of NVIDIA's for each pod and needs an image with Aer's GPU build."""
    noise: Noise | None = None
    """A device to imitate, with its errors. Default: none, the simulator is ideal."""
    layout: Literal["Optimized", "AsGiven"] = "Optimized"
    """Where circuits lie on the device that is imitated. Optimized: where a circuit has no layout of its own, the best
    place is searched. AsGiven: qubit i of a circuit begins on qubit i of the device."""

    @model_validator(mode="after")
    def _same_rules_as_the_server(self) -> Self:
        for provider in own():
            if provider.name == self.engine:
                if provider.elsewhere:
                    raise ValueError(provider.no_simulator)
                problem = provider.problem(
                    method=self.method,
                    device=self.device,
                    noisy=self.noise is not None,
                    pauli=self.noise is None or self.noise.pauli,
                )
                if problem is not None:
                    raise ValueError(problem)
        return self

    @property
    def source(self) -> Source:
        """The section as a source."""
        return Source(
            provider=self.engine,
            elsewhere=False,
            options=self.options,
            options_path="simulator.options",
            method=self.method,
            computes_on=self.device,
            noise=self.noise,
            keeps_layouts=self.layout == "AsGiven",
            seed=self.seed,
        )


class Capacity(SpecModel):
    """Limits of each pod of the backend."""

    concurrency: Annotated[int, Field(ge=1, le=256)] | None = None
    """Circuits that one pod runs at the same time. Default: one per CPU of the pod."""
    queue_limit: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Tasks that may wait in one pod; further ones are sent elsewhere or wait in the cluster."""
    max_shots: Annotated[int, Field(ge=1, le=100_000_000)] = 1_000_000
    """Most shots that one circuit may ask for."""
    max_qubits: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Most qubits that a circuit may have. Default: what fits in the pod's memory."""
    programs: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Programs that may run at the same time for each pod of the backend: each holds one of these slots from its start
    to its end, and a further one waits without a pod of its own. Default: as many as circuits that the pod runs, or the
    proxy of a device elsewhere has under way, at the same time. More of them keep the backend busy where programs
    compute much between their tasks. Without a cluster it does not apply."""


class AccessNamespaces(SpecModel):
    """Which namespaces' jobs may use the backend."""

    model_config = ConfigDict(
        json_schema_extra=cel(Rule("has(self.selector) == (self.from == 'Selector')", SELECTOR_WITH_FROM))
    )

    from_: Annotated[Literal["Same", "All", "Selector"], Field(alias="from")] = "Same"
    """Same: only the backend's own namespace. All: every namespace. Selector: the namespaces with certain labels.
    All and Selector count only where the backend's namespace has the label qonverge.io/offers-backends with the value
    true: whoever can edit a namespace controls its pods, so a cluster administrator decides which may serve others."""
    selector: LabelSelector | None = None
    """Labels of the namespaces, with from: Selector; the backend's own namespace is always admitted."""

    @model_validator(mode="after")
    def _same_rule_as_the_server(self) -> AccessNamespaces:
        if (self.selector is not None) != (self.from_ == "Selector"):
            raise ValueError(SELECTOR_WITH_FROM)
        return self


class Access(SpecModel):
    """Who may use the backend."""

    namespaces: AccessNamespaces = AccessNamespaces()
    """Which namespaces' jobs may use the backend."""


class ResourceRequirements(SpecModel):
    """CPU and memory, as in ``core/v1.ResourceRequirements``."""

    requests: dict[str, Quantity] = {}
    """What is reserved."""
    limits: dict[str, Quantity] = {}
    """What may be used at most. The memory limit bounds the circuits that fit."""


class Toleration(SpecModel):
    """A taint that the pods tolerate, as in ``core/v1.Toleration``."""

    key: str | None = None
    """The taint's key; all keys when empty."""
    operator: Literal["Exists", "Equal"] | None = None
    """How the value is compared."""
    value: str | None = None
    """The taint's value."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """The taint's effect; all effects when empty."""
    toleration_seconds: Annotated[int, Field(ge=-(2**31), le=2**31 - 1)] | None = None
    """How long a NoExecute taint is tolerated."""


class PodTemplate(SpecModel):
    """What the backend's pods get."""

    labels: dict[str, str] = {}
    """Further labels."""
    annotations: dict[str, str] = {}
    """Further annotations."""
    resources: ResourceRequirements = ResourceRequirements()
    """CPU and memory of each pod."""
    node_selector: dict[str, str] = {}
    """Labels that a node must have."""
    tolerations: Annotated[list[Toleration], Field(max_length=64)] = []
    """Taints that are tolerated."""
    termination_grace_period_seconds: Annotated[int, Field(ge=1, le=86_400)] = 600
    """Seconds for which a pod that is asked to end, as by a node drain or a rollout, does the tasks that run on it. One
    without a task ends at once."""
    service_account_name: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """ServiceAccount of the pods, to which a cloud's workload identity may be bound. Default: the namespace's own,
    without a token."""


class QuantumBackendSpec(OneOfModel):
    """What the backend is and how much of it there should be."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            Rule(" && ".join(f"has(self.{name}) == has(oldSelf.{name})" for name in _SOURCES), _OTHER_SOURCE),
            Rule("self.replicas <= 1 || has(self.simulator)", ONE_POD, ".replicas"),
            Rule("!has(self.scaling) || has(self.simulator)", NOT_SCALED, ".scaling"),
            Rule("self.replicas <= 1 || !has(self.scaling) || self.scaling.mode != 'Auto'", AUTOMATIC, ".replicas"),
            Rule(f"{_SAME_SIZE} || {_LIMITED}", LIMIT_FOR_SIZES, ".scaling"),
            Rule(
                f"{_SAME_SIZE} || !({_LIMITED}) || ({_MOST}.isGreaterThan({_USUAL}) && "
                f"{_MOST}.asApproximateFloat() <= 1024.0 * {_USUAL}.asApproximateFloat())",
                SIZES,
                ".scaling",
            ),
        )
    )

    one_of = _SOURCES
    what = "source"

    simulator: Simulator | None = None
    """Source: a simulator in pods of this cluster."""
    braket: Braket | None = None
    """Source: a device of Amazon Braket."""
    ionq: Ionq | None = None
    """Source: a device of IonQ's quantum cloud."""
    google: Google | None = None
    """Source: a processor of Google's Quantum Engine."""
    ibm: IBM | None = None
    """Source: a device of IBM Quantum."""
    remote: Remote | None = None
    """Source: another server that speaks the task protocol."""
    plugin: Plugin | None = None
    """Source: a device elsewhere whose provider is an installed package."""
    replicas: Annotated[int, Field(ge=0, le=1000)] = 1
    """Pods to run. `kubectl scale` changes it. A device elsewhere has one pod at most. With scaling.mode Auto it is 1,
    or 0 to stop the backend."""
    scaling: Scaling | None = None
    """How many pods there are follows what there is to do. Default: as many as replicas says."""
    capacity: Capacity = Capacity()
    """Limits of each pod."""
    location: Location = Location()
    """Where the backend is."""
    pricing: Pricing | None = None
    """What its tasks cost. Default: nothing."""
    energy: Energy | None = None
    """Energy that its tasks take. Default: not known, unless it is measured."""
    max_calibration_age: Duration | None = None
    """Oldest calibration with which jobs are still sent, such as 24h; jobs that have not started go elsewhere.
    Default: any age."""
    access: Access = Access()
    """Who may use the backend."""
    result_cache: Memory | None = None
    """Memory of each pod for results that are given again, within a namespace, for a circuit that would give the
    same: with a seed, or exact values. Such results are marked. Default: none are kept."""
    template: PodTemplate = PodTemplate()
    """What the backend's pods get."""

    @property
    def source(self) -> Source:
        """What computes, whichever section says it."""
        section: Simulator | Elsewhere = getattr(self, self.chosen)
        return section.source

    @model_validator(mode="after")
    def _same_rule_as_the_server(self) -> Self:
        if self.replicas > 1 and self.source.elsewhere:
            raise ValueError(ONE_POD)
        if self.scaling is not None and self.source.elsewhere:
            raise ValueError(NOT_SCALED)
        if self.replicas > 1 and self.scaling is not None and self.scaling.mode == "Auto":
            raise ValueError(AUTOMATIC)
        if self.scaling is not None and self.scaling.vertical is not None:
            limit = self.template.resources.limits.get("memory")
            if limit is None:
                raise ValueError(LIMIT_FOR_SIZES)
            if not bytes_of(limit) < bytes_of(self.scaling.vertical.max_memory) <= 1024 * bytes_of(limit):
                raise ValueError(SIZES)
        return self

    @property
    def automatic(self) -> bool:
        """Whether the operator decides how many pods there are; with ``replicas`` 0 the backend is stopped."""
        return self.scaling is not None and self.scaling.mode == "Auto" and self.replicas > 0

    @property
    def activatable(self) -> bool:
        """Whether a job that waits has pods started where there are none."""
        return self.automatic or (self.scaling is not None and self.scaling.mode == "External")


class QuantumBackend(SpecModel):
    """One source of quantum computing: a simulator served by pods of this cluster, or a device elsewhere."""

    api_version: Literal["qonverge.io/v1alpha1"] = "qonverge.io/v1alpha1"
    kind: Literal["QuantumBackend"] = "QuantumBackend"
    metadata: ObjectMeta
    spec: QuantumBackendSpec
    status: QuantumBackendStatus = QuantumBackendStatus()

    @property
    def is_offered(self) -> bool:
        """Whether its specification admits jobs of other namespaces."""
        return self.spec.access.namespaces.from_ != "Same"

    @property
    def size_of(self) -> OwnerReference | None:
        """The backend that this is a larger size of, which made it; None where a person made it."""
        owners = self.metadata.owner_references
        return next((each for each in owners if each.controller and each.kind == self.kind), None)

    def to_dict(self) -> dict[str, Any]:
        """Return the manifest's form: what was given, and the status."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True) | {"status": self.status.to_dict()}
