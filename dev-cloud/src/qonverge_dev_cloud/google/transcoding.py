"""Requests and replies of the REST form of the API, as Google's own client of cirq-google describes it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import proto
from cirq_google.cloud import quantum
from cirq_google.cloud.quantum_v1alpha1.services.quantum_engine_service.transports import rest_base
from google.protobuf import json_format
from google.protobuf.message import Message

from qonverge_dev_cloud.google.errors import Refused

_FIELD = re.compile(r"\\{(\w+)=([^}]+)\\}")
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Route:
    """An operation at a path."""

    operation: str
    method: str
    path: re.Pattern[str]
    body: str
    """The field of the request that the body is; * for all of it, empty for none."""


@cache
def routes() -> tuple[Route, ...]:
    """Return all operations that the client describes."""
    found = []
    for name, kind in vars(rest_base._BaseQuantumEngineServiceRestTransport).items():
        options = getattr(kind, "_get_http_options", None)
        for option in options() if options is not None else ():
            method, path = option["method"].upper(), _path(option["uri"])
            found.append(Route(name.removeprefix("_Base"), method, path, option.get("body", "")))
    return tuple(found)


def route(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """Return the operation, and the fields of its request that the path gives; None where there is none."""
    for own in routes():
        if own.method == method and (match := own.path.fullmatch(path)):
            return own, match.groupdict()
    return None


def request_type(operation: str) -> Any:
    """Return the class of an operation's requests."""
    return getattr(quantum, f"{operation}Request")


def request(own: Route, path: Mapping[str, str], query: Mapping[str, str], body: bytes) -> Any:
    """Return the request.

    Raises:
        Refused: it is none.
    """
    try:
        sent = json.loads(body) if body else {}
        if not isinstance(sent, dict):
            raise Refused("INVALID_ARGUMENT", "the body is no JSON object")
        plain: dict[str, Any] = dict(sent) if own.body == "*" else {own.body: sent} if own.body else {}
        plain |= {name: _BOOLEANS.get(value, value) for name, value in query.items() if not name.startswith("$")}
        plain |= path
        kind = request_type(own.operation)
        return kind(json_format.ParseDict(plain, kind.pb(kind())))
    except (ValueError, json_format.ParseError) as error:
        raise Refused("INVALID_ARGUMENT", f"the request is no {own.operation}Request: {error}") from None


def reply(message: Any, *, numbers: bool) -> str:
    """Return a message as JSON.

    Args:
        message: of proto-plus, or of protocol buffers.
        numbers: whether enumerations are numbers, as Google's client asks for.
    """
    plain: Message = type(message).pb(message) if isinstance(message, proto.Message) else message
    return str(json_format.MessageToJson(plain, indent=None, use_integers_for_enums=numbers))


def _path(uri: str) -> re.Pattern[str]:
    def field(match: re.Match[str]) -> str:
        return f"(?P<{match[1]}>{match[2].replace(re.escape('*'), '[^/]+')})"

    return re.compile(_FIELD.sub(field, re.escape(uri)))
