"""What the code keeps to, read from the code itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

CODE = Path(__file__).parents[2] / "operator" / "qonverge"
_MAKE = {"set_conditions", "still_holding"}
_MADE = {"UNSEEN"}


def trees() -> Iterator[tuple[str, ast.AST]]:
    for path in sorted(CODE.rglob("*.py")):
        yield path.relative_to(CODE).as_posix(), ast.parse(path.read_text())


def name_of(node: ast.AST) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(attr=name):
            return name
        case _:
            return ""


def conditions_by_hand(tree: ast.AST) -> list[int]:
    """Return the lines that make or change conditions without the functions that keep them complete."""
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in ("qonverge.api", "qonverge.api.base")
        for alias in node.names
        if alias.name == "Condition"
    }
    named = _MADE | {
        name_of(node.targets[0]) for node in ast.walk(tree) if isinstance(node, ast.Assign) and made(node.value, _MADE)
    }
    found = []
    for node in ast.walk(tree):
        match node:
            # One condition.
            case ast.Call(func=ast.Name(id=name)) if name in imported:
                found.append(node.lineno)
            case ast.Dict(keys=keys) if any(
                isinstance(key, ast.Constant) and key.value == "lastTransitionTime" for key in keys
            ):
                found.append(node.lineno)
            # All conditions of an object.
            case ast.keyword(arg="conditions", value=value) if not made(value, named):
                found.append(value.lineno)
            case ast.Dict(keys=keys, values=values):
                for key, value in zip(keys, values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "conditions" and not made(value, named):
                        found.append(value.lineno)
    return found


def made(value: ast.AST, named: set[str]) -> bool:
    """Return whether a value comes from the functions that make conditions, as objects or in their JSON form."""
    match value:
        case ast.Call(func=func):
            return name_of(func) in _MAKE
        case ast.ListComp(elt=ast.Call(func=ast.Attribute(attr="to_dict")), generators=[ast.comprehension(iter=of)]):
            return made(of, named)
        case ast.Name(id=name):
            return name in named
        case _:
            return False


def test_conditions_are_made_in_one_place() -> None:
    found = {name: lines for name, tree in trees() if (lines := conditions_by_hand(tree))}
    found.pop("api/conditions.py")
    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "from qonverge.api import Condition\nCondition(type='Ready')",
        "from qonverge.api.base import Condition as C\nC(type='Ready')",
        "x = {'type': 'Ready', 'lastTransitionTime': now}",
        "status.model_copy(update={'conditions': [*before, more]})",
        "Status(conditions=before[1:])",
        "body = {'conditions': [{**each, 'observedGeneration': 2} for each in before]}",
    ],
)
def test_conditions_by_hand_are_found(text: str) -> None:
    assert conditions_by_hand(ast.parse(text))


def test_statuses_are_written_in_one_place() -> None:
    callers = {
        name
        for name, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and name_of(node.func) == "patch_status"
    }
    assert callers == {"controller/kube/status_writer.py"}
