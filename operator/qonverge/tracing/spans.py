"""Spans as values, and what they belong to. Nothing here imports OpenTelemetry."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

Kind = Literal["INTERNAL", "SERVER", "CLIENT"]
Value = str | int | float | bool
Attributes = Mapping[str, Value | None]
"""By the names of OpenTelemetry's semantic conventions, and ours after ``qonverge.``; None: left out."""

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_LONGEST = 512
_TRACE_DIGITS, _SPAN_DIGITS = 32, 16


@dataclass(frozen=True, slots=True)
class SpanContext:
    """Which span of which trace, as the W3C recommendation Trace Context has it."""

    trace_id: str
    """32 hexadecimal digits, not all 0."""
    span_id: str
    """16 of them."""
    sampled: bool = True
    """Whether spans of the trace are recorded."""

    @classmethod
    def parse(cls, text: str) -> SpanContext | None:
        """Return the context that a ``traceparent`` is; None for one that is to be passed over."""
        found = _TRACEPARENT.fullmatch(text) if len(text) <= _LONGEST else None
        if found is None or (found[4] and text.startswith("00")):
            return None
        if not int(found[1], 16) or not int(found[2], 16):
            return None
        return cls(found[1], found[2], bool(int(found[3], 16) & 1))

    @classmethod
    def new(cls) -> SpanContext:
        """Return the first span of a trace of its own."""
        return cls(os.urandom(_TRACE_DIGITS // 2).hex(), os.urandom(_SPAN_DIGITS // 2).hex())

    @property
    def traceparent(self) -> str:
        """The form that travels."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    def child(self) -> SpanContext:
        """Return another span of the trace."""
        return replace(self, span_id=os.urandom(_SPAN_DIGITS // 2).hex())

    def named(self, *names: str | int) -> SpanContext:
        """Return another span of the trace, the same one in every process that gives the same names."""
        return replace(self, span_id=digits(_SPAN_DIGITS, *names))


def digits(count: int, *names: str | int) -> str:
    """Return so many hexadecimal digits, which follow from the names."""
    return hashlib.sha256("\0".join(map(str, names)).encode()).hexdigest()[:count]


def trace_id_of(*names: str) -> str:
    """Return the id of a trace, which follows from the names."""
    return digits(_TRACE_DIGITS, "trace", *names)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a span."""

    name: str
    at: float
    """Unix seconds."""
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """A span that has ended."""

    name: str
    context: SpanContext
    parent: SpanContext | None
    start: float
    """Unix seconds."""
    end: float
    kind: Kind = "INTERNAL"
    attributes: Attributes = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    error: str = ""
    """Why it failed, as one word such as the name of an error; empty where it did not."""


class SpanSink(Protocol):
    """Takes spans that have ended."""

    def add(self, span: Span) -> None:
        """Take a span, from any thread. Never waits and never fails."""

    def samples(self, trace_id: str) -> bool:
        """Return whether a trace that begins here is recorded: the same in every process of the same settings."""

    def close(self) -> None:
        """Send what is left; returns soon, also where nobody takes it."""


@dataclass(frozen=True, slots=True)
class SpanScope:
    """A span under which others are recorded."""

    sink: SpanSink
    context: SpanContext
    clock: Callable[[], float] = time.time
    """Unix seconds."""

    def record(
        self,
        name: str,
        start: float,
        end: float,
        *,
        context: SpanContext | None = None,
        kind: Kind = "INTERNAL",
        attributes: Attributes | None = None,
        events: tuple[Event, ...] = (),
        error: str = "",
    ) -> None:
        """Record a span below this one, from ``start`` to ``end`` in Unix seconds; ``context`` is its own."""
        own = context or self.context.child()
        self.sink.add(Span(name, own, self.context, start, max(start, end), kind, attributes or {}, events, error))


@dataclass(slots=True)
class OpenSpan:
    """A span that has not ended."""

    scope: SpanScope | None
    """What is recorded below it; None where nothing is."""
    attributes: dict[str, Value | None] = field(default_factory=dict)
    error: str = ""
    """See ``Span.error``; that of an exception that leaves its block goes before."""

    @property
    def traceparent(self) -> str:
        """The form of it that travels; empty where nothing is recorded."""
        return "" if self.scope is None else self.scope.context.traceparent


@contextlib.contextmanager
def spanning(scope: SpanScope | None, name: str, *, kind: Kind = "INTERNAL") -> Iterator[OpenSpan]:
    """Record what happens until the end of the block as a span below ``scope``; without one nothing is recorded."""
    if scope is None:
        yield OpenSpan(None)
        return
    opened = OpenSpan(SpanScope(scope.sink, scope.context.child(), scope.clock))
    start = scope.clock()
    try:
        yield opened
    except asyncio.CancelledError:
        opened.attributes["qonverge.cancelled"] = True
        raise
    except BaseException as failure:
        # Only its name: what it says may have parts of a circuit in it.
        opened.error = type(failure).__name__
        raise
    finally:
        own, known, error = opened.scope, opened.attributes, opened.error
        assert own is not None
        scope.record(name, start, scope.clock(), context=own.context, kind=kind, attributes=known, error=error)
