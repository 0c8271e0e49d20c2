"""Values held against a JSON Schema. A hostile schema may take time and memory without end: bound both from outside."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from qonverge.documents.excerpt import MOST_CHARACTERS

_MOST_PROBLEMS = 10


class InvalidSchema(ValueError):
    """A schema that is none; the message says where and why."""


def problems(value: Any, schema: Mapping[str, Any], name: str) -> list[str]:
    """Return what is wrong with a value by a schema, each as a sentence that begins with the place; at most ten.

    The draft is that of ``$schema``, 2020-12 by default. References are followed within the schema only. Patterns have
    no look-around, so that they take time in proportion to the text.

    Args:
        value: of JSON.
        schema: the schema.
        name: of the value, where a place begins.

    Raises:
        InvalidSchema: it is none.
    """
    import jsonschema_rs

    try:
        validator = jsonschema_rs.validator_for(
            dict(schema), retriever=_refused, pattern_options=jsonschema_rs.RegexOptions()
        )
    except ValueError as error:
        path = getattr(error, "instance_path", [])
        message = getattr(error, "message", str(error))
        raise InvalidSchema(f"{_place('parameterSchema', path)}: {_short(message)}") from None
    found = itertools.islice(validator.iter_errors(value), _MOST_PROBLEMS)
    return [f"{_place(name, each.instance_path)}: {_short(each.message)}" for each in found]


def with_defaults(value: Mapping[str, Any], schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return an object with the ``default`` of each property of its schema that it does not have."""
    known = (schema or {}).get("properties")
    properties = known.items() if isinstance(known, Mapping) else ()
    defaults = {name: each["default"] for name, each in properties if isinstance(each, Mapping) and "default" in each}
    return {**defaults, **value}


def _refused(uri: str) -> Any:
    raise ValueError("only references within the schema are followed, such as #/$defs/step")


def _place(name: str, path: Iterable[str | int]) -> str:
    return name + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def _short(message: str) -> str:
    # It may quote the whole value.
    most = MOST_CHARACTERS // _MOST_PROBLEMS
    return message if len(message) <= most else f"{message[: most // 2]} ... {message[-most // 2 :]}"
