"""What is refused since building it would take minutes and all the memory there is."""

from __future__ import annotations

from qonverge.circuits.qasm.source import Source

MAX_REGISTER = 100_000
"""Bits in one register."""


def check_register_size(source: Source, offset: int, size: int) -> None:
    """Refuse a register that is too large.

    Raises:
        InvalidProgram: at the offset.
    """
    if not 0 <= size <= MAX_REGISTER:
        raise source.invalid(offset, f"a register of {size} bits", f"at most {MAX_REGISTER}")


MAX_STEPS = 200_000
"""Statements that loops and subroutines of a program may unfold to; each costs 20 to 60 microseconds."""
