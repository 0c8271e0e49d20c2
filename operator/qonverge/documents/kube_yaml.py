"""YAML as kubectl reads it: the words and numbers that its parser knows, keys as texts, and no key twice.

kubectl's parser (sigs.k8s.io/yaml) is a translation of libyaml, which reads the text here too. It resolves plain
scalars in its own way: ``1e3`` is a number, ``y`` and ``on`` are true, ``1:30`` and ``2026-01-31`` are texts.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from qonverge.documents.excerpt import excerpt
from qonverge.documents.faults import Document, Fault, Unreadable
from qonverge.documents.strict_json import number

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_MOST_DEPTH = 100
# Aliases of aliases unfold to any size; no object of a cluster has nearly as many values.
_MOST_VALUES = 2_000_000

_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_INTEGER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|[1-9][0-9]*|0)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


class _Node(NamedTuple):
    """A value, and how many values it unfolds to."""

    value: Any
    size: int


def read_stream(text: str) -> list[Document]:
    """Return the documents of a text.

    Raises:
        Unreadable: with the place of the first fault after which nothing can be understood.
    """
    try:
        events = yaml.parse(text, Loader=_LOADER)
        return [_Builder(events).document() for event in events if isinstance(event, yaml.events.DocumentStartEvent)]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(part for part in (error.context, error.problem) if part)
        raise Unreadable(_fault(mark, problem)) from None
    except yaml.reader.ReaderError as error:
        begin = text.rfind("\n", 0, error.position) + 1
        line, column = text.count("\n", 0, error.position) + 1, error.position - begin + 1
        code = error.character if isinstance(error.character, int) else ord(error.character)
        raise Unreadable(Fault(f"the character U+{code:04X} is not allowed in YAML", line, column)) from None


def _fault(mark: Any, problem: str) -> Fault:
    return Fault(problem) if mark is None else Fault(problem, mark.line + 1, mark.column + 1)


class _Builder:
    """Makes one document of the parser's events."""

    def __init__(self, events: Iterator[Any]) -> None:
        """Begin behind the event that starts the document."""
        self._events = events
        self._anchors: dict[str, _Node] = {}
        self._faults: list[Fault] = []

    def document(self) -> Document:
        node = self._node(next(self._events), 0)
        return Document(node.value, tuple(self._faults))

    def _node(self, event: Any, depth: int) -> _Node:
        if depth > _MOST_DEPTH:
            raise Unreadable(_fault(event.start_mark, "nested too deeply"))
        if isinstance(event, yaml.events.AliasEvent):
            if event.anchor not in self._anchors:
                raise Unreadable(_fault(event.start_mark, f"the anchor {excerpt(event.anchor)} is not defined before"))
            return self._anchors[event.anchor]
        if isinstance(event, yaml.events.ScalarEvent):
            node = _Node(_scalar(event), 1)
        elif isinstance(event, yaml.events.SequenceStartEvent):
            node = self._sequence(depth)
        else:
            node = self._mapping(depth)
        if node.size > _MOST_VALUES:
            raise Unreadable(_fault(event.start_mark, f"its aliases unfold to more than {_MOST_VALUES} values"))
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _sequence(self, depth: int) -> _Node:
        values, size = [], 1
        while not isinstance(event := next(self._events), yaml.events.SequenceEndEvent):
            node = self._node(event, depth + 1)
            values.append(node.value)
            size += node.size
        return _Node(values, size)

    def _mapping(self, depth: int) -> _Node:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        size = 1
        while not isinstance(event := next(self._events), yaml.events.MappingEndEvent):
            name = self._key(event, depth)
            begins = next(self._events)
            node = self._node(begins, depth + 1)
            size += node.size
            if name is None:
                for other in node.value if isinstance(node.value, list) else [node.value]:
                    if not isinstance(other, dict):
                        raise Unreadable(_fault(begins.start_mark, "<< takes a mapping, or a list of them"))
                    # kubectl's parser lets << win over what stands before it, other parsers never.
                    self._faults += [
                        _fault(event.start_mark, f"<< has the key {excerpt(both)} too: write << first")
                        for both in other.keys() & own.keys()
                    ]
                    merged = other | merged
            elif name in own:
                self._faults.append(_fault(event.start_mark, f"the key {excerpt(name)} is given twice"))
            else:
                own[name] = node.value
        return _Node(merged | own, size)

    def _key(self, event: Any, depth: int) -> str | None:
        """Return a key as JSON has it, None for one that merges another mapping."""
        plain = isinstance(event, yaml.events.ScalarEvent) and event.implicit[0]
        if plain and event.value == "<<":
            return None
        key = self._node(event, depth + 1).value
        if isinstance(key, str):
            return key
        if isinstance(key, int) and not isinstance(key, bool):
            return str(key)
        # kubectl takes these too, under names that nobody means, such as "true" for y.
        told = f"the key {event.value} is no text here" if plain else "a key is a text"
        raise Unreadable(_fault(event.start_mark, f"{told}: put it in quotes"))


def _scalar(event: Any) -> Any:
    text, tag = event.value, event.tag
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Unreadable(_fault(event.start_mark, "an escape in this text is half a character")) from None
    try:
        if tag == f"{_TAG}binary":
            return base64.b64decode(text, validate=False).decode()
        if tag in (None, "!") or (tag.startswith(_TAG) and tag != f"{_TAG}str"):
            return text if tag == "!" or (tag is None and not event.implicit[0]) else _resolved(text)
    except (binascii.Error, ValueError) as error:
        raise Unreadable(_fault(event.start_mark, str(error))) from None
    if tag == f"{_TAG}str":
        return text
    raise Unreadable(_fault(event.start_mark, f"the tag {excerpt(tag)} is not known"))


def _resolved(text: str) -> Any:
    """Return what a plain scalar means.

    Raises:
        ValueError: it is a number that JSON does not have.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    plain = text.replace("_", "") if text[:1] in "+-0123456789" else text
    if _INTEGER.fullmatch(plain):
        digits = plain.lstrip("+-")
        octal = len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()
        whole = int(plain, 8 if octal else 0)
        return number(str(whole)) if whole.bit_length() < 1024 else number(plain)
    if _FLOAT.fullmatch(plain):
        return number(plain)
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is no number that JSON has")
    return text
