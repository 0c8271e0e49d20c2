"""How much room a value takes in an object of the API server. Pure."""

from __future__ import annotations

import json
from typing import Any

from qonverge.api import HybridJob, HybridJobStatus

MOST_STORED = 1_500_000
"""Bytes of an object: etcd's limit is 1.5 MiB, and its metadata takes some.

Of one that is larger, the API server drops metadata.managedFields, which server-side apply needs, before it refuses it.
"""
# kubectl apply writes the whole specification into an annotation too, unless it is larger than annotations may be.
_MOST_ANNOTATIONS = 262_144
# Go writes these as six characters, so that JSON may stand in HTML.
_ESCAPED = {"<": 5, ">": 5, "&": 5, "\u2028": 3, "\u2029": 3}
# What metadata.managedFields has of a key beside the key in quotes and a comma: "f:KEY":{},
_MANAGED = 5
# What it has more of one whose value is a map: ".":{},
_MANAGED_MAP = 8
# How many times its JSON a value takes where it is stored, at most: a character may become six, all of it may be keys,
# which are stored twice, and each key with its value has at least five bytes.
_MOST_GROWTH = 15


def stored_size(value: Any) -> int:
    """Return the bytes that a JSON value takes where it is stored, with the records of who manages each of its keys."""
    # A list has one manager as a whole.
    size, maps = _json_size(value), [value] if isinstance(value, dict) else []
    while maps:
        level = maps.pop()
        below = [each for each in level.values() if isinstance(each, dict)]
        size += _json_size(list(level)) + _MANAGED * len(level) + _MANAGED_MAP * len(below)
        maps += below
    return size


def stored_with(job: HybridJob, status: HybridJobStatus) -> int:
    """Return the bytes that a job takes with a status."""
    spec = stored_size(job.to_dict()["spec"])
    return spec + (spec if spec <= _MOST_ANNOTATIONS else 0) + stored_size(status.to_dict())


def surely_stored(job: HybridJob, status: HybridJobStatus) -> bool:
    """Return whether a job with a status is so small that ``stored_with`` need not be counted, which takes longer."""
    spec, own = job.spec.model_dump_json(by_alias=True), status.model_dump_json(by_alias=True)
    return _MOST_GROWTH * (2 * len(spec.encode()) + len(own.encode())) <= MOST_STORED


def _json_size(value: Any) -> int:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return len(text.encode()) + sum(text.count(character) * more for character, more in _ESCAPED.items())
