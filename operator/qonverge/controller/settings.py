"""What the operator is told by its environment."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from qonverge.circuits.lanes import DEFAULT, Limits
from qonverge.wire.tokens import PROGRAM_TOKEN_SECONDS

AGING_SECONDS = 3600.0
RESULT_SECONDS = 86400.0
_MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, with its environment variable in the chart."""

    namespace: str = "default"
    """QONVERGE_NAMESPACE: the operator's own namespace, for its Lease and its signing key."""
    identity: str = "operator"
    """QONVERGE_POD_NAME: this replica's name."""
    watch_namespaces: tuple[str, ...] = ()
    """QONVERGE_WATCH_NAMESPACES, separated by commas; empty: all."""
    backend_image: str = "qonverge-backend"
    """QONVERGE_BACKEND_IMAGE."""
    program_image: str = "qonverge-program"
    """QONVERGE_PROGRAM_IMAGE."""
    pull_policy: str = "IfNotPresent"
    """QONVERGE_IMAGE_PULL_POLICY."""
    report_url: str = "http://qonverge.default.svc:8080"
    """QONVERGE_REPORT_URL: where programs reach this operator."""
    report_listen: str = "0.0.0.0:8080"
    """QONVERGE_REPORT_LISTEN."""
    health_listen: str = "0.0.0.0:8081"
    """QONVERGE_HEALTH_LISTEN."""
    lease_name: str = "qonverge-operator"
    """QONVERGE_LEASE_NAME."""
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

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Return the settings that the environment describes; what it lacks keeps its default."""
        env = os.environ if environment is None else environment
        namespaces = env.get("QONVERGE_WATCH_NAMESPACES", "")
        given = {
            "namespace": env.get("QONVERGE_NAMESPACE"),
            "identity": env.get("QONVERGE_POD_NAME") or socket.gethostname(),
            "backend_image": env.get("QONVERGE_BACKEND_IMAGE"),
            "program_image": env.get("QONVERGE_PROGRAM_IMAGE"),
            "pull_policy": env.get("QONVERGE_IMAGE_PULL_POLICY"),
            "report_url": env.get("QONVERGE_REPORT_URL"),
            "report_listen": env.get("QONVERGE_REPORT_LISTEN"),
            "health_listen": env.get("QONVERGE_HEALTH_LISTEN"),
            "lease_name": env.get("QONVERGE_LEASE_NAME"),
            "result_listen": env.get("QONVERGE_RESULT_LISTEN"),
            "result_path": env.get("QONVERGE_RESULT_PATH"),
            "log_level": env.get("QONVERGE_LOG_LEVEL"),
        }
        limits, processes = DEFAULT, env.get("QONVERGE_CHECK_PROCESSES", "")
        counts = tuple(int(count) for count in processes.split(",")) if processes else ()
        if processes and (len(counts) != 2 or min(counts) < 1):
            raise ValueError(f"QONVERGE_CHECK_PROCESSES is {processes!r}, not two numbers from 1 up such as 2,1")
        return cls(
            check_limits=Limits(
                float(env.get("QONVERGE_CHECK_CPU_SECONDS") or limits.cpu_seconds),
                int(env.get("QONVERGE_CHECK_MEMORY_MIB") or limits.memory_bytes // _MIB) * _MIB,
                float(env.get("QONVERGE_CHECK_WALL_SECONDS") or limits.wall_seconds),
            ),
            check_processes=(counts[0], counts[1]) if counts else None,
            watch_namespaces=tuple(part.strip() for part in namespaces.split(",") if part.strip()),
            aging_seconds=float(env.get("QONVERGE_AGING_SECONDS") or AGING_SECONDS),
            result_seconds=float(env.get("QONVERGE_RESULT_SECONDS") or RESULT_SECONDS),
            # Pods remember closed accounts for as long as tokens live at most.
            program_token_seconds=min(
                float(env.get("QONVERGE_PROGRAM_TOKEN_SECONDS") or PROGRAM_TOKEN_SECONDS), PROGRAM_TOKEN_SECONDS
            ),
            **{name: value for name, value in given.items() if value},
        )
