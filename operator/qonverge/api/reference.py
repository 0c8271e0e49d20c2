"""The reference page of the resources, generated from the same schemas as the CustomResourceDefinitions.

``python -m qonverge.api.reference FILE`` writes it; a test compares it with what is committed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from qonverge.api.base import API_VERSION
from qonverge.api.schema import Schema, custom_resource_definitions

_INTRODUCTION = f"""\
# Resources

<!-- Generated from operator/qonverge/api by `make generate`; edit the models instead. -->

Every field of the resources in `{API_VERSION}`. In a cluster, `kubectl explain` shows the same texts:

```console
kubectl explain hybridjob.spec.program
```

Unknown fields are refused, so that a misspelt one is never lost in silence.
"""
# Fields that differ from their defaults are few; these bounds are shown when a schema has them.
_BOUNDS = (
    ("minimum", "at least {}"),
    ("maximum", "at most {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("maxItems", "at most {} items"),
    ("maxProperties", "at most {} entries"),
)


def render() -> str:
    """Return the page as Markdown."""
    kinds = [_kind(crd["spec"]) for crd in reversed(custom_resource_definitions().values())]
    return "\n".join([_INTRODUCTION, *kinds])


def _kind(spec: Schema) -> str:
    names, version = spec["names"], spec["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    columns = ", ".join(column["name"] for column in version["additionalPrinterColumns"] if not column.get("priority"))
    wide = ", ".join(column["name"] for column in version["additionalPrinterColumns"] if column.get("priority"))
    lines = [
        f"## {names['kind']}",
        "",
        schema["description"],
        "",
        f"Short name `{names['shortNames'][0]}`, category `{names['categories'][0]}`, {spec['scope'].lower()}. "
        f"`kubectl get {names['shortNames'][0]}` shows {columns}; with `-o wide` also {wide}.",
        "",
    ]
    for part in ("spec", "status"):
        for path, node in _objects(part, schema["properties"][part]):
            lines += _table(names["kind"], path, node)
    return "\n".join(lines)


def _objects(path: str, node: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield each object that has fields, the outer ones first."""
    yield path, node
    for name, child in node["properties"].items():
        inner = child.get("items", child)
        if "properties" in inner:
            yield from _objects(f"{path}.{name}{'[]' if 'items' in child else ''}", inner)


def _table(kind: str, path: str, node: Schema) -> list[str]:
    lines = [f"### `{path}` {{ #{_anchor(kind, path)} }}", ""]
    if description := node.get("description"):
        lines += [description, ""]
    if rules := node.get("x-kubernetes-validations"):
        lines += ["Rules:", "", *(f"- {rule['message']}" for rule in rules), ""]
    lines += ["| field | type | what it says |", "|---|---|---|"]
    required = node.get("required", [])
    for name, child in node["properties"].items():
        says = " ".join([*_sentences(child), *(["Required."] if name in required else [])])
        lines.append(f"| `{name}` | {_type(kind, f'{path}.{name}', child)} | {says.replace('|', '&#124;')} |")
    return [*lines, ""]


def _type(kind: str, path: str, schema: Schema) -> str:
    if "properties" in schema:
        return f"[object](#{_anchor(kind, path)})"
    if "items" in schema:
        if "properties" in schema["items"]:
            return f"[list of objects](#{_anchor(kind, path + '[]')})"
        return f"list of {_type(kind, path, schema['items'])}"
    if "additionalProperties" in schema:
        return f"map to {_type(kind, path, schema['additionalProperties'])}"
    if schema.get("x-kubernetes-int-or-string"):
        return "quantity"
    return str(schema.get("type", "any JSON"))


def _sentences(schema: Schema) -> list[str]:
    """Return what a field's schema says, in sentences."""
    sentences = [schema["description"]] if "description" in schema else []
    if "enum" in schema:
        sentences.append(f"One of {', '.join(f'`{value}`' for value in schema['enum'])}.")
    bounds = []
    for key, text in _BOUNDS:
        if key in schema:
            exclusive = key == "minimum" and schema.get("exclusiveMinimum")
            bounds.append(f"above {schema[key]}" if exclusive else text.format(f"{schema[key]:,}"))
    if bounds:
        sentences.append(f"{', '.join(bounds).capitalize()}.")
    if "default" in schema:
        value = schema["default"]
        sentences.append(f"Default: `{str(value).lower() if isinstance(value, bool) else value}`.")
    return sentences


def _anchor(kind: str, path: str) -> str:
    return f"{kind}-{path.replace('.', '-').replace('[]', '')}".lower()


def main(path: str) -> None:
    """Write the page."""
    Path(path).write_text(render())


if __name__ == "__main__":
    main(sys.argv[1])
