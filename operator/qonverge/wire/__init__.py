"""The task protocol between clients, the operator and backends: messages, encoding, errors, tokens."""

from qonverge.wire.backend_info import BackendInfo
from qonverge.wire.errors import WireError
from qonverge.wire.messages import Pub, PubResult, Task, TaskResult

__all__ = ["BackendInfo", "Pub", "PubResult", "Task", "TaskResult", "WireError"]
