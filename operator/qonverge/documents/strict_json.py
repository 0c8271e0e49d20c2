"""JSON as its standard has it: no key twice, no NaN, no half characters; numbers as the API server understands them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from json.decoder import JSONObject  # type: ignore[attr-defined]  # the scanner in Python, which tells places
from json.scanner import py_make_scanner  # type: ignore[attr-defined]
from typing import Any

from qonverge.documents.excerpt import excerpt
from qonverge.documents.faults import Document, Fault, Unreadable, fault_at

_BLANK = re.compile(r"[ \t\r\n]*")
# Escapes, with those that are one half of a character beyond U+FFFF.
_ESCAPE = re.compile(r"\\(?:u[dD][89abAB]\w\w(?P<pair>\\u[dD][c-fC-F]\w\w)?|(?P<low>u[dD][c-fC-F]\w\w)|.)", re.DOTALL)
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
# Beyond this a float is no exact integer.
_MOST_EXACT = 2.0**53


def read_stream(text: str) -> list[Document]:
    """Return the values of a text, which may hold several one behind the other.

    Raises:
        Unreadable: with the place of the first fault after which nothing can be understood.
    """
    documents = []
    place = _blank_end(text, 0)
    while place < len(text):
        document, place = _read(text, place)
        documents.append(document)
        place = _blank_end(text, place)
    return documents


def loads(text: str) -> Any:
    """Return the one value of a text.

    Raises:
        Unreadable: with the place of its first fault.
    """
    place = _blank_end(text, 0)
    document, place = _read(text, place)
    place = _blank_end(text, place)
    if place < len(text):
        raise Unreadable(fault_at(text, place, "there is more text behind the value"))
    if document.faults:
        raise Unreadable(document.faults[0])
    return document.value


def number(text: str) -> int | float:
    """Return a number as the API server understands it: 10.0 and 1e1 are the integer 10.

    Raises:
        ValueError: it is out of the range of floats, or has thousands of digits.
    """
    try:
        whole = int(text)
    except ValueError:
        value = float(text)
    else:
        if -(2**63) <= whole < 2**63:
            return whole
        value = float(whole) if abs(whole) < 10**308 else math.inf
    if not math.isfinite(value):
        raise ValueError(f"the number {excerpt(text)} is out of range")
    return int(value) if value.is_integer() and abs(value) <= _MOST_EXACT else value


def _blank_end(text: str, place: int) -> int:
    found = _BLANK.match(text, place)
    assert found is not None
    return found.end()


def _read(text: str, place: int) -> tuple[Document, int]:
    twice = False

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal twice
        value = dict(items)
        twice = twice or len(value) < len(items)
        return value

    try:
        value, end = _decoder(pairs).raw_decode(text, place)
    except json.JSONDecodeError as error:
        raise Unreadable(fault_at(text, error.pos, error.msg)) from None
    except RecursionError:
        raise Unreadable(Fault("nested too deeply")) from None
    except ValueError as error:
        raise Unreadable(Fault(str(error))) from None
    if _HALF.search(text, place, end):
        for escape in _ESCAPE.finditer(text, place, end):
            if escape["low"] or (escape["pair"] is None and _HALF.match(escape[0])):
                raise Unreadable(fault_at(text, escape.start(), f"the escape {escape[0]} is half a character"))
    try:
        return Document(value, tuple(_twice(text, place)) if twice else ()), end
    except RecursionError:
        # The scanner in Python gives up sooner.
        raise Unreadable(Fault("nested too deeply, and with keys that are given twice")) from None


def _decoder(pairs: Callable[[list[tuple[str, Any]]], Any]) -> json.JSONDecoder:
    return json.JSONDecoder(object_pairs_hook=pairs, parse_int=number, parse_float=number, parse_constant=_refuse)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number that JSON has")


def _twice(text: str, place: int) -> list[Fault]:
    """Return where keys are given twice. The fast scanner does not tell where an object begins."""
    faults: list[Fault] = []
    decoder = _decoder(dict)

    def parse_object(
        text_and_end: tuple[str, int], strict: bool, scan_once: Any, _: Any, __: Any, memo: Any = None
    ) -> Any:
        begin, names = text_and_end[1] - 1, set[str]()

        def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
            for name, _ in items:
                if name in names:
                    problem = f"the object that begins here has the key {excerpt(name)} twice"
                    faults.append(fault_at(text, begin, problem))
                names.add(name)
            return dict(items)

        return JSONObject(text_and_end, strict, scan_once, None, pairs, memo)

    decoder.parse_object = parse_object  # type: ignore[attr-defined]  # what the scanner in Python calls
    py_make_scanner(decoder)(text, place)
    return faults
