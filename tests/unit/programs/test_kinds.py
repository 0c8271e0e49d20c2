"""Kinds of program stand in modules of their own, and nothing else asks which kind a job is of."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import qonverge
from qonverge.api import HybridJob
from qonverge.api.program import Program
from qonverge.programs.kinds import KINDS, kind_of, parts

_ROOT = Path(qonverge.__file__).parent
# Those that see jobs. Elsewhere a program is something else: a task's, or one of an engine.
_PACKAGES = ("accounting", "cli", "controller", "execution", "local", "programs", "scheduling", "telemetry")
_CLASSES = {"Circuit", "Python", "Container", "Session"}
_CLASSES |= {f"{name}Kind" for name in _CLASSES}
_LAYERS = ("qonverge.controller.jobs.kinds", "qonverge.local.kinds")


def kind_tests(text: str) -> Iterator[int]:
    """Yield the lines on which a source asks for one kind of program."""
    kinds = set(KINDS)
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Attribute(
                value=ast.Name(id="program")
                | ast.Attribute(value=ast.Name(id="spec") | ast.Attribute(attr="spec"), attr="program"),
                attr=attr,
            ):
                found = attr in kinds
            case ast.Compare(left=ast.Name(id=name) | ast.Attribute(attr=name), ops=[ast.Is() | ast.IsNot()]):
                found = name in kinds
            case ast.Compare(left=left, comparators=[right]):
                found = bool({_text(left), _text(right)} & kinds)
            case ast.MatchValue(value=value):
                found = _text(value) in kinds
            case ast.Call(func=ast.Name(id="isinstance" | "getattr"), args=[_, what]):
                names = {each.id for each in ast.walk(what) if isinstance(each, ast.Name)}
                found = bool(names & _CLASSES) or _text(what) in kinds
            case _:
                found = False
        if found:
            yield node.lineno if isinstance(node, ast.expr | ast.pattern) else 0


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


@pytest.mark.parametrize(
    "source",
    [
        "if job.spec.program.python is not None: pass",
        "given = job.spec.program.circuit",
        "program = job.spec.program\nprogram.circuit",
        "x = 1 if circuit is None else 2",
        "x = self.python is None",
        'if kind_of(job).name == "python": pass',
        'match job.spec.program.chosen:\n    case "circuit": pass',
        "isinstance(given, Circuit | str)",
        'getattr(job.spec.program, "python")',
    ],
)
def test_a_test_of_the_kind_is_seen(source: str) -> None:
    assert list(kind_tests(source))


def test_no_test_of_the_kind_stands_outside_of_its_module() -> None:
    sources = {path for package in _PACKAGES for path in (_ROOT / package).rglob("*.py")}
    folders = {_ROOT / "programs", *(_ROOT / layer.removeprefix("qonverge.").replace(".", "/") for layer in _LAYERS)}
    own = {folder / f"{name}.py" for folder in folders for name in KINDS}
    assert own <= sources
    found = [
        f"{path.relative_to(_ROOT)}:{line}" for path in sorted(sources - own) for line in kind_tests(path.read_text())
    ]
    assert found == []


def test_each_kind_of_the_schema_has_its_part_in_each_layer() -> None:
    assert set(KINDS) == set(Program.one_of)
    for layer in _LAYERS:
        assert parts(layer).keys() == KINDS.keys()


@pytest.mark.parametrize(
    ("program", "name", "embedded", "reference"),
    [
        ({"circuit": {"openqasm": "qubit q;"}}, "circuit", "qubit q;", None),
        ({"circuit": {"qpy": "UUlTS0lU"}}, "circuit", "UUlTS0lU", None),
        ({"circuit": {"configMapKeyRef": {"name": "c", "key": "k"}}}, "circuit", None, "c"),
        ({"python": {"source": "pass"}}, "python", "pass", None),
        ({"python": {"configMapKeyRef": {"name": "p", "key": "k"}}}, "python", None, "p"),
        ({"container": {"image": "a", "args": ["b"]}}, "container", None, None),
        ({"session": {}}, "session", None, None),
    ],
)
def test_a_kind_says_how_its_program_is_given(
    program: dict[str, Any], name: str, embedded: str | None, reference: str | None
) -> None:
    job = HybridJob.model_validate({"metadata": {"name": "j"}, "spec": {"program": program}})
    kind = kind_of(job)
    given = kind.reference(job)
    assert (kind.name, kind.embedded(job), given and given.name) == (name, embedded, reference)
    inline = kind.inline(job)
    # What tells a container from others takes no room in its job.
    known = {"UUlTS0lU": b"QISKIT"} | (
        {None: '{"args": ["b"], "command": [], "image": "a"}'} if name == "container" else {}
    )
    known |= {None: '{"duration":"1h","maxShots":null}'} if name == "session" else {}
    assert inline == known.get(embedded, embedded)
