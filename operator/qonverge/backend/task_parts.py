"""A task in parts that several workers run at the same time, and one result of theirs. Without any input or output.

The result is the same however many parts there are. What is exact may be cut between any two parameter sets. What is
drawn is always cut into the same blocks, each with a seed of its own that follows from the pub's place and the block's
first set, and a part has whole blocks: so nothing is asked of an engine but that the same seed gives the same.
"""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qonverge.circuits.analysis.measurement_plan import DEFAULT_SHOTS
from qonverge.wire.messages import Pub, PubResult, Task

# A further run of an engine, message and merge cost 1 to 2 ms (estimated from the turns of loops), little beside a part
# of this length.
_PART_SECONDS = 0.02
# What a set takes at least in Aer, as one of many in a run (measured: 0.33 ms); what is known of a circuit counts more.
_SET_SECONDS = 0.0003
# Blocks of fewer shots cost more to begin than they take.
_BLOCK_SHOTS = 65_536
_MOST_BLOCKS = 8
_MOST_CUTS = 64
_REMEMBERED = 4096


Block = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive parameter sets of one pub."""

    index: int
    """The pub's place in the task."""
    first: int
    """The first set's place in the pub."""
    pub: Pub
    """What to run."""
    blocks: tuple[Block, ...]
    """In which blocks, in order: sets and seed of each."""
    whole: bool
    rows: NDArray[np.intp] | None = None
    """Of a pub with pairs, which of them are the piece's."""


class Costs:
    """Seconds that a parameter set of a circuit took, as last measured."""

    def __init__(self) -> None:
        """Know none."""
        self._known: OrderedDict[tuple[object, ...], float] = OrderedDict()

    def of(self, pub: Pub) -> float:
        """Return the seconds for all sets of the pub."""
        return self._known.get(_kind(pub), _SET_SECONDS) * pub.sets

    def note(self, pub: Pub, seconds: float) -> None:
        """Take what a pub, or a piece of one, has taken."""
        if pub.empty:
            return
        key = _kind(pub)
        self._known[key] = seconds / pub.sets
        self._known.move_to_end(key)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def _kind(pub: Pub) -> tuple[object, ...]:
    return pub.circuit, pub.shots, pub.precision, len(pub.observables), pub.statevector


def cut(task: Task, seed: int, most: int, costs: Costs) -> list[list[Piece]]:
    """Return the task in 1 to ``most`` parts of about the same cost, as many as pay."""
    total = sum(costs.of(pub) for pub in task.pubs)
    count = max(1, min(most, int(total / _PART_SECONDS)))
    pieces = [piece for index, pub in enumerate(task.pubs) for piece in _pieces(index, pub, seed, fine=count > 1)]
    parts: list[list[Piece]] = [[] for _ in range(count)]
    done = 0.0
    for piece in pieces:
        cost = costs.of(piece.pub)
        # Where its middle falls says to which part it belongs; a task of empty pubs has one part and no cost.
        part = parts[min(count - 1, int((done + cost / 2) / total * count))] if total else parts[0]
        done += cost
        if part and part[-1].index == piece.index and part[-1].first + part[-1].pub.sets == piece.first:
            part[-1] = _joined(task.pubs[piece.index], part[-1], piece)
        else:
            part.append(piece)
    return [part for part in parts if part]


def exact(pub: Pub) -> bool:
    """Return whether the pub's answer is exact, so that no seed changes it."""
    return pub.statevector or (pub.estimates and pub.shots is None and pub.precision is None)


def _joined(pub: Pub, before: Piece, piece: Piece) -> Piece:
    end = piece.first + piece.pub.sets
    # What is exact is one run, however it was cut.
    blocks = ((end - before.first, before.blocks[0][1]),) if exact(pub) else before.blocks + piece.blocks
    return _piece(piece.index, pub, before.first, end, blocks)


def run_blocks(pub: Pub, blocks: Sequence[Block], run: Callable[[Pub, int], PubResult]) -> PubResult:
    """Return a piece's result: ``run`` gets each block's sets and seed."""
    if len(blocks) == 1:
        return run(pub, blocks[0][1])
    merge, first = Merge((pub,)), 0
    for sets, seed in blocks:
        block = _piece(0, pub, first, first + sets, ((sets, seed),))
        # Sets of which nothing is wanted are not run.
        if block.rows is None or block.rows.size:
            merge.put(block, run(block.pub, seed))
        first += sets
    return merge.results()[0]


