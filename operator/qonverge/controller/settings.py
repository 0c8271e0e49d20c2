"""The operator's settings, which come from its environment."""

from __future__ import annotations

import logging
import socket
import uuid
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from qonverge.circuits.checker.lanes import DEFAULT, Limits
from qonverge.controller.pod_resources import PROGRAM, Defaults
from qonverge.documents import strict_json
from qonverge.environment import Address, EnvironmentSettings
from qonverge.programs.policy import ProgramPolicy
from qonverge.scheduling import Policy
from qonverge.scheduling.policies import policy_of
from qonverge.storage import settings as storage
from qonverge.storage.settings import StoreSettings
from qonverge.telemetry.figures import STALE_SECONDS
from qonverge.tracing import setup as tracing
from qonverge.wire.tokens import PROGRAM_TOKEN_SECONDS

AGING_SECONDS = 3600.0
LEASE_SECONDS = 8
RESULT_SECONDS = 86400.0
_MIB = 1024**2


def _names(given: Any) -> Any:
    return tuple(part.strip() for part in given.split(",") if part.strip()) if isinstance(given, str) else given


def _resources(given: Any) -> Any:
    return Defaults.parse(given) if isinstance(given, str) else given


def _program_policy(given: Any) -> Any:
    return ProgramPolicy.parse(strict_json.loads(given)) if isinstance(given, str) else given


def _policy(given: Any) -> Any:
    fields = strict_json.loads(given) if isinstance(given, str) else given
    policy_of(fields, Policy())
    return fields


