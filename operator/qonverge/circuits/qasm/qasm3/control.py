"""Branches and loops: decided where their conditions are known, else held by the circuit."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from openqasm3 import ast
from qiskit.circuit.classical import expr

from qonverge.circuits.qasm.qasm3 import cells, syntax
from qonverge.circuits.qasm.qasm3.conversions import convert
from qonverge.circuits.qasm.qasm3.expressions import Expressions
from qonverge.circuits.qasm.qasm3.program import GateName, Loop, Name, Program, Variable
from qonverge.circuits.qasm.qasm3.values import BIT, INT, Array, Cell, Fault, Value, cells_of


class Leave(Exception):
    """Control leaves a block: ``break``, ``continue``, ``return``, ``end``; ``dead`` where what follows never runs."""

    def __init__(self, how: str) -> None:
        """Say how."""
        self.how = how
        super().__init__(how)


class ControlFlow:
    """Carries out control flow; ``carry_out`` carries out statements."""

    def __init__(
        self, program: Program, values: Expressions, carry_out: Callable[[Sequence[ast.Statement]], None]
    ) -> None:
        """Nothing is read yet."""
        self._program = program
        self._values = values
        self._carry_out = carry_out

    def branch(self, node: ast.BranchingStatement) -> None:
        """Carry out ``if``."""
        cell = self._values.condition(node.condition)
        if isinstance(cell, bool):
            self._block(node.if_block if cell else node.else_block)
        else:
            self._branches(cell, node.if_block, lambda: self._block(node.else_block), node)

    def switch(self, node: ast.SwitchStatement) -> None:
        """Carry out ``switch``."""
        target = self._values.bound(self._values(node.target))
        if target.type.kind not in ("int", "uint", "bit", "bool"):
            raise Fault(f"switch over {target.type}", "an integer or bits")
        cases = [([self._values.integer(value) for value in values], block) for values, block in node.cases]
        taken = [value for values, _ in cases for value in values]
        if len(set(taken)) != len(taken):
            raise Fault("two cases of a switch have the same value", "each value once")
        default = [] if node.default is None else node.default.statements
        if target.is_known:
            number = cells.number(target.data) if isinstance(target.data, tuple) else int(target.data)
            chosen = next((block.statements for values, block in cases if number in values), default)
            self._block(chosen)
            return
        own = cells_of(target)
        self._cases(
            node,
            own,
            [([self._pattern(value, len(own)) for value in values], block) for values, block in cases],
            default,
        )

    def _cases(
        self,
        node: ast.SwitchStatement,
        own: tuple[Cell, ...],
        cases: Sequence[tuple[list[int | None], ast.CompoundStatement]],
        default: Sequence[ast.Statement],
    ) -> None:
        program = self._program
        register = cells.register_of(own, program.registers)
        if register is None:
            self._chain(node, own, list(cases), default)
            return
        blocks = [*(block for _, block in cases), *default]
        with self._at_run_time(blocks) as begin, program.circuit.switch(register) as case:
            for values, block in cases:
                known = [value for value in values if value is not None]
                if known:
                    with case(*known):
                        begin(block.statements)
            if default:
                with case(case.DEFAULT):
                    begin(default)

    def _chain(
        self,
        node: ast.SwitchStatement,
        own: tuple[Cell, ...],
        cases: list[tuple[list[int | None], ast.CompoundStatement]],
        default: Sequence[ast.Statement],
    ) -> None:
        """Carry a switch out as a chain of branches."""
        if not cases:
            self._block(default)
            return
        (values, block), rest = cases[0], cases[1:]
        matches = [
            cells.compare("==", own, [bool(value >> place & 1) for place in range(len(own))], self._program.registers)
            for value in values
            if value is not None
        ]
        cell = cells.any_of(matches)
        if isinstance(cell, bool):
            if cell:
                self._block(block.statements)
            else:
                self._chain(node, own, rest, default)
            return
        self._branches(cell, block.statements, lambda: self._chain(node, own, rest, default), node)

    @staticmethod
    def _pattern(value: int, width: int) -> int | None:
        """Return a case's value as so many bits; None where they never hold it."""
        return value % (1 << width) if -(1 << width - 1) <= value < 1 << width else None

    def _branches(
        self,
        cell: Any,
        statements: Sequence[ast.Statement],
        otherwise: Callable[[], None],
        node: ast.BranchingStatement | ast.SwitchStatement,
    ) -> None:
        with self._at_run_time(node) as begin:
            with self._program.circuit.if_test(cells.condition(cell)) as else_:
                begin(statements)
            if isinstance(node, ast.SwitchStatement) or node.else_block:
                with else_:
                    begin(otherwise)

    def loop(self, node: ast.ForInLoop) -> None:
        """Carry out ``for``: as a loop of the circuit where all iterations are the same, else one by one."""
        program = self._program
        kind = self._values.type_of(node.type)
        if kind.kind not in ("int", "uint", "bit", "bool", "float", "angle"):
            raise Fault("a loop over this type is not supported", "int or uint")
        items = self._items(node.set_declaration)
        if kind.kind in ("float", "angle") and isinstance(items, range):
            raise Fault("a loop over this type is not supported", "int or uint")
        leaves = syntax.leaves(node.block)
        gates = frozenset(name for name, symbol in program.top.names.items() if isinstance(symbol, GateName))
        if len(items) > 1 and program.scope.kind != "gate" and syntax.is_uniform(node, gates):
            with (
                self._at_run_time(node.block, repeats=True) as begin,
                self._loop(kept=True),
                program.circuit.for_loop(range(len(items))),
            ):
                begin(node.block)
            return
        if len(leaves) == 2:
            raise Fault("a loop that is unfolded has both break and continue in branches", "one of the two in a loop")
        if leaves == {"break"}:
            with (
                self._at_run_time(node.block) as begin,
                self._loop(kept=False, leaves="break"),
                program.circuit.for_loop(range(1)),
            ):
                begin(lambda: self._iterations(node, kind, items))
            return
        with self._loop(kept=False, leaves="continue" if leaves else ""):
            self._iterations(node, kind, items)

    def _iterations(self, node: ast.ForInLoop, kind: Any, items: Sequence[Any]) -> None:
        program, name = self._program, node.identifier.name
        own = program.loops[-1]

        def once(item: Any) -> None:
            with program.inside():
                value = convert(item if isinstance(item, Value) else Value(INT, item), kind)
                program.define(name, Variable(name, kind, value, node, program.depth))
                self._carry_out(node.block)

        for item in items:
            program.step()
            try:
                if own.leaves == "continue":
                    with self._at_run_time(node.block) as begin, program.circuit.for_loop(range(1)):
                        own.depth = program.depth + 1
                        begin(functools.partial(self._until_continue, once, item))
                    own.depth = program.depth
                else:
                    self._until_continue(once, item)
            except Leave as leave:
                if leave.how != "break":
                    raise
                break

    @staticmethod
    def _until_continue(once: Callable[[Any], None], item: Any) -> None:
        try:
            once(item)
        except Leave as leave:
            if leave.how != "continue":
                raise

    def _items(self, node: ast.QASMNode) -> Sequence[Any]:
        if isinstance(node, ast.RangeDefinition):
            return self._values.range_of(node)
        if isinstance(node, ast.DiscreteSet):
            return [self._values(item) for item in node.values]
        value = self._values(node)
        if len(value.type.dimensions) == 1:
            array: Array = value.data
            return list(array.items)
        if value.type.is_register and value.type.kind == "bit":
            return [Value(BIT, cell) for cell in value.data]
        raise self._program.invalid(node, "a loop over this is not supported", '"[0:3]" or "{1, 2}"')

    def repeat(self, node: ast.WhileLoop) -> None:
        """Carry out ``while``: one by one as long as its condition is known, else as a loop of the circuit."""
        program = self._program
        keeps = bool(syntax.leaves(node.block)) and syntax.measures(node.block)
        with self._loop(kept=False):
            while (cell := self._values.condition(node.while_condition)) is not False:
                if not isinstance(cell, bool) or keeps:
                    break
                program.step()
                try:
                    self._block(node.block)
                except Leave as leave:
                    if leave.how == "break":
                        return
                    if leave.how != "continue":
                        raise
            else:
                return
        with self._at_run_time(node.block, repeats=True) as begin, self._loop(kept=True):
            cell = self._values.condition(node.while_condition)
            condition = expr.lift(cell) if isinstance(cell, bool) else cells.condition(cell)
            with program.circuit.while_loop(condition):
                begin(node.block)

    def leave(self, how: str) -> None:
        """Carry out ``break`` or ``continue``."""
        program = self._program
        if not program.loops:
            raise Fault(f"{how} outside a loop", "it inside a loop only")
        loop = program.loops[-1]
        if not loop.kept and loop.depth == program.depth:
            raise Leave(how)
        if not loop.kept and loop.leaves != how:
            raise Fault(
                f"only the run decides whether this {how} happens, in a loop that is unfolded", "a loop over a range"
            )
        for variable in self._outer_variables():
            program.flush(variable)
        if how == "break" or not loop.kept:
            program.circuit.break_loop()
        else:
            program.circuit.continue_loop()
        raise Leave("dead")

    def _outer_variables(self) -> Iterator[Variable]:
        for scope in self._program.scope.chain():
            yield from (symbol for symbol in scope.names.values() if isinstance(symbol, Variable))

    def _block(self, statements: Sequence[ast.Statement]) -> None:
        with self._program.inside():
            self._carry_out(statements)

    @contextmanager
    def _loop(self, *, kept: bool, leaves: str = "") -> Iterator[None]:
        self._program.loops.append(Loop(self._program.depth + (leaves == "break"), kept, leaves))
        try:
            yield
        finally:
            self._program.loops.pop()

    @contextmanager
    def _at_run_time(
        self, statements: object, *, repeats: bool = False
    ) -> Iterator[Callable[[Sequence[ast.Statement] | Callable[[], None]], None]]:
        """Prepare blocks of which only the run decides whether they run, and yield what carries out one of them.

        What they write is in bits of the circuit before and after. ``repeats`` says that they may run again after
        themselves.
        """
        program = self._program
        affected = [variable for variable in self._affected(statements) if variable.type.cells is not None]
        for variable in affected:
            if variable.home is None:
                program.give_bits(variable)
            program.flush(variable)
            if repeats:
                program.forget(variable)
        before = [variable.value for variable in affected]

        def begin(block: Sequence[ast.Statement] | Callable[[], None]) -> None:
            for variable, value in zip(affected, before, strict=True):
                variable.value = value
                variable.pending.clear()
            program.depth += 1
            try:
                with program.inside():
                    block() if callable(block) else self._carry_out(block)
                for variable in affected:
                    program.flush(variable)
            except Leave as leave:
                if leave.how != "dead":
                    raise
            finally:
                program.depth -= 1

        yield begin
        for variable in affected:
            variable.pending.clear()
            program.forget(variable)

    def _affected(self, statements: object) -> Iterable[Variable]:
        found: dict[int, Variable] = {}
        for name in sorted(syntax.written(statements)):
            symbol = self._program.scope.find(name)
            if isinstance(symbol, Variable):
                found[id(symbol)] = symbol
            elif isinstance(symbol, Name):
                for variable, _ in symbol.bits:
                    found[id(variable)] = variable
        return found.values()