def run_each(pub: Pub, seed: int, run: Callable[[Pub, int], PubResult]) -> PubResult:
    """Return a pub's result: ``run`` gets its parameter sets one by one, each with a seed of its own."""
    if not _cuttable(pub):
        return run(pub, seed)
    return run_blocks(pub, [(1, (seed + place) % 2**32) for place in range(pub.sets)], run)


def _pieces(index: int, pub: Pub, seed: int, *, fine: bool) -> list[Piece]:
    own, sets = (seed + 104_729 * index) % 2**32, pub.sets
    if exact(pub):
        blocks = min(sets, _MOST_CUTS) if fine else 1
    elif pub.precision is not None:
        # How many shots that needs depends on the pairs that are measured together.
        blocks = 1
    else:
        blocks = min(sets, _MOST_BLOCKS, math.ceil(sets * (pub.shots or DEFAULT_SHOTS) / _BLOCK_SHOTS))
    if blocks <= 1 or not _cuttable(pub):
        return [Piece(index, 0, pub, ((sets, own),), True)]
    bounds = [sets * block // blocks for block in range(blocks + 1)]
    pieces = []
    for first, end in itertools.pairwise(bounds):
        piece = _piece(index, pub, first, end, ((end - first, (own + first) % 2**32),))
        # Sets of which nothing is wanted are not run.
        if piece.rows is None or piece.rows.size:
            pieces.append(piece)
    return pieces


def _cuttable(pub: Pub) -> bool:
    """Whether the pairs are ones of this pub: the engine refuses others, with a sentence."""
    return pub.pairs is None or bool(
        pub.pairs.size and pub.pairs.min() >= 0 and (pub.pairs < np.array([pub.sets, len(pub.observables)])).all()
    )


def _piece(index: int, pub: Pub, first: int, end: int, blocks: tuple[Block, ...]) -> Piece:
    parameters = {name: values[first:end] for name, values in pub.parameters.items()}
    if pub.pairs is None:
        return Piece(index, first, replace(pub, parameters=parameters), blocks, end - first == pub.sets)
    (rows,) = np.nonzero((pub.pairs[:, 0] >= first) & (pub.pairs[:, 0] < end))
    pairs = pub.pairs[rows] - np.array([first, 0], dtype=np.int32)
    return Piece(index, first, replace(pub, parameters=parameters, pairs=pairs), blocks, end - first == pub.sets, rows)


@dataclass(slots=True)
class _Growing:
    """The result of a pub of which pieces come."""

    sample: PubResult
    counts: list[Any]
    registers: dict[str, tuple[int, NDArray[np.uint8]]] = field(default_factory=dict)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)


class Merge:
    """Puts the pieces' results together, in whatever order they come; each is copied once, and then not needed."""

    def __init__(self, pubs: Sequence[Pub]) -> None:
        """Expect the pieces of these pubs."""
        self._pubs = pubs
        self._done: list[PubResult | None] = [None] * len(pubs)
        self._growing: dict[int, _Growing] = {}

    def put(self, piece: Piece, result: PubResult) -> None:
        """Take the result of a piece."""
        if piece.whole:
            self._done[piece.index] = result
            return
        pub, first, end = self._pubs[piece.index], piece.first, piece.first + piece.pub.sets
        own = self._growing.get(piece.index)
        if own is None:
            sample = replace(result, counts=(), registers={}, statevectors=None)
            own = self._growing[piece.index] = _Growing(sample, [None] * pub.sets)
        if result.counts:
            own.counts[first:end] = result.counts
        for name, (bits, array) in result.registers.items():
            if name not in own.registers:
                own.registers[name] = (bits, np.empty((pub.sets, *array.shape[1:]), array.dtype))
            own.registers[name][1][first:end] = array
        place: Any = slice(first, end) if piece.rows is None else piece.rows
        length = pub.sets if pub.pairs is None else len(pub.pairs)
        for name in ("expectation_values", "standard_errors", "statevectors"):
            if (array := getattr(result, name)) is not None:
                if name not in own.arrays:
                    own.arrays[name] = np.empty((length, *array.shape[1:]), array.dtype)
                own.arrays[name][place] = array

    def results(self) -> tuple[PubResult, ...]:
        """Return the results of all pubs, when every piece was put."""
        found = []
        for index, done in enumerate(self._done):
            if done is not None:
                found.append(done)
                continue
            own = self._growing[index]
            counts = tuple(own.counts) if own.counts[0] is not None else ()
            more: dict[str, Any] = {"counts": counts, "registers": own.registers, **own.arrays}
            found.append(replace(own.sample, **more))
        return tuple(found)
