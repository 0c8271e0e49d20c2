"""What programs of a namespace may ask of their pods, as the administrator decides. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from qonverge.api import HybridJob
from qonverge.api.base import LabelSelector, SpecModel
from qonverge.api.placement import Duration, seconds_of
from qonverge.api.quantity import Quantity, amount_of
from qonverge.programs.kinds import kind_of
from qonverge.programs.pod import PodRequest

_Patterns = Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=1000)]
_ALL_TAINTS = "*"


class NamespaceRule(SpecModel):
    """What programs of some namespaces may use. ``*`` in a pattern stands for any text.

    What is not named may be used as in any pod of the namespace; an empty list allows none.
    """

    namespaces: _Patterns = Field(default_factory=lambda: ["*"])
    """Patterns of the namespaces' names."""
    selector: LabelSelector | None = None
    """Labels that the namespaces have, too."""
    images: _Patterns | None = None
    """Patterns of images. The one that came with the operator may always be used."""
    service_accounts: _Patterns | None = None
    """Patterns of ServiceAccounts that a program may name. Without one it has the namespace's own."""
    secrets: _Patterns | None = None
    """Patterns of Secrets: in variables, as volumes, and to pull images."""
    persistent_volume_claims: _Patterns | None = None
    """Patterns of PersistentVolumeClaims."""
    tolerations: _Patterns | None = None
    """Patterns of the keys of taints that may be tolerated; a toleration of all taints needs a pattern ``*``."""
    resources: dict[str, Quantity] = Field(default_factory=dict)
    """The most of each resource, such as ``nvidia.com/gpu: 2``, by patterns of resources."""
    longest_session: Duration | None = None
    """How long a session may take at most; ``0s`` allows none."""

    def holds_for(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Return whether the rule is about a namespace with these labels."""
        named = any(fnmatchcase(namespace, pattern) for pattern in self.namespaces)
        return named and (self.selector is None or self.selector.matches(dict(labels)))


class ProgramPolicy(SpecModel):
    """Rules, of which the first counts that is about a job's namespace. Where none is, everything may be used."""

    rules: list[NamespaceRule] = Field(default_factory=list)

    @classmethod
    def parse(cls, given: Any) -> ProgramPolicy:
        """Return the policy that a list of rules describes.

        Raises:
            ValueError: it is none; the message names the field.
        """
        try:
            return cls(rules=TypeAdapter(list[NamespaceRule]).validate_python(given))
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(str(part) for part in problem["loc"]) or "the policy"
            raise ValueError(f"{where}: {problem['msg'].removeprefix('Value error, ')}") from None

    @property
    def reads_labels(self) -> bool:
        """Whether it depends on the labels of namespaces."""
        return any(rule.selector is not None for rule in self.rules)

    def violations(self, job: HybridJob, labels: Mapping[str, str]) -> list[str]:
        """Return what a job asks for and may not use: for each a sentence that begins with the field.

        Args:
            job: the job.
            labels: of its namespace.
        """
        kind, namespace = kind_of(job), job.metadata.namespace
        rule = next((each for each in self.rules if each.holds_for(namespace, labels)), None)
        if rule is None:
            return []
        found = [*_too_long(rule, kind.most_seconds(job), namespace)]
        if (asked := kind.pod(job)) is not None:
            found += _problems(rule, asked, namespace)
        return [f"spec.program.{job.spec.program.chosen}.{problem}" for problem in found]


def _too_long(rule: NamespaceRule, most: float | None, namespace: str) -> Iterator[str]:
    """Yield what is wrong with a session of so many seconds; nothing of what is none."""
    if most is None or rule.longest_session is None or most <= seconds_of(rule.longest_session):
        return
    allowed = f"may take {rule.longest_session} at most" if seconds_of(rule.longest_session) else "are not allowed"
    yield f"duration is {most:g} s: sessions in namespace {namespace} {allowed}"


def _problems(rule: NamespaceRule, asked: PodRequest, namespace: str) -> Iterator[str]:
    lists: Mapping[str, Sequence[str] | None] = {
        "images": rule.images,
        "service accounts": rule.service_accounts,
        "secrets": rule.secrets,
        "persistent volume claims": rule.persistent_volume_claims,
        "taints": rule.tolerations,
    }
    for field, what, name in _used(asked):
        allowed = lists[what]
        if allowed is not None and not any(_fits(name, pattern) for pattern in allowed):
            only = f"only {' and '.join(allowed)}" if allowed else "none"
            yield f"{field} is {name}: of {what} programs in namespace {namespace} may use {only}"
    for section, given in (("limits", asked.resources.limits), ("requests", asked.resources.requests)):
        for resource, quantity in given.items():
            for pattern, most in rule.resources.items():
                if fnmatchcase(resource, pattern) and amount_of(quantity) > amount_of(most):
                    field = f"resources.{section}[{resource}]"
                    yield f"{field} is {quantity}: programs in namespace {namespace} may ask for {most} at most"


def _fits(name: str, pattern: str) -> bool:
    # A toleration of all taints is not one of those whose names happen to match.
    return pattern == _ALL_TAINTS if name == _ALL_TAINTS else fnmatchcase(name, pattern)


def _used(asked: PodRequest) -> Iterator[tuple[str, str, str]]:
    """Yield what a program uses: the field, of what kind it is, and its name."""
    template = asked.template
    for field, (what, name) in asked.uses.items():
        yield field, what, name
    if asked.image is not None:
        yield "image", "images", asked.image
    if template.service_account_name is not None:
        yield "template.serviceAccountName", "service accounts", template.service_account_name
    for index, variable in enumerate(template.env):
        if variable.value_from is not None and (key := variable.value_from.secret_key_ref) is not None:
            yield f"template.env[{index}].valueFrom.secretKeyRef.name", "secrets", key.name
    for index, source in enumerate(template.env_from):
        if source.secret_ref is not None:
            yield f"template.envFrom[{index}].secretRef.name", "secrets", source.secret_ref.name
    for index, secret in enumerate(template.image_pull_secrets):
        yield f"template.imagePullSecrets[{index}].name", "secrets", secret.name
    for index, volume in enumerate(template.volumes):
        if volume.secret is not None:
            yield f"template.volumes[{index}].secret.secretName", "secrets", volume.secret.secret_name
        if volume.persistent_volume_claim is not None:
            claim = volume.persistent_volume_claim.claim_name
            yield f"template.volumes[{index}].persistentVolumeClaim.claimName", "persistent volume claims", claim
    for index, toleration in enumerate(template.tolerations):
        yield f"template.tolerations[{index}].key", "taints", toleration.key or _ALL_TAINTS
