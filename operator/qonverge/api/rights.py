"""The rights that the chart gives, generated from the registry.

``python -m qonverge.api.rights FILE`` writes them as templates of Helm; a test compares them with what is committed.
Single objects that the operator reaches by their names, such as its Lease, are the chart's own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from qonverge.api.registry import KINDS, RESOURCES, Kind

_HEADER = "{{/* Generated from operator/qonverge/api by `make generate`; edit the registry instead. */}}\n"
_READ = ("get", "list", "watch")
_CHANGE = ("create", "update", "patch", "delete", "deletecollection")
_SCALE = ("get", "update", "patch")


def render() -> str:
    """Return the templates, each a list of rules."""
    resources = RESOURCES.values()
    editable = [each for each in resources if each.for_editors]
    templates = {
        "operator": [rule for kind in KINDS.values() if kind.namespaced for rule in _needed(kind)],
        "cluster": [rule for kind in KINDS.values() if not kind.namespaced for rule in _needed(kind)],
        "view": [_rule(each.group, each.plural, _READ) for each in resources],
        "edit": [
            *(_rule(each.group, each.plural, _CHANGE) for each in editable),
            *(_rule(each.group, f"{each.plural}/scale", _SCALE) for each in editable if each.scale),
        ],
    }
    return _HEADER + "".join(_template(name, rules) for name, rules in templates.items())


def _needed(kind: Kind) -> Iterator[str]:
    if kind.verbs:
        yield _rule(kind.group, kind.plural, kind.verbs)
    for name, verbs in kind.subresources.items():
        yield _rule(kind.group, f"{kind.plural}/{name}", verbs)


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
