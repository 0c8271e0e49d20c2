"""Which qubits are connected."""

from __future__ import annotations

from collections.abc import Iterable


def connected(qubits: Iterable[int], pairs: Iterable[tuple[int, int]]) -> tuple[tuple[int, ...], ...]:
    """Return the sets of qubits that pairs connect, the largest first, each sorted; pairs with others do not count."""
    near: dict[int, list[int]] = {qubit: [] for qubit in qubits}
    for a, b in pairs:
        if a in near and b in near:
            near[a].append(b)
            near[b].append(a)
    found: list[tuple[int, ...]] = []
    done = set[int]()
    for qubit in near:
        if qubit in done:
            continue
        part, waiting = {qubit}, [qubit]
        while waiting:
            further = {other for other in near[waiting.pop()] if other not in part}
            part |= further
            waiting += further
        done |= part
        found.append(tuple(sorted(part)))
    return tuple(sorted(found, key=lambda part: (-len(part), part)))
