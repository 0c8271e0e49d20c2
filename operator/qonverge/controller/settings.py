"""What the operator is told by its environment."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self, TypeVar

from qonverge.circuits.checker.lanes import DEFAULT, Limits
from qonverge.controller.pod_resources import PROGRAM, Defaults
from qonverge.documents.excerpt import excerpt
from qonverge.wire.tokens import PROGRAM_TOKEN_SECONDS

AGING_SECONDS = 3600.0
LEASE_SECONDS = 8
RESULT_SECONDS = 86400.0
_MIB = 1024**2

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, with its environment variable in the chart."""

    namespace: str = "default"
    """QONVERGE_NAMESPACE: the operator's own namespace, for its Lease and its signing key."""
    identity: str = "operator"
    """QONVERGE_POD_NAME: this replica's name; where it is not set, one that nobody else has."""
    pod_ip: str = ""
    """QONVERGE_POD_IP: where the other replicas reach this one; the address that it listens on where not set."""
    watch_namespaces: tuple[str, ...] = ()
    """QONVERGE_WATCH_NAMESPACES, separated by commas; empty: all."""
    backend_image: str = "qonverge-backend"
    """QONVERGE_BACKEND_IMAGE."""
    program_image: str = "qonverge-program"
    """QONVERGE_PROGRAM_IMAGE."""
    program_resources: Defaults = PROGRAM
    """QONVERGE_PROGRAM_RESOURCES: requests and limits of programs that name none, as JSON."""
    pull_policy: str = "IfNotPresent"
    """QONVERGE_IMAGE_PULL_POLICY."""
    report_url: str = "http://qonverge.default.svc:8080"
    """QONVERGE_REPORT_URL: where programs reach this operator."""
    report_listen: str = "0.0.0.0:8080"
    """QONVERGE_REPORT_LISTEN."""
    health_listen: str = "0.0.0.0:8081"
    """QONVERGE_HEALTH_LISTEN."""
    lease_namespace: str = "kube-system"
    """QONVERGE_LEASE_NAMESPACE: where the Leases of all operators of the cluster lie, and no tenant may write."""
    lease_name: str = "qonverge.default.operator"
    """QONVERGE_LEASE_NAME: replicas with the same name are one operator; by default its namespace is in it."""
    lease_seconds: int = LEASE_SECONDS
    """QONVERGE_LEASE_SECONDS: another replica takes over from one that has been silent for so long."""
    aging_seconds: float = AGING_SECONDS
    """QONVERGE_AGING_SECONDS: a job that has waited longer goes before all that came later."""
    result_listen: str = "0.0.0.0:8082"
    """QONVERGE_RESULT_LISTEN."""
    result_path: str = "/api/v1/namespaces/default/services/qonverge:results/proxy"
    """QONVERGE_RESULT_PATH: where the API server leads to that port, for those who fetch kept results."""
    result_seconds: float = RESULT_SECONDS
    """QONVERGE_RESULT_SECONDS: for how long a result is kept that is too large for a status."""
    program_token_seconds: float = PROGRAM_TOKEN_SECONDS
    """QONVERGE_PROGRAM_TOKEN_SECONDS: life of programs' tokens, which are renewed at half of it; 600 at most."""
    check_limits: Limits = DEFAULT
    """QONVERGE_CHECK_CPU_SECONDS, QONVERGE_CHECK_MEMORY_MIB and QONVERGE_CHECK_WALL_SECONDS: what reading one program,
    or mapping it to a device, may take."""
    check_processes: tuple[int, int] | None = None
    """QONVERGE_CHECK_PROCESSES, as "SHORT,LONG": processes for short and for long checks; None: as many as the CPUs and
    the memory of the operator's container allow."""
    log_level: str = "INFO"
    """QONVERGE_LOG_LEVEL."""

    @property
    def report_address(self) -> str:
        """The URL at which other replicas reach this one's server of reports."""
        host, _, port = self.report_listen.rpartition(":")
        if self.pod_ip:
            host = f"[{self.pod_ip}]" if ":" in self.pod_ip else self.pod_ip
        return f"http://{host}:{port}"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Return the settings that the environment describes; what it lacks keeps its default.

        Raises:
            ValueError: a setting cannot be read.
        """
        env = os.environ if environment is None else environment
        namespace = env.get("QONVERGE_NAMESPACE") or "default"
        namespaces = env.get("QONVERGE_WATCH_NAMESPACES", "")
        given = {
            "namespace": namespace,
            "identity": env.get("QONVERGE_POD_NAME") or f"{socket.gethostname()}_{uuid.uuid4()}",
            "pod_ip": env.get("QONVERGE_POD_IP"),
            "backend_image": env.get("QONVERGE_BACKEND_IMAGE"),
            "program_image": env.get("QONVERGE_PROGRAM_IMAGE"),
            "pull_policy": env.get("QONVERGE_IMAGE_PULL_POLICY"),
            "report_url": env.get("QONVERGE_REPORT_URL"),
            "report_listen": env.get("QONVERGE_REPORT_LISTEN"),
            "health_listen": env.get("QONVERGE_HEALTH_LISTEN"),
            "lease_namespace": env.get("QONVERGE_LEASE_NAMESPACE"),
            "lease_name": env.get("QONVERGE_LEASE_NAME") or f"qonverge.{namespace}.operator",
            "result_listen": env.get("QONVERGE_RESULT_LISTEN"),
            "result_path": env.get("QONVERGE_RESULT_PATH"),
            "log_level": env.get("QONVERGE_LOG_LEVEL"),
        }
        return cls(
            check_limits=Limits(
                _read(env, "QONVERGE_CHECK_CPU_SECONDS", float, DEFAULT.cpu_seconds),
                _read(env, "QONVERGE_CHECK_MEMORY_MIB", int, DEFAULT.memory_bytes // _MIB) * _MIB,
                _read(env, "QONVERGE_CHECK_WALL_SECONDS", float, DEFAULT.wall_seconds),
            ),
            check_processes=_read(env, "QONVERGE_CHECK_PROCESSES", _two_numbers, None),
            watch_namespaces=tuple(part.strip() for part in namespaces.split(",") if part.strip()),
            program_resources=_read(env, "QONVERGE_PROGRAM_RESOURCES", Defaults.parse, PROGRAM),
            lease_seconds=_read(env, "QONVERGE_LEASE_SECONDS", int, LEASE_SECONDS),
            aging_seconds=_read(env, "QONVERGE_AGING_SECONDS", float, AGING_SECONDS),
            result_seconds=_read(env, "QONVERGE_RESULT_SECONDS", float, RESULT_SECONDS),
            # Pods remember closed accounts for as long as tokens live at most.
            program_token_seconds=min(
                _read(env, "QONVERGE_PROGRAM_TOKEN_SECONDS", float, PROGRAM_TOKEN_SECONDS), PROGRAM_TOKEN_SECONDS
            ),
            **{name: value for name, value in given.items() if value},
        )


def _read(env: Mapping[str, str], name: str, read: Callable[[str], T], default: T) -> T:
    text = env.get(name)
    try:
        return read(text) if text else default
    except ValueError as error:
        raise ValueError(f"{name} is {excerpt(text)}: {error}") from None


def _two_numbers(text: str) -> tuple[int, int]:
    short, _, long = text.partition(",")
    if not (short.isdecimal() and long.isdecimal() and int(short) and int(long)):
        raise ValueError("give two numbers from 1 up, such as 2,1")
    return int(short), int(long)
