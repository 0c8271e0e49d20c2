"""Which nodes pods prefer or need, as in ``core/v1.Affinity``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from qonverge.api.base import LabelSelector, SpecModel

_Weight = Annotated[int, Field(ge=1, le=100)]
_MOST = 32


class NodeSelectorRequirement(SpecModel):
    """One requirement on a node, as in ``core/v1.NodeSelectorRequirement``."""

    key: Annotated[str, Field(max_length=317)]
    """The label's key, or the field's."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    """How the key relates to the values."""
    values: Annotated[list[Annotated[str, Field(max_length=63)]], Field(max_length=64)] = []
    """The values; empty for Exists and DoesNotExist, one whole number for Gt and Lt."""


class NodeSelectorTerm(SpecModel):
    """Requirements on a node that hold together, as in ``core/v1.NodeSelectorTerm``."""

    match_expressions: Annotated[list[NodeSelectorRequirement], Field(max_length=_MOST)] = []
    """Requirements on labels."""
    match_fields: Annotated[list[NodeSelectorRequirement], Field(max_length=_MOST)] = []
    """Requirements on fields, such as metadata.name."""


class NodeSelector(SpecModel):
    """Nodes that meet one of several terms, as in ``core/v1.NodeSelector``."""

    node_selector_terms: Annotated[list[NodeSelectorTerm], Field(min_length=1, max_length=_MOST)]
    """The terms, of which one must hold."""


class PreferredSchedulingTerm(SpecModel):
    """Nodes that are preferred, as in ``core/v1.PreferredSchedulingTerm``."""

    weight: _Weight
    """How much it counts, from 1 to 100."""
    preference: NodeSelectorTerm
    """The nodes."""


class NodeAffinity(SpecModel):
    """Nodes that a pod needs or prefers, as in ``core/v1.NodeAffinity``."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    """Nodes that the pod needs."""
    preferred_during_scheduling_ignored_during_execution: Annotated[
        list[PreferredSchedulingTerm], Field(max_length=_MOST)
    ] = []
    """Nodes that it prefers."""


class PodAffinityTerm(SpecModel):
    """Pods near which a pod is to be, or not, as in ``core/v1.PodAffinityTerm``."""

    topology_key: Annotated[str, Field(min_length=1, max_length=317)]
    """Label of nodes that tells which are near each other."""
    label_selector: LabelSelector | None = None
    """Labels of those pods."""
    namespaces: Annotated[list[Annotated[str, Field(max_length=63)]], Field(max_length=64)] = []
    """Their namespaces; the job's own where neither this nor namespaceSelector is set."""
    namespace_selector: LabelSelector | None = None
    """Labels of their namespaces."""


class WeightedPodAffinityTerm(SpecModel):
    """Pods near which a pod prefers to be, or not, as in ``core/v1.WeightedPodAffinityTerm``."""

    weight: _Weight
    """How much it counts, from 1 to 100."""
    pod_affinity_term: PodAffinityTerm
    """The pods."""


class PodAffinity(SpecModel):
    """Pods near which a pod is to be, or not, as in ``core/v1.PodAffinity``."""

    required_during_scheduling_ignored_during_execution: Annotated[list[PodAffinityTerm], Field(max_length=_MOST)] = []
    """What must hold."""
    preferred_during_scheduling_ignored_during_execution: Annotated[
        list[WeightedPodAffinityTerm], Field(max_length=_MOST)
    ] = []
    """What is preferred."""


class Affinity(SpecModel):
    """Which nodes a pod needs or prefers, as in ``core/v1.Affinity``."""

    node_affinity: NodeAffinity | None = None
    """By the nodes themselves."""
    pod_affinity: PodAffinity | None = None
    """Near other pods."""
    pod_anti_affinity: PodAffinity | None = None
    """Away from other pods."""