def _two_numbers(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    short, _, long = given.partition(",")
    if not (short.isdecimal() and long.isdecimal() and int(short) and int(long)):
        raise ValueError("give two numbers from 1 up, such as 2,1")
    return int(short), int(long)


def _http_url(given: str) -> str:
    url = urlsplit(given)
    if given and (url.scheme not in ("http", "https") or not url.hostname or url.username or url.query or url.fragment):
        raise ValueError("give a URL such as https://prometheus.monitoring.svc:9090, without user and query")
    return given


def _for_tls(given: str, info: ValidationInfo) -> str:
    if given and not str(info.data.get("prometheus_url", "https:")).startswith("https:"):
        raise ValueError("QONVERGE_PROMETHEUS_URL is to begin with https: then; a token is not sent in the clear")
    return given


def _for_prometheus(given: str, info: ValidationInfo) -> str:
    if given and not info.data.get("prometheus_url", "-"):
        raise ValueError("QONVERGE_PROMETHEUS_URL is to name the server that answers it")
    return given.strip()


def _stores(given: Any) -> Any:
    return storage.parse(given) if isinstance(given, str) else given


def _one_of_them(given: str, info: ValidationInfo) -> str:
    names = [store.name for store in info.data.get("output_stores", ())]
    if given and given not in names:
        raise ValueError(f"QONVERGE_OUTPUT_STORES names {', '.join(names) or 'none'}")
    return given


def _log_level(given: str) -> str:
    known = logging.getLevelNamesMapping()
    if given not in known:
        raise ValueError(f"give one of {', '.join(known)}")
    return given


Positive = Annotated[float, Field(gt=0)]


class Settings(EnvironmentSettings):
    """Every setting. Its environment variable has the field's name, unless the field says another."""

    namespace: str = "default"
    """The operator's own namespace, for its Lease and its signing key."""
    identity: str = Field(
        default_factory=lambda: f"{socket.gethostname()}_{uuid.uuid4()}", validation_alias="QONVERGE_POD_NAME"
    )
    """This replica's name; where it is not set, one that nobody else has."""
    pod_ip: str = ""
    """Where the other replicas reach this one; the address that it listens on where not set."""
    watch_namespaces: Annotated[tuple[str, ...], BeforeValidator(_names)] = ()
    """Separated by commas; empty: all."""
    backend_image: str = "qonverge-backend"
    program_image: str = "qonverge-program"
    program_resources: Annotated[Defaults, BeforeValidator(_resources)] = PROGRAM
    """Requests and limits of programs that name none, as JSON."""
    program_policy: Annotated[ProgramPolicy, BeforeValidator(_program_policy)] = ProgramPolicy()
    """What programs of a namespace may ask of their pods, as a JSON list of rules."""
    requirements_claim: str = ""
    """Name of the PersistentVolumeClaim, in each namespace, on which programs' requirements are; empty: none."""
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        default="IfNotPresent", validation_alias="QONVERGE_IMAGE_PULL_POLICY"
    )
    report_url: str = "http://qonverge.default.svc:8080"
    """Where programs reach this operator."""
    report_listen: Address = "0.0.0.0:8080"
    health_listen: Address = "0.0.0.0:8081"
    lease_namespace: str = "kube-system"
    """Where the Leases of all operators of the cluster lie, and no tenant may write."""
    lease_name: str = Field(default_factory=lambda given: f"qonverge.{given['namespace']}.operator")
    """Replicas with the same name are one operator; by default its namespace is in it."""
    lease_seconds: Annotated[int, Field(ge=1)] = LEASE_SECONDS
    """Another replica takes over from one that has been silent for so long."""
    aging_seconds: Annotated[float, Field(ge=0)] = AGING_SECONDS
    """A job that has waited longer goes before all that came later."""
    scheduling_policy: Annotated[dict[str, Any], BeforeValidator(_policy)] = Field(default_factory=dict)
    """What else the administrator decides about rounds, as a JSON object; what it does not name has its default."""
    shadow_policy: Annotated[dict[str, Any], BeforeValidator(_policy)] = Field(default_factory=dict)
    """A policy that decides beside the one in force, without effect; what it does not name is as in that."""
    result_listen: Address = "0.0.0.0:8082"
    result_path: str = "/api/v1/namespaces/default/services/qonverge:results/proxy"
    """Where the API server leads to that port, for those who fetch kept results."""
    result_seconds: Positive = RESULT_SECONDS
    """For how long a result is kept that is too large for a status."""
    output_stores: Annotated[tuple[StoreSettings, ...], BeforeValidator(_stores)] = ()
    """Stores for large results, and for programs' files and checkpoints, as a JSON list."""
    output_store: Annotated[str, AfterValidator(_one_of_them)] = ""
    """The one of them for jobs that name none; empty: such jobs have none."""
    # Pods remember closed accounts for as long as tokens live at most.
    program_token_seconds: Annotated[Positive, AfterValidator(lambda given: min(given, PROGRAM_TOKEN_SECONDS))] = (
        PROGRAM_TOKEN_SECONDS
    )
    """Life of programs' tokens, which are renewed at half of it; 600 at most."""
    check_cpu_seconds: Positive = DEFAULT.cpu_seconds
    """CPU time that reading one program, or mapping it to a device, may take."""
    check_memory_mib: Annotated[int, Field(ge=1)] = DEFAULT.memory_bytes // _MIB
    """Memory that it may take."""
    check_wall_seconds: Positive = DEFAULT.wall_seconds
    """Time by the clock that it may take."""
    check_processes: Annotated[tuple[int, int] | None, BeforeValidator(_two_numbers)] = None
    """Processes for short and for long checks, such as "2,1"; None: as many as the CPUs and the memory of the
    operator's container allow."""
    prometheus_url: Annotated[str, AfterValidator(_http_url)] = ""
    """A Prometheus server that scrapes backends' pods and has figures of devices; empty: only the pods tell them."""
    prometheus_ca_file: Annotated[str, AfterValidator(_for_tls)] = ""
    """Certificates in PEM, of which one signed that server's; the system's where empty."""
    prometheus_token_file: Annotated[str, AfterValidator(_for_tls)] = ""
    """File with a bearer token for it."""
    prometheus_power_query: Annotated[str, AfterValidator(_for_prometheus)] = ""
    """PromQL for what pods, or tasks of backends, draw; empty: only specifications tell."""
    prometheus_seconds: Positive = 5.0
    """How often it is asked."""
    stale_seconds: Positive = STALE_SECONDS
    """Figures of devices that are older are not used, wherever they come from."""
    otlp_endpoint: Annotated[str, AfterValidator(_http_url)] = Field(default="", validation_alias=tracing.ENDPOINT)
    """An OpenTelemetry collector, to which operator, backends' pods and programs send spans; empty: nobody does."""
    otlp_traces_endpoint: Annotated[str, AfterValidator(_http_url)] = Field(
        default="", validation_alias=tracing.TRACES_ENDPOINT
    )
    """The same with its path, in place of that."""
    otlp_headers: str = Field(default="", validation_alias=tracing.HEADERS, repr=False)
    """Headers that it asks for, such as "Authorization=Bearer%20TOKEN"; separated by commas."""
    program_metrics: bool = True
    """Whether programs' pods expose metrics."""
    scrape_annotations: bool = False
    """Whether the pods of backends and programs get the annotations by which many Prometheus servers find them."""
    log_level: Annotated[str, AfterValidator(_log_level)] = "INFO"

    @property
    def exports_spans(self) -> bool:
        """Whether pods are told to send spans."""
        return bool(self.otlp_endpoint or self.otlp_traces_endpoint)

    @property
    def check_limits(self) -> Limits:
        """What reading one program, or mapping it to a device, may take."""
        return Limits(self.check_cpu_seconds, self.check_memory_mib * _MIB, self.check_wall_seconds)

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return policy_of(self.scheduling_policy, Policy(aging_seconds=self.aging_seconds))

    @property
    def shadow(self) -> Policy | None:
        """The policy that decides beside it, if there is one."""
        return policy_of(self.shadow_policy, self.policy) if self.shadow_policy else None

    @property
    def report_address(self) -> str:
        """The URL at which other replicas reach this one's server of reports."""
        host, _, port = self.report_listen.rpartition(":")
        if self.pod_ip:
            host = f"[{self.pod_ip}]" if ":" in self.pod_ip else self.pod_ip
        return f"http://{host}:{port}"
