"""The sections of a QuantumBackend whose device is elsewhere: one class for each kind of place.

Another one is a class here, a field of ``QuantumBackendSpec`` and its name in ``one_of``.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from qonverge.api.base import Rule, SpecModel, cel, same
from qonverge.api.source import CA_FILE, CaBundle, Source

PROVIDER_NAME = r"^[A-Z][A-Za-z0-9]{0,62}$"
_URL = r"^https?://[^/?#\s]+(/[^?#\s]*)?$"
# Beyond the pod itself tokens and circuits would be readable without TLS.
_SERVER = r"^(https://[^/?#@\s]+|http://(localhost|127\.0\.0\.1)(:[0-9]{1,5})?)(/[^?#\s]*)?$"
_REGION = r"^[a-z]{2,4}(-[a-z0-9]{1,16}){2,4}$"
_DEVICE = (
    r"^arn:aws[a-z-]{0,16}:braket:[a-z0-9-]{0,32}:[0-9]{0,12}:"
    r"device/(qpu|quantum-simulator)/[A-Za-z0-9._-]{1,64}/[A-Za-z0-9._-]{1,64}$"
)
_RESERVATION = r"^arn:aws[a-z-]{0,16}:braket:[a-z0-9-]{1,32}:[0-9]{12}:reservation/[A-Za-z0-9-]{1,64}$"
_QPU_NOISE = "noiseModel is for the simulator: a QPU has its own errors"
_DEBIASED_SIMULATOR = "debiasing is for QPUs: leave it out with the backend simulator"
_FREE_SIMULATOR = "costLimit is for QPUs: the simulator costs nothing"
_GOOGLE_ID = r"^[A-Za-z0-9_.:-]+$"
_ONE_CONFIGURATION = "set deviceConfigName together with one of runName and snapshotId, or none of them"
_CRN = r"^crn:v1:[A-Za-z0-9-]*:[a-z]*:quantum-computing:[a-z0-9-]+:[^:\s]*:[^:\s]*:[^:\s]*:[^:\s]*$"
_PrimitiveOptions = Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]
_OTHER_REGION = "region is another one than the device's, which its ARN names"


def immutable(*fields: str) -> list[Rule]:
    """Return the rules that a section's fields do not change: its tasks could not be found again elsewhere."""
    return [
        Rule(
            same(field),
            f"{field} is immutable: create a new QuantumBackend instead",
            f".{field}",
        )
        for field in fields
    ]


class Credentials(SpecModel):
    """A Secret in the backend's namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    """Name of the Secret. Its keys are the environment variables that the vendor's SDK reads, such as
    AWS_ACCESS_KEY_ID. The pod sees changes without a restart."""


class Elsewhere(SpecModel):
    """Base of the sections: what all of them have."""

    provider_name: ClassVar[str]
    """Name of the descriptor of a section that always has the same one."""

    credentials: Credentials | None = None
    """Credentials. Default: the pod's own identity, see template.serviceAccountName."""

    @property
    def source(self) -> Source:
        """The section as a source; its other fields are the provider's options."""
        given = self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"credentials"})
        return Source(provider=self.provider_name, elsewhere=True, options=given, credentials=self._secret)

    @property
    def _secret(self) -> str:
        return "" if self.credentials is None else self.credentials.name


