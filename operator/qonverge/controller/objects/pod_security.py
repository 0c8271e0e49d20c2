"""What all pods that the operator makes have alike."""

from __future__ import annotations

TERMINATION_LOG = "/dev/termination-log"
CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
_USER = 65532
# Without a group of its own a process has group 0, which may read more than it should in some images.
POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": _USER,
    "runAsGroup": _USER,
    "fsGroup": _USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}
