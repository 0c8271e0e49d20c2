"""On which nodes pods may be, from where backends are. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qonverge.api import QuantumBackend
from qonverge.api.placement import Location, NodeRule
from qonverge.api.pod_program import Near

TIER_LABEL = "qonverge.io/tier"
"""Label of nodes that are not OnPrem: ``Cloud`` or ``Edge``. One without it counts as OnPrem, as a backend does."""
SITE_LABEL = "qonverge.io/site"
REGION_LABEL = "topology.kubernetes.io/region"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
# The scheduler's words for a pod's node affinity, or its selector, that no node meets.
_UNMET = "node affinity"


def backend_affinity(backend: QuantumBackend) -> dict[str, Any] | None:
    """Return the affinity of a backend's pods; None where any node will do.

    A device elsewhere is where its location says, and its proxy need not be.
    """
    return _affinity(_terms(backend.spec.location), _rule(backend))


def pods_site(backend: QuantumBackend) -> str | None:
    """Return the site at which a backend's pods are for certain: nodes elsewhere would not be taken."""
    return backend.spec.location.site if _rule(backend) == "Required" else None


def program_affinity(near: Near | None, backend: QuantumBackend) -> dict[str, Any] | None:
    """Return the affinity of a program's pod: to the site that it names, or to where its backend is."""
    if near is None:
        return None
    terms = _terms(backend.spec.location) if near.site is None else [_is_in(SITE_LABEL, near.site)]
    return _affinity(terms, near.nodes)


def asked_of_nodes(pod: Mapping[str, Any]) -> str:
    """Return the labels that a pod's specification requires of nodes; empty where it requires none."""
    required = ((pod.get("affinity") or {}).get("nodeAffinity") or {}).get(_REQUIRED) or {}
    terms = [term for each in required.get("nodeSelectorTerms") or [] for term in each.get("matchExpressions") or []]
    selected = [f"{label}={value}" for label, value in (pod.get("nodeSelector") or {}).items()]
    return ", ".join([*selected, *map(_told, terms)])


def explained(message: str, asked: str) -> str:
    """Return the scheduler's message, with the labels that no node has where it is about them."""
    if not asked or _UNMET not in message:
        return message
    return f"no node that would take the pod has the labels {asked}: {message}"


def _rule(backend: QuantumBackend) -> NodeRule:
    return backend.spec.location.nodes or ("Any" if backend.spec.source.elsewhere else "Required")


def _terms(location: Location) -> list[dict[str, Any]]:
    terms: list[dict[str, Any]] = []
    if location.tier == "OnPrem":
        terms.append({"key": TIER_LABEL, "operator": "NotIn", "values": ["Cloud", "Edge"]})
    else:
        terms.append(_is_in(TIER_LABEL, location.tier))
    if location.site is not None:
        terms.append(_is_in(SITE_LABEL, location.site))
    if location.region is not None:
        terms.append(_is_in(REGION_LABEL, location.region))
    return terms


def _is_in(label: str, value: str) -> dict[str, Any]:
    return {"key": label, "operator": "In", "values": [value]}


def _affinity(terms: list[dict[str, Any]], rule: NodeRule) -> dict[str, Any] | None:
    if rule == "Required":
        return {"nodeAffinity": {_REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": terms}]}}}
    if rule == "Preferred":
        # Each by itself: a node in the region is better than one that is neither there nor at the site.
        preferences = [{"weight": 100 // len(terms), "preference": {"matchExpressions": [term]}} for term in terms]
        return {"nodeAffinity": {_PREFERRED: preferences}}
    return None


def _told(term: Mapping[str, Any]) -> str:
    values = "|".join(term.get("values") or [])
    return f"{term['key']}={values}" if term["operator"] == "In" else f"{term['key']}!={values}"


def both(own: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the affinity that means what two mean together; only ``given`` is about more than nodes."""
    joined = {**given}
    mine, theirs = own.get("nodeAffinity") or {}, given.get("nodeAffinity") or {}
    node: dict[str, Any] = {}
    if preferred := [*(mine.get(_PREFERRED) or []), *(theirs.get(_PREFERRED) or [])]:
        node[_PREFERRED] = preferred
    terms = [(each.get(_REQUIRED) or {}).get("nodeSelectorTerms") or [{}] for each in (mine, theirs)]
    if mine.get(_REQUIRED) or theirs.get(_REQUIRED):
        # One of several terms holds: so each of one has to hold with each of the other.
        node[_REQUIRED] = {"nodeSelectorTerms": [_joined(a, b) for a in terms[0] for b in terms[1]]}
    if node:
        joined["nodeAffinity"] = node
    return joined


def _joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    both_have = ((key, [*(one.get(key) or []), *(other.get(key) or [])]) for key in ("matchExpressions", "matchFields"))
    return {key: requirements for key, requirements in both_have if requirements}