class Braket(Elsewhere):
    """A device of Amazon Braket."""

    provider_name = "Braket"
    model_config = ConfigDict(
        json_schema_extra=cel(
            Rule("!has(self.region) || self.device.split(':')[3] in ['', self.region]", _OTHER_REGION, ".region"),
            *immutable("device", "region", "endpoint"),
        )
    )

    device: Annotated[str, Field(pattern=_DEVICE, max_length=256)]
    """ARN of the device, such as arn:aws:braket:us-east-1::device/qpu/ionq/Aria-1."""
    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", max_length=63)]
    """S3 bucket to which Braket writes results."""
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9!_.*'()/-]+$", max_length=512)] = "qonverge"
    """Beginning of the keys of results in the bucket."""
    region: Annotated[str, Field(pattern=_REGION, max_length=64)] | None = None
    """AWS region. Default: that of the device's ARN, or AWS_REGION of the credentials or the pod's identity."""
    reservation: Annotated[str, Field(pattern=_RESERVATION, max_length=256)] | None = None
    """ARN of a reservation of the device, in which tasks run."""
    endpoint: Annotated[str, Field(pattern=_URL, max_length=2048)] | None = None
    """URL of Braket's API. Default: that of the region."""
    s3_endpoint: Annotated[str, Field(pattern=_URL, max_length=2048)] | None = None
    """URL of S3's API. Default: that of the region."""

    @model_validator(mode="after")
    def _same_rule_as_the_server(self) -> Self:
        if self.region is not None and self.device.split(":")[3] not in ("", self.region):
            raise ValueError(_OTHER_REGION)
        return self


class Ionq(Elsewhere):
    """A device of IonQ's quantum cloud."""

    provider_name = "IonQ"
    model_config = ConfigDict(
        json_schema_extra=cel(
            Rule("!has(self.noiseModel) || self.backend == 'simulator'", _QPU_NOISE, ".noiseModel"),
            Rule("!has(self.debiasing) || self.backend != 'simulator'", _DEBIASED_SIMULATOR, ".debiasing"),
            Rule("!has(self.costLimit) || self.backend != 'simulator'", _FREE_SIMULATOR, ".costLimit"),
            *immutable("backend", "endpoint"),
        )
    )

    backend: Annotated[str, Field(pattern=r"^(simulator|qpu\.[a-z0-9.-]{1,63})$", max_length=67)]
    """IonQ's name of the device: simulator, or a QPU such as qpu.forte-1."""
    gateset: Literal["QIS", "Native"] = "QIS"
    """Gates of programs: QIS, which IonQ's compiler optimizes, or Native, those of the hardware, which it leaves as
    they are."""
    noise_model: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,63}$", max_length=63)] | None = None
    """Whose errors the simulator has, such as aria-1. Default: none."""
    debiasing: bool | None = None
    """Whether a QPU mitigates errors, with 500 shots or more. Default: as IonQ decides, which charges for it."""
    session: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$", max_length=64)] | None = None
    """Id of a session of IonQ, with limits of its own, in which tasks run."""
    cost_limit: Annotated[str, Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,6})?$", max_length=16)] | None = None
    """Most that a task may cost, in US dollars as a decimal number in quotes. IonQ is asked for an estimate before each
    task is sent. Jobs with a budget are charged so much for each task until it is billed."""
    endpoint: Annotated[str, Field(pattern=_URL, max_length=2048)] | None = None
    """URL of the API. Default: https://api.ionq.co/v0.4."""

    @model_validator(mode="after")
    def _same_rules_as_the_server(self) -> Self:
        simulated = self.backend == "simulator"
        for wrong, message in (
            (self.noise_model is not None and not simulated, _QPU_NOISE),
            (self.debiasing is not None and simulated, _DEBIASED_SIMULATOR),
            (self.cost_limit is not None and simulated, _FREE_SIMULATOR),
        ):
            if wrong:
                raise ValueError(message)
        return self


class Google(Elsewhere):
    """A processor of Google's Quantum Engine."""

    provider_name = "Google"
    model_config = ConfigDict(
        json_schema_extra=cel(
            Rule(
                "has(self.deviceConfigName) == (has(self.runName) != has(self.snapshotId))",
                _ONE_CONFIGURATION,
                ".deviceConfigName",
            ),
            *immutable("project", "processor", "endpoint"),
        )
    )

    project: Annotated[str, Field(pattern=_GOOGLE_ID, max_length=64)]
    """Id of the Google Cloud project."""
    processor: Annotated[str, Field(pattern=_GOOGLE_ID, max_length=64)]
    """Id of the processor, such as willow_pink."""
    device_config_name: Annotated[str, Field(pattern=_GOOGLE_ID, max_length=128)] | None = None
    """Name of a device configuration, which says what qubits, couplings and gates there are. It needs one of runName
    and snapshotId. Default: the processor's own."""
    run_name: Annotated[str, Field(pattern=_GOOGLE_ID, max_length=128)] | None = None
    """Name of the automation run that the configuration is of."""
    snapshot_id: Annotated[str, Field(pattern=_GOOGLE_ID, max_length=128)] | None = None
    """Id of the snapshot that the configuration is of."""
    endpoint: Annotated[str, Field(pattern=_URL, max_length=2048)] | None = None
    """URL of the engine's API. Default: https://quantum.googleapis.com."""

    @model_validator(mode="after")
    def _same_rule_as_the_server(self) -> Self:
        if (self.device_config_name is not None) != ((self.run_name is None) != (self.snapshot_id is None)):
            raise ValueError(_ONE_CONFIGURATION)
        return self


