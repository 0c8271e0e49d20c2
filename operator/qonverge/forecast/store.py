"""What was learned, as a text that a ConfigMap holds: numbers only, so that what is read back can run nothing."""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qonverge.forecast.intervals import MOST_SCORES, Floats, Tails
from qonverge.forecast.learning import State
from qonverge.forecast.learning_fidelity import FidelityModel
from qonverge.forecast.learning_models import MemoryModel, RunTimeModel
from qonverge.forecast.queue import QueueModel

VERSION = 1
MAX_BYTES = 900_000
"""A ConfigMap holds 1 MiB with its metadata."""

# Factors, scores, outcomes seen, outcomes since; then when, noise, levels, rise and fall.
_HEAD = struct.Struct("<BBIId5f")
_MOST_FACTOR = 40.0
_MOST_SCORE = 1e4
_MOST_NOISE = 100.0
_LONGEST_KEY = 600


class Key(NamedTuple):
    """Whose state it is."""

    kind: str
    """``seconds``, ``bytes``, ``wait`` or ``fidelity``."""
    backend: str
    """Namespace and name."""
    method: str = ""
    """As in the API; empty for the wait. Of a fidelity the digest of the calibration beneath it."""


FACTORS: Mapping[str, int] = {
    "seconds": len(RunTimeModel.prior.common),
    "bytes": len(MemoryModel.prior.common),
    "wait": len(QueueModel.cold(shared=False).state.factors),
    "fidelity": len(FidelityModel.prior.common),
}
"""Factors of a state, by kind: one with others was written by another version."""


class Damaged(ValueError):
    """A text that is no state; the message says why."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """States that were read, and what was left out and why, in sentences."""

    states: Mapping[Key, State]
    complaints: tuple[str, ...] = ()


def dump(states: Mapping[Key, State], limit: int = MAX_BYTES) -> str:
    """Return the states as JSON of at most so many bytes; those that were not updated for longest are left out."""
    entries: dict[str, str] = {}
    left = limit - len(_document({}))
    for key, state in sorted(states.items(), key=lambda item: (-item[1].updated, item[0])):
        name, text = json.dumps(list(key)), base64.b64encode(_pack(state)).decode()
        # As JSON has them: the name's quotes are escaped, and two pairs of quotes, a colon and a comma come with them.
        left -= len(json.dumps(name)) + len(text) + 4
        if left < 0:
            break
        entries[name] = text
    return _document(entries)


def _document(entries: Mapping[str, str]) -> str:
    return json.dumps({"version": VERSION, "states": entries}, separators=(",", ":"))


def load(text: str, limit: int = MAX_BYTES) -> Loaded:
    """Read what ``dump`` wrote. Never raises: what is damaged, hostile or of another version is left out and named."""
    if len(text) > limit:
        return Loaded({}, (f"what was learned is left out: it has {len(text)} bytes and at most {limit} are read",))
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Loaded({}, (f"what was learned is left out: it is not JSON ({type(error).__name__})",))
    if not isinstance(document, dict) or document.get("version") != VERSION:
        return Loaded({}, (f"what was learned is left out: it is not of version {VERSION}",))
    entries = document.get("states")
    if not isinstance(entries, dict):
        return Loaded({}, ("what was learned is left out: it has no states",))
    states, complaints = {}, []
    for name, entry in entries.items():
        try:
            key = _key(name)
            states[key] = _unpack(entry, FACTORS[key.kind])
        except Damaged as error:
            complaints.append(f"the state of {name[:100]!r} is left out: {error}")
    return Loaded(states, tuple(complaints))


def _key(name: str) -> Key:
    try:
        parts = json.loads(name) if len(name) <= _LONGEST_KEY else None
    except (ValueError, RecursionError):
        parts = None
    if not (isinstance(parts, list) and len(parts) == 3 and all(isinstance(part, str) for part in parts)):
        raise Damaged("its name is not a list of kind, backend and method")
    if parts[0] not in FACTORS:
        raise Damaged(f"there is no kind {parts[0][:20]!r}")
    return Key(*parts)


def _pack(state: State) -> bytes:
    scores, size = state.tails.scores, len(state.factors)
    head = _HEAD.pack(
        *(size, len(scores), min(state.seen, 2**32 - 1), state.since, state.updated, state.noise),
        *(state.tails.low_level, state.tails.high_level, state.rise, state.fall),
    )
    upper = state.covariance[np.triu_indices(size)]
    # Three digits of a score are enough for a quantile.
    halves = np.clip(scores, -_MOST_SCORE, _MOST_SCORE).astype("<f2")
    return b"".join((head, np.concatenate((state.factors, upper)).astype("<f4").tobytes(), halves.tobytes()))


def _unpack(entry: object, size: int) -> State:
    data = _decoded(entry)
    head = _HEAD.unpack_from(data)
    factors_size, kept, seen, since, updated, noise, low_level, high_level, rise, fall = head
    floats = size + size * (size + 1) // 2
    if factors_size != size or kept > MOST_SCORES or len(data) != _HEAD.size + 4 * floats + 2 * kept:
        raise Damaged(f"it has {factors_size} factors, {kept} scores and {len(data)} bytes, which do not go together")
    numbers = np.frombuffer(data, "<f4", floats, _HEAD.size).astype(np.float64)
    scores = np.frombuffer(data, "<f2", kept, _HEAD.size + 4 * floats).astype(np.float64)
    covariance = np.zeros((size, size))
    covariance[np.triu_indices(size)] = numbers[size:]
    covariance += np.triu(covariance, 1).T
    tails = Tails(tuple(scores.tolist()), low_level, high_level)
    state = State(numbers[:size], covariance, noise, tails, rise, fall, since, seen, updated)
    _check(state)
    return state


def _decoded(entry: object) -> bytes:
    if not isinstance(entry, str):
        raise Damaged("it is no text")
    try:
        data = base64.b64decode(entry, validate=True)
    except (binascii.Error, ValueError):
        raise Damaged("it is not in base64") from None
    if len(data) < _HEAD.size:
        raise Damaged(f"it has {len(data)} bytes, fewer than any state")
    return data


def _check(state: State) -> None:
    """Refuse numbers from which no forecast can be made, or one that never moves again."""
    for what, values, most in _bounded(state):
        if not (np.isfinite(values).all() and np.abs(values).max(initial=0.0) <= most):
            raise Damaged(f"its {what} are beyond {most:g}")
    if state.noise <= 0 or not (0 < state.tails.low_level < 0.5 and 0 < state.tails.high_level < 0.5):
        raise Damaged("its noise or levels are out of their range")
    if np.linalg.eigvalsh(state.covariance)[0] < -1e-4 * state.covariance.trace():
        raise Damaged("its covariance is none")


def _bounded(state: State) -> Iterator[tuple[str, Floats, float]]:
    yield "factors", state.factors, _MOST_FACTOR
    yield "covariances", state.covariance, _MOST_FACTOR**2
    yield "scores", np.array(state.tails.scores), _MOST_SCORE
    yield "noise and sums", np.array((state.noise, state.rise, state.fall)), _MOST_NOISE
    yield "times", np.array((state.updated,)), 1e12
