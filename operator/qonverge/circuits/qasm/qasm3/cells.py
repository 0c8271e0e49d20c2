"""Logic on bits that may be known only when the circuit runs.

What is known is folded. Only operations that the engines run occur in what remains: not, and, or, exclusive or, and
comparisons of whole registers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from qiskit.circuit import ClassicalRegister, Clbit
from qiskit.circuit.classical import expr

from qonverge.circuits.qasm.qasm3.values import Cell

Registers: TypeAlias = Mapping[tuple[Clbit, ...], ClassicalRegister]
"""The circuit's registers by their bits."""
Condition: TypeAlias = tuple[Clbit | ClassicalRegister, int] | expr.Expr

_COMPARISONS: Mapping[str, Callable[..., expr.Expr]] = {
    "==": expr.equal,
    "!=": expr.not_equal,
    "<": expr.less,
    "<=": expr.less_equal,
    ">": expr.greater,
    ">=": expr.greater_equal,
}


def invert(cell: Cell) -> Cell:
    """Return not a."""
    if isinstance(cell, bool):
        return not cell
    if isinstance(cell, expr.Unary) and cell.op is expr.Unary.Op.LOGIC_NOT:
        return _plain(cell.operand)
    return expr.logic_not(expr.lift(cell))


def both(left: Cell, right: Cell) -> Cell:
    """Return a and b."""
    if isinstance(left, bool):
        return right if left else False
    if isinstance(right, bool):
        return left if right else False
    return expr.logic_and(expr.lift(left), expr.lift(right))


def either(left: Cell, right: Cell) -> Cell:
    """Return a or b."""
    if isinstance(left, bool):
        return True if left else right
    if isinstance(right, bool):
        return True if right else left
    return expr.logic_or(expr.lift(left), expr.lift(right))


def differ(left: Cell, right: Cell) -> Cell:
    """Return a exclusive or b."""
    if isinstance(left, bool):
        return invert(right) if left else right
    if isinstance(right, bool):
        return invert(left) if right else left
    return expr.bit_xor(expr.lift(left), expr.lift(right))


def any_of(cells: Sequence[Cell]) -> Cell:
    """Return whether one is set."""
    result: Cell = False
    for cell in cells:
        result = either(result, cell)
    return result


def add(left: Sequence[Cell], right: Sequence[Cell], carry: Cell = False) -> tuple[Cell, ...]:
    """Return the sum modulo 2 to the width that both have."""
    result = []
    for one, other in zip(left, right, strict=True):
        half = differ(one, other)
        result.append(differ(half, carry))
        carry = either(both(one, other), both(half, carry))
    return tuple(result)


def negate(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Return minus the number, modulo 2 to its width."""
    return add([False] * len(cells), [invert(cell) for cell in cells], True)


def compare(operator: str, left: Sequence[Cell], right: Sequence[Cell], registers: Registers) -> Cell:
    """Return how two unsigned numbers of one width compare; ``operator`` is one of ``== != < <= > >=``."""
    compact = _of_registers(operator, left, right, registers)
    if compact is not None:
        return compact
    match operator:
        case "!=":
            return any_of([differ(one, other) for one, other in zip(left, right, strict=True)])
        case "==":
            result: Cell = True
            for one, other in zip(left, right, strict=True):
                result = both(result, invert(differ(one, other)))
            return result
        case "<":
            return _less(left, right)
        case ">":
            return _less(right, left)
        case "<=":
            return invert(_less(right, left))
        case _:
            return invert(_less(left, right))


def condition(cell: Clbit | expr.Expr) -> Condition:
    """Return the form that Qiskit's control flow takes, the plain one where there is one."""
    if isinstance(cell, Clbit):
        return (cell, True)
    inner = _plain(cell.operand) if isinstance(cell, expr.Unary) and cell.op is expr.Unary.Op.LOGIC_NOT else None
    if isinstance(inner, Clbit):
        return (inner, False)
    if (
        isinstance(cell, expr.Binary)
        and cell.op is expr.Binary.Op.EQUAL
        and isinstance(cell.left, expr.Var)
        and isinstance(cell.left.var, ClassicalRegister)
        and isinstance(cell.right, expr.Value)
    ):
        return (cell.left.var, cell.right.value)
    return cell


def bits_in(cell: Cell) -> set[Clbit]:
    """Return the circuit's bits that it reads."""
    if isinstance(cell, bool):
        return set()
    if isinstance(cell, Clbit):
        return {cell}
    found: set[Clbit] = set()
    for variable in expr.iter_vars(cell):
        found.update((variable.var,) if isinstance(variable.var, Clbit) else variable.var)
    return found


def number(cells: Sequence[Cell]) -> int | None:
    """Return the unsigned number; None where it is not known."""
    total = 0
    for place, cell in enumerate(cells):
        if not isinstance(cell, bool):
            return None
        total |= cell << place
    return total


def register_of(cells: Sequence[Cell], registers: Registers) -> ClassicalRegister | None:
    """Return the register that these bits are, where they are one of more than one bit."""
    bits = tuple(cell for cell in cells if isinstance(cell, Clbit))
    return registers.get(bits) if len(bits) == len(cells) > 1 else None


def _plain(node: expr.Expr) -> Cell:
    return node.var if isinstance(node, expr.Var) and isinstance(node.var, Clbit) else node


def _of_registers(operator: str, left: Sequence[Cell], right: Sequence[Cell], registers: Registers) -> expr.Expr | None:
    one, other = register_of(left, registers), register_of(right, registers)
    compare_as = _COMPARISONS[operator]
    if one is not None and other is not None:
        return compare_as(one, other)
    if one is not None and (known := number(right)) is not None:
        return compare_as(one, known)
    if other is not None and (known := number(left)) is not None:
        mirrored = operator.translate(str.maketrans("<>", "><"))
        return _COMPARISONS[mirrored](other, known)
    return None


def _less(left: Sequence[Cell], right: Sequence[Cell]) -> Cell:
    result: Cell = False
    for one, other in zip(left, right, strict=True):
        result = either(both(invert(one), other), both(invert(differ(one, other)), result))
    return result
