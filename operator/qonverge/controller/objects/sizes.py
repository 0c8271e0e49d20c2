"""The larger sizes of a backend: QuantumBackends of their own, which it owns. Pure.

Each has one size of pods, and begins without any. So what holds of a backend holds of a size: its pods are started for
jobs that wait, are drained before they go, and roll out; its conditions and metrics say why.
"""

from __future__ import annotations

from typing import Any

from qonverge.api import QuantumBackend
from qonverge.api.quantity import bytes_of, memory_text
from qonverge.api.registry import MANAGED_LABELS
from qonverge.controller.objects.object_names import child_name, owner_references
from qonverge.scaling.sizes import larger_sizes

_FOLLOWED = ("targetQueueTime", "stableWindow", "scaleDownAfter", "maxScaleUpRate", "maxScaleDownRate")


def sizes_of(backend: QuantumBackend) -> dict[str, dict[str, Any]]:
    """Return the manifests of a backend's larger sizes by their keys, the smallest first."""
    return {key: _manifest(backend, key.split("/", 1)[1], memory) for key, memory in keys_of_sizes(backend).items()}


def keys_of_sizes(backend: QuantumBackend) -> dict[str, str]:
    """Return the keys of a backend's larger sizes, each with the memory of its pods, the smallest first."""
    vertical = None if backend.spec.scaling is None else backend.spec.scaling.vertical
    if vertical is None or backend.size_of is not None:
        return {}
    usual, most = bytes_of(backend.spec.template.resources.limits["memory"]), bytes_of(vertical.max_memory)
    memories = map(memory_text, larger_sizes(usual, most))
    return {f"{backend.metadata.namespace}/{child_name(backend.metadata.name, m.lower())}": m for m in memories}


def _manifest(backend: QuantumBackend, name: str, memory: str) -> dict[str, Any]:
    metadata = backend.metadata
    spec = backend.spec.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
    scaling, template = spec["scaling"], spec["template"]
    vertical = backend.spec.scaling.vertical if backend.spec.scaling is not None else None
    assert vertical is not None
    resources = template["resources"]
    # A limit alone is the request too: what such a circuit needs, it has.
    requests = {name: amount for name, amount in resources.get("requests", {}).items() if name != "memory"}
    resources = {**resources, "requests": requests, "limits": {**resources["limits"], "memory": memory}}
    return {
        "apiVersion": backend.api_version,
        "kind": backend.kind,
        "metadata": {
            "name": name,
            "namespace": metadata.namespace,
            # Selectors of jobs find it as they find the backend.
            "labels": {**metadata.labels, **MANAGED_LABELS},
            "ownerReferences": owner_references(backend),
        },
        "spec": {
            **spec,
            # All of the memory is for one circuit.
            "capacity": {**spec.get("capacity", {}), "concurrency": 1},
            "scaling": {
                **{name: scaling[name] for name in _FOLLOWED if name in scaling},
                "minReplicas": 0,
                "maxReplicas": vertical.max_replicas,
                "scaleToZeroAfter": vertical.scale_to_zero_after,
            },
            "template": {**template, "resources": resources},
        },
    }
