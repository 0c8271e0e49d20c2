"""Requests and replies of the vendor's REST API, as botocore's own description of the service has them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, Shape
from botocore.validate import ParamValidator


class Refused(Exception):
    """A call is answered with an error of the API."""

    def __init__(self, code: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        """``details``: further members of the error."""
        super().__init__(message)
        self.code, self.message, self.details = code, message, details or {}


class ServiceApi:
    """A service whose protocol is rest-json."""

    def __init__(self, service: str) -> None:
        self._model = ServiceModel(Loader().load_service_model(service, "service-2"), service)
        self._validator = ParamValidator()
        self._routes = [
            (model.http["method"], _pattern(model.http["requestUri"]), model)
            for model in map(self._model.operation_model, self._model.operation_names)
        ]

    def route(self, method: str, raw_path: str) -> tuple[OperationModel, dict[str, str]] | None:
        """Return the operation and the members that the path gives; None where there is no such operation.

        Args:
            method: such as ``GET``.
            raw_path: as it was sent: a slash inside a member is ``%2F``.
        """
        for own, pattern, model in self._routes:
            if own == method and (match := pattern.fullmatch(raw_path)):
                return model, {name: unquote(value) for name, value in match.groupdict().items()}
        return None

    def request(self, model: OperationModel, path: Mapping[str, str], query: str, body: bytes) -> dict[str, Any]:
        """Return the members of a request.

        Raises:
            Refused: it is not as the service's description says.
        """
        shape = model.input_shape
        if shape is None:
            return {}
        queried = parse_qs(query, keep_blank_values=True)
        try:
            plain = json.loads(body) if body else {}
        except ValueError:
            raise Refused("ValidationException", "the body is not JSON") from None
        if not isinstance(plain, dict):
            raise Refused("ValidationException", "the body is not a JSON object")
        found: dict[str, Any] = {}
        for name, member in shape.members.items():
            place = member.serialization.get("location")
            key = member.serialization.get("name", name)
            if place == "uri":
                found[name] = path[key]
            elif place == "querystring":
                if key in queried:
                    found[name] = queried[key] if member.type_name == "list" else queried[key][0]
            elif plain.get(key) is not None:
                found[name] = plain[key]
        known = {member.serialization.get("name", name) for name, member in shape.members.items()}
        if unknown := sorted(set(plain) - known):
            raise Refused("ValidationException", f"unknown member {unknown[0]!r} of {model.name}")
        self._check(found, shape)
        return found

    def reply(self, model: OperationModel, values: Mapping[str, Any]) -> tuple[int, bytes]:
        """Return status and body of a reply.

        Raises:
            AssertionError: the values are not as the service's description says: a defect here.
        """
        shape = model.output_shape
        status = int(model.http.get("responseCode", 200))
        if shape is None:
            return status, b"{}"
        try:
            self._check(values, shape)
        except Refused as error:
            raise AssertionError(f"reply of {model.name}: {error}") from error
        return status, json.dumps(values, default=_timestamp).encode()

    def error_status(self, code: str) -> int:
        """Return the HTTP status of an error of the service."""
        found = next((shape for shape in self._model.error_shapes if shape.name == code), None)
        return 400 if found is None else int(found.metadata["error"]["httpStatusCode"])

    def error_of_status(self, model: OperationModel, status: int) -> str:
        """Return the operation's error with this HTTP status; for others of servers what the service calls itself."""
        for shape in model.error_shapes:
            if shape.metadata["error"]["httpStatusCode"] == status:
                return str(shape.name)
        return "InternalServiceException" if status >= 500 else "ValidationException"

    def _check(self, values: Mapping[str, Any], shape: Shape) -> None:
        report = self._validator.validate(values, shape)
        if report.has_errors():
            raise Refused("ValidationException", " ".join(report.generate_report().split("\n")))
        _check_limits(values, shape, shape.name)


def _pattern(uri: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(uri)))


def _check_limits(value: Any, shape: Shape, where: str) -> None:
    """Check what botocore leaves to the server: highest lengths and numbers, patterns, enumerations."""
    limits = shape.metadata
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            if name in value:
                _check_limits(value[name], member, f"{where}.{name}")
        return
    if shape.type_name == "list":
        for index, item in enumerate(value):
            _check_limits(item, shape.member, f"{where}[{index}]")
    if shape.type_name == "map":
        for key, item in value.items():
            _check_limits(item, shape.value, f"{where}[{key!r}]")
    size = value if shape.type_name in ("integer", "long", "float", "double") else None
    if shape.type_name in ("string", "list", "map"):
        size = len(value)
    if "max" in limits and size is not None and size > limits["max"]:
        raise Refused("ValidationException", f"{where}: {size} is more than {limits['max']}")
    if shape.type_name == "string":
        if "pattern" in limits and not re.search(limits["pattern"], value):
            raise Refused("ValidationException", f"{where}: {value!r} does not match {limits['pattern']}")
        if "enum" in limits and value not in limits["enum"]:
            raise Refused("ValidationException", f"{where}: {value!r} is none of {', '.join(limits['enum'])}")


def _timestamp(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    raise TypeError(f"{type(value).__name__} is not JSON")