class IBM(Elsewhere):
    """A device of IBM Quantum."""

    provider_name = "IBM"
    model_config = ConfigDict(json_schema_extra=cel(*immutable("backend", "instance", "endpoint")))

    backend: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=64)]
    """Name of the device, such as ibm_fez."""
    instance: Annotated[str, Field(pattern=_CRN, max_length=512)] | None = None
    """CRN of the service instance, which names its region too. Default: QISKIT_IBM_INSTANCE of the credentials."""
    mode: Literal["Job", "Batch", "Session"] = "Job"
    """How jobs run there: Job, each by itself; Batch, grouped; Session, with the device to themselves."""
    max_ttl: Annotated[int, Field(ge=1, le=28800)] | None = None
    """Longest time that a batch or session lasts, in seconds. Default: the longest that the instance's plan gives."""
    max_execution_time: Annotated[int, Field(ge=1, le=10800)] | None = None
    """Seconds of the device after which IBM ends a job. Default: the limit that IBM works out."""
    sampler: _PrimitiveOptions | None = None
    """Options of SamplerV2, which gives counts, by their names in qiskit-ibm-runtime."""
    estimator: _PrimitiveOptions | None = None
    """Options of EstimatorV2, which gives expectation values, such as resilience_level."""
    endpoint: Annotated[str, Field(pattern=_URL, max_length=2048)] | None = None
    """URL of IBM Quantum's API. Default: that of the instance's region."""
    iam_endpoint: Annotated[str, Field(pattern=_URL, max_length=2048)] | None = None
    """URL of IBM Cloud's service for tokens. Default: https://iam.cloud.ibm.com."""


class Remote(Elsewhere):
    """Another server that speaks the task protocol: a device at the site, an edge box, another cluster."""

    provider_name = "Remote"
    model_config = ConfigDict(json_schema_extra=cel(*immutable("url")))

    url: Annotated[str, Field(pattern=_SERVER, max_length=2048)]
    """Address of the server, such as https://edge.example.org:8443. The credentials' key QONVERGE_TOKEN is the bearer
    token that it asks for."""
    ca_bundle: CaBundle | None = None
    """Certificates that the server's own must come from. Default: those that the image trusts."""
    server_name: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """Name in the server's certificate. Default: that of the URL."""

    @property
    def source(self) -> Source:
        """The section as a source."""
        options = {"url": self.url}
        if self.ca_bundle is not None:
            options["caFile"] = CA_FILE
        if self.server_name is not None:
            options["serverName"] = self.server_name
        return Source(
            provider=self.provider_name,
            elsewhere=True,
            options=options,
            credentials=self._secret,
            authorities=self.ca_bundle,
        )


class Plugin(Elsewhere):
    """A device elsewhere whose provider is an installed package."""

    model_config = ConfigDict(json_schema_extra=cel(*immutable("provider")))

    provider: Annotated[str, Field(pattern=PROVIDER_NAME, max_length=63)]
    """Name of the provider."""
    options: (
        Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})] | None
    ) = None
    """The provider's own options, which its documentation describes. Another device belongs in another
    QuantumBackend."""

    @property
    def source(self) -> Source:
        """The section as a source."""
        return Source(
            provider=self.provider,
            elsewhere=True,
            options=self.options,
            options_path="plugin.options",
            credentials=self._secret,
        )
