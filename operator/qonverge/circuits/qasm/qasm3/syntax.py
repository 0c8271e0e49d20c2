"""What can be told of statements without evaluating them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from openqasm3 import ast

_LOOPS = (ast.ForInLoop, ast.WhileLoop)
_KEPT = (
    ast.QuantumGate,
    ast.QuantumPhase,
    ast.QuantumMeasurementStatement,
    ast.QuantumBarrier,
    ast.QuantumReset,
    ast.DelayInstruction,
    ast.BranchingStatement,
    ast.ForInLoop,
    ast.WhileLoop,
    ast.BreakStatement,
    ast.ContinueStatement,
    ast.CompoundStatement,
)


def below(node: object) -> Iterator[ast.QASMNode]:
    """Yield a node and all below it; of a list those of its items."""
    waiting = [node]
    while waiting:
        item = waiting.pop()
        if isinstance(item, ast.QASMNode):
            yield item
            waiting.extend(vars(item).values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)


def written(statements: object) -> frozenset[str]:
    """Return the names that assignments and measurements write."""
    names = set()
    for node in below(statements):
        if isinstance(node, ast.ClassicalAssignment):
            target: object = node.lvalue
        elif isinstance(node, ast.QuantumMeasurementStatement):
            target = node.target
        else:
            continue
        if isinstance(target, ast.IndexedIdentifier):
            target = target.name
        if isinstance(target, ast.Identifier):
            names.add(target.name)
    return frozenset(names)


def leaves(statements: Sequence[ast.QASMNode], *, branched: bool = False) -> frozenset[str]:
    """Return which of ``break`` and ``continue`` a branch of a loop's body has, nested loops left out."""
    found: set[str] = set()
    for node in statements:
        match node:
            case ast.BreakStatement():
                found.update(["break"] if branched else [])
            case ast.ContinueStatement():
                found.update(["continue"] if branched else [])
            case ast.BranchingStatement():
                found |= leaves([*node.if_block, *node.else_block], branched=True)
            case ast.SwitchStatement():
                blocks = [block for _, block in node.cases] + ([] if node.default is None else [node.default])
                for block in blocks:
                    found |= leaves(block.statements, branched=True)
            case ast.CompoundStatement():
                found |= leaves(node.statements, branched=branched)
    return frozenset(found)


def measures(statements: Sequence[ast.QASMNode]) -> bool:
    """Whether statements measure, or call what may."""
    kinds = (ast.QuantumMeasurement, ast.FunctionCall)
    return any(isinstance(node, kinds) for node in below(list(statements)))


def is_uniform(node: ast.ForInLoop, gates: frozenset[str]) -> bool:
    """Whether each iteration is the same, so that a circuit can hold the loop as one.

    Args:
        node: the loop.
        gates: names of all gates; what else stands for one is a subroutine.
    """
    for inner in below(node.block):
        if isinstance(inner, ast.Identifier) and inner.name == node.identifier.name:
            return False
        if isinstance(inner, ast.Statement) and not isinstance(inner, _KEPT):
            return False
        if isinstance(inner, ast.FunctionCall):
            return False
        if isinstance(inner, ast.QuantumGate) and inner.name.name not in gates:
            return False
    return True


def returned_name(node: ast.SubroutineDefinition) -> str | None:
    """Return the variable whose value a subroutine returns at its end, where it returns nowhere else."""
    returns = [inner for inner in below(node.body) if isinstance(inner, ast.ReturnStatement)]
    if len(returns) != 1 or not node.body or node.body[-1] is not returns[0]:
        return None
    expression = returns[0].expression
    return expression.name if isinstance(expression, ast.Identifier) else None
