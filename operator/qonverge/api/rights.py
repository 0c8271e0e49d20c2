"""The rights that the chart gives, generated from the registry.

``python -m qonverge.api.rights FILE`` writes them as templates of Helm; a test compares them with what is committed.
Single objects that the operator reaches by their names, such as its Lease, are the chart's own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from qonverge.api.registry import KINDS, RESOURCES, Kind, Resource

_HEADER = "{{/* Generated from operator/qonverge/api by `make generate`; edit the registry instead. */}}\n"
_READ = ("get", "list", "watch")
_CHANGE = ("create", "update", "patch", "delete", "deletecollection")
_SCALE = ("get", "update", "patch")


def render() -> str:
    """Return the templates.

    Of the operator's rights ``watch`` has what it needs wherever it looks: to see, and to do what it does with the
    kinds that Qonverge defines. ``make`` has what it needs where it makes objects for them, such as Secrets and Jobs.
    """
    namespaced = [kind for kind in KINDS.values() if kind.namespaced]
    templates = {
        "watch": [rule for kind in namespaced for rule in _watch(kind)],
        "make": [rule for kind in namespaced for rule in _make(kind)],
        "cluster": [rule for kind in KINDS.values() if not kind.namespaced for rule in _all(kind)],
    }
    return _HEADER + "".join(_template(name, rules) for name, rules in templates.items()) + _people()


def _watch(kind: Kind) -> Iterator[str]:
    if isinstance(kind, Resource):
        yield from _all(kind)
    else:
        yield from _rules(kind, [verb for verb in kind.verbs if verb in kind.everywhere])


def _make(kind: Kind) -> Iterator[str]:
    if not isinstance(kind, Resource):
        yield from _rules(kind, [verb for verb in kind.verbs if verb not in kind.everywhere])
        yield from _below(kind)


def _all(kind: Kind) -> Iterator[str]:
    yield from _rules(kind, kind.verbs)
    yield from _below(kind)


def _rules(kind: Kind, verbs: Sequence[str]) -> Iterator[str]:
    if verbs:
        yield _rule(kind.group, kind.plural, verbs)


def _below(kind: Kind) -> Iterator[str]:
    for name, verbs in kind.subresources.items():
        yield _rule(kind.group, f"{kind.plural}/{name}", verbs)


def _people() -> str:
    """Return the ClusterRoles for people: of each kind a viewer and an editor, which the usual roles include."""
    found = []
    for each in RESOURCES.values():
        view = [_rule(each.group, each.plural, _READ)]
        edit = [_rule(each.group, each.plural, (*_READ, *_CHANGE))]
        if each.scale:
            edit.append(_rule(each.group, f"{each.plural}/scale", _SCALE))
        into = ("edit", "admin") if each.for_editors else ()
        found += [
            _cluster_role(f"{each.singular}-viewer", ("view",), view),
            _cluster_role(f"{each.singular}-editor", into, edit),
        ]
    return _template("people", ["\n---\n".join(found)])


def _cluster_role(name: str, into: Sequence[str], rules: Sequence[str]) -> str:
    return "\n".join(
        [
            "apiVersion: rbac.authorization.k8s.io/v1",
            "kind: ClusterRole",
            "metadata:",
            f'  name: {{{{ include "qonverge.fullname" . }}}}-{name}',
            "  labels:",
            '    {{- include "qonverge.labels" . | nindent 4 }}',
            *(f'    rbac.authorization.k8s.io/aggregate-to-{role}: "true"' for role in into),
            "rules:",
            *(f"  {rule}" for rule in rules),
        ]
    )


def _rule(group: str, resource: str, verbs: Sequence[str]) -> str:
    named = group or '""'
    return f"- {{apiGroups: [{named}], resources: [{resource}], verbs: [{', '.join(verbs)}]}}"


def _template(name: str, rules: Sequence[str]) -> str:
    return "\n".join([f'{{{{- define "qonverge.rights.{name}" -}}}}', *rules, "{{- end }}", ""])


def main(path: str) -> None:
    """Write the templates."""
    Path(path).write_text(render())


if __name__ == "__main__":
    main(sys.argv[1])
