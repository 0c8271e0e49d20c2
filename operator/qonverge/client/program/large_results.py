"""Results for which a job's status has no room: written as JSON a piece at a time, so that there is no second copy."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from qonverge.client.program.job_store import JobStore
from qonverge.client.program.json_form import JsonForm, name_of
from qonverge.client.program.points import index_of

# Values that become JSON together, and characters of a text.
_AT_ONCE = 4096
_PIECE_BYTES = 1024 * 1024
_MOST_DEPTH = 32
_NUMBERS = (float, int, bool)


def size_of(value: Any, enough: float = math.inf) -> int:
    """Return the bytes of a result as it stands in a status, or of its first part if that is more than ``enough``."""
    size = 0
    for piece in _document(JsonForm(), value):
        size += len(piece)
        if size > enough:
            break
    return size


def put_result(value: Any, form: JsonForm, environment: Mapping[str, str]) -> dict[str, Any] | None:
    """Put a result into the job's store, and return what the report says of it; None where there is no store.

    Args:
        value: the result.
        form: collects what JSON has no form for.
        environment: of the job.

    Raises:
        ResultTooLarge: it is more than the job may keep.
        StoreUnreachable: the store did not take it.
    """
    store = JobStore.from_environment(environment)
    if store is None:
        return None
    size, digest = 0, hashlib.sha256()

    def counted() -> Iterator[bytes]:
        nonlocal size, digest
        size, digest = 0, hashlib.sha256()
        form.problems.clear()
        for piece in _joined(_document(form, value)):
            size += len(piece)
            digest.update(piece)
            yield piece

    index = index_of(environment)
    store.put("result.json" if index is None else f"points/{index}.json", counted)
    return {"bytes": size, "sha256": digest.hexdigest()}


def _document(form: JsonForm, value: Any) -> Iterator[bytes]:
    yield b'{"value":'
    for text in _texts(form, value, "", 0):
        yield text.encode()
    yield b"}"


def _texts(form: JsonForm, value: Any, path: str, depth: int) -> Iterator[str]:
    """Yield the JSON of a value, as ``form`` has it."""
    if depth > _MOST_DEPTH:
        yield _json(form.of(value, path))
    elif isinstance(value, str) and len(value) > _AT_ONCE:
        yield '"'
        for begin in range(0, len(value), _AT_ONCE):
            yield _json(form.of(value[begin : begin + _AT_ONCE]))[1:-1]
        yield '"'
    elif isinstance(value, Mapping) and len({name_of(key) for key in value}) == len(value):
        yield "{"
        for number, (key, item) in enumerate(value.items()):
            name = name_of(key)
            yield ("," if number else "") + _json(name) + ":"
            yield from _texts(form, item, f"{path}.{name}" if path else name, depth + 1)
        yield "}"
    elif isinstance(value, list | tuple) or _is_array(value):
        yield "["
        for begin in range(0, len(value), _AT_ONCE):
            yield from _slice(form, value[begin : begin + _AT_ONCE], path, begin, depth)
        yield "]"
    else:
        yield _json(form.of(value, path))


def _slice(form: JsonForm, values: Any, path: str, begin: int, depth: int) -> Iterator[str]:
    """Yield some items of a list, with the comma in front of them that its others need."""
    if _is_array(values) and values.ndim == 1:
        values = values.tolist()
    if all(type(item) in _NUMBERS for item in values):
        numbers = JsonForm()
        plain = numbers.of(values)
        if not numbers.problems:
            yield ("," if begin else "") + _json(plain)[1:-1]
            return
    for number, item in enumerate(values, begin):
        if number:
            yield ","
        yield from _texts(form, item, f"{path}[{number}]", depth + 1)


def _is_array(value: Any) -> bool:
    return callable(getattr(value, "tolist", None)) and getattr(value, "ndim", 0) > 0 and not isinstance(value, type)


def _json(plain: Any) -> str:
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def _joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same in pieces that are worth a request's chunk each."""
    gathered = bytearray()
    for piece in pieces:
        gathered += piece
        if len(gathered) >= _PIECE_BYTES:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)
