"""What is wrong with a text, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a text. Lines and columns count from 1, as editors do."""

    problem: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        """Return, for example, ``line 3, column 5: the key "shots" is given twice``."""
        return self.problem if self.line is None else f"line {self.line}, column {self.column}: {self.problem}"


class Unreadable(ValueError):
    """A text that cannot be read as a whole."""

    def __init__(self, fault: Fault) -> None:
        """Keep the fault, with its place."""
        super().__init__(str(fault))
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Document:
    """A value that was read, and what is wrong with it although it can be read, such as keys that are given twice."""

    value: Any
    faults: tuple[Fault, ...] = ()


def fault_at(text: str, offset: int, problem: str) -> Fault:
    """Return the fault of what is at an offset in a text, characters from 0."""
    begin = text.rfind("\n", 0, offset) + 1
    return Fault(problem, text.count("\n", 0, offset) + 1, offset - begin + 1)
