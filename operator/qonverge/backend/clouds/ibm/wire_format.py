"""The JSON of IBM's primitives: jobs as they are written, and results as they are read.

It is that of ``RuntimeEncoder`` and ``RuntimeDecoder`` of qiskit-ibm-runtime, which tests compare it with, for what
jobs of the Sampler and the Estimator have. Their package takes 77 MiB to import.
"""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from qiskit import QuantumCircuit, qpy

QPY_VERSION = min(17, qpy.common.QPY_VERSION)
"""The newest that IBM's service reads, or that is written here."""


def written(value: Any) -> str:
    """Return a value as JSON, of plain values, circuits and arrays.

    Raises:
        TypeError: something is of another kind.
        ValueError: it holds a number that JSON does not have.
    """
    return json.dumps(value, default=_written, allow_nan=False)


def _written(value: Any) -> Any:
    file = io.BytesIO()
    if isinstance(value, QuantumCircuit):
        qpy.dump(value, file, version=QPY_VERSION)
        kind = "QuantumCircuit"
    elif isinstance(value, np.ndarray):
        np.save(file, value, allow_pickle=False)
        kind = "ndarray"
    else:
        raise TypeError(f"a {type(value).__name__} has no form in IBM's JSON")
    return {"__type__": kind, "__value__": base64.b64encode(zlib.compress(file.getvalue())).decode()}


def read(text: str) -> Any:
    """Return what a result has: arrays as such, and all else, such as registers' bits, as its fields.

    Raises:
        ValueError: it is no JSON.
    """
    return json.loads(text, object_hook=_read)


def _read(found: dict[str, Any]) -> Any:
    if "__type__" not in found:
        return found
    kind, value = found["__type__"], found.get("__value__")
    if kind == "ndarray" and isinstance(value, str):
        try:
            return np.load(io.BytesIO(zlib.decompress(base64.b64decode(value))), allow_pickle=False)
        except (ValueError, EOFError, zlib.error):
            # Metadata name extrapolators so; where an array is needed a text is none.
            return value
    if kind == "ndarray":
        return np.array(value)
    return value


def pub_results(text: str) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Return the fields and the metadata of each PUB's result.

    Raises:
        ValueError, LookupError, TypeError: the text is none of a primitive.
    """
    return [(own["data"]["fields"], own["metadata"]) for own in read(text)["pub_results"]]
