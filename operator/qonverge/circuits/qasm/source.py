"""The text of a program and the places in it."""

from __future__ import annotations

import bisect
import re
from functools import cached_property

from qonverge.circuits.errors import InvalidProgram

_HIDDEN = re.compile(r"""(?P<comment>//[^\n]*|/\*.*?\*/)|"[^"\n]*"|'[^'\n]*'""", re.DOTALL)
_WORD = re.compile(r"""\$?\w+|"[^"\n]*"|'[^'\n]*'|\S""")
_BRACKETS = re.compile(r"[()\[\]{}]")
_CLOSING = {"(": ")", "[": "]", "{": "}"}


class Source:
    """The text of a program. Offsets count characters from 0; lines and columns count from 1, as editors do."""

    def __init__(self, text: str) -> None:
        """Nothing is read from the text yet."""
        self.text = text

    @cached_property
    def uncommented(self) -> str:
        """The text with blanks in place of comments; every offset stays true."""
        return self._blanked(comments_only=True)

    @cached_property
    def code(self) -> str:
        """The text with blanks in place of comments and of quoted text; every offset stays true."""
        return self._blanked(comments_only=False)

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(found.end() for found in re.finditer("\n", self.text))]

    def _blanked(self, *, comments_only: bool) -> str:
        def blank(found: re.Match[str]) -> str:
            if comments_only and found["comment"] is None:
                return found[0]
            return re.sub(r"[^\n]", " ", found[0])

        return _HIDDEN.sub(blank, self.text)

    def offset(self, line: int, column: int) -> int:
        """Return the offset of a place."""
        return self._starts[min(line, len(self._starts)) - 1] + column - 1

    def place(self, offset: int) -> tuple[int, int]:
        """Return the line and the column of an offset."""
        line = bisect.bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def word(self, offset: int) -> str:
        """Return the word, the quoted text or the sign that begins at an offset; nothing where a blank is."""
        found = _WORD.match(self.text, offset)
        return "" if found is None else found[0]

    def open_bracket(self, offset: int) -> str | None:
        """Return what would close the innermost bracket that is open just before an offset."""
        stack: list[str] = []
        for found in _BRACKETS.finditer(self.code, 0, offset):
            if found[0] in _CLOSING:
                stack.append(_CLOSING[found[0]])
            elif stack and stack[-1] == found[0]:
                stack.pop()
        return stack[-1] if stack else None

    def invalid(self, offset: int, problem: str, expected: str | None = None) -> InvalidProgram:
        """Return the error for what is at an offset."""
        line, column = self.place(offset)
        return InvalidProgram(problem, line=line, column=column, expected=expected)
