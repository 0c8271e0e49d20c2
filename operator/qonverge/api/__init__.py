"""The resource types of ``qonverge.io/v1alpha1`` and the schema generator."""

from qonverge.api.backend import QuantumBackend, QuantumBackendSpec
from qonverge.api.backend_status import QuantumBackendStatus
from qonverge.api.base import API_VERSION, GROUP, VERSION, Condition, ObjectMeta
from qonverge.api.job import HybridJob, HybridJobSpec
from qonverge.api.job_status import HybridJobStatus
from qonverge.api.quota import QuantumQuota, QuantumQuotaSpec, QuantumQuotaStatus

__all__ = [
    "API_VERSION",
    "GROUP",
    "VERSION",
    "Condition",
    "HybridJob",
    "HybridJobSpec",
    "HybridJobStatus",
    "ObjectMeta",
    "QuantumBackend",
    "QuantumBackendSpec",
    "QuantumBackendStatus",
    "QuantumQuota",
    "QuantumQuotaSpec",
    "QuantumQuotaStatus",
]
