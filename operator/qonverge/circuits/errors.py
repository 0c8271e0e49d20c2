"""What can be wrong with a circuit."""

from __future__ import annotations

from qonverge.documents.excerpt import bounded


class CircuitError(Exception):
    """Base of all errors about circuits."""


class CheckerLost(CircuitError):
    """The process that reads programs does not start; the program is none the worse for it."""


class Unmapped(CircuitError):
    """A circuit that cannot be brought onto a device; the message says why."""


class InvalidProgram(CircuitError):
    """A text that is no valid program; ``str()`` is one sentence for a person, with the place where known."""

    def __init__(
        self, problem: str, *, line: int | None = None, column: int | None = None, expected: str | None = None
    ) -> None:
        """Lines and columns count from 1, as editors do."""
        # A name or a value in it may be as long as the program.
        self.problem = bounded(problem)
        self.line = line
        self.column = column
        self.expected = expected and bounded(expected)
        super().__init__(self.problem, line, column, self.expected)

    def __str__(self) -> str:
        """Return, for example, ``line 3, column 5: unexpected 'h'; expected ';'``."""
        place = "" if self.line is None else f"line {self.line}"
        if self.line is not None and self.column is not None:
            place += f", column {self.column}"
        text = f"{place}: {self.problem}" if place else self.problem
        return f"{text}; expected {self.expected}" if self.expected else text
