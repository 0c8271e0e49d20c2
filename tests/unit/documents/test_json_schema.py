"""Values held against JSON Schemas."""

from __future__ import annotations

from typing import Any

import pytest

from qonverge.documents.json_schema import InvalidSchema, problems, with_defaults

SCHEMA = {
    "type": "object",
    "properties": {
        "steps": {"type": "integer", "minimum": 1, "default": 100},
        "molecule": {"type": "string"},
        "layers": {"items": {"$ref": "#/$defs/layer"}},
    },
    "required": ["molecule"],
    "additionalProperties": False,
    "$defs": {"layer": {"enum": ["ry", "rz"]}},
}


def test_each_problem_begins_with_its_place() -> None:
    found = problems({"steps": 2.5, "layers": ["ry", "cx"], "step": 1}, SCHEMA, "parameters")
    assert sorted(found) == [
        'parameters.layers[1]: "cx" is not one of "ry" or "rz"',
        'parameters.steps: 2.5 is not of type "integer"',
        'parameters: "molecule" is a required property',
        "parameters: Additional properties are not allowed ('step' was unexpected)",
    ]
    assert problems({"molecule": "H2", "steps": 3}, SCHEMA, "parameters") == []


def test_a_message_is_short_whatever_the_value_is() -> None:
    found = problems(["x" * 10_000] * 100, {"items": {"type": "integer"}}, "p")
    assert len(found) == 10
    assert all(len(each) < 300 for each in found)


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "intger"}, r"parameterSchema\.type: \"intger\" is not valid"),
        (
            {"properties": {"a": {"pattern": "("}}},
            r"parameterSchema\.properties\.a\.pattern: \"\(\" is not a \"regex\"",
        ),
        ({"$ref": "http://127.0.0.1:9/schema"}, "only references within the schema are followed"),
        ({"$ref": "file:///etc/passwd"}, "only references within the schema are followed"),
        ({"$schema": "https://example.com/mine"}, "Unknown meta-schema"),
    ],
)
def test_what_is_no_schema_or_reads_elsewhere_is_refused(schema: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidSchema, match=says):
        problems({}, schema, "parameters")


def test_a_pattern_takes_no_more_time_with_more_text() -> None:
    assert problems({"a": "a" * 50_000 + "!"}, {"properties": {"a": {"pattern": "^(a+)+$"}}}, "p")


def test_defaults_stand_where_nothing_is_given() -> None:
    assert with_defaults({"molecule": "H2"}, SCHEMA) == {"molecule": "H2", "steps": 100}
    assert with_defaults({"steps": 3}, SCHEMA) == {"steps": 3}
    assert with_defaults({"a": 1}, None) == {"a": 1}
    assert with_defaults({}, {"properties": [1]}) == {}
