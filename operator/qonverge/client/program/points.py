"""At which point of its job's sweep this program runs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

from qonverge.documents import grids

_REFERENCE = re.compile(r"\$\(parameters\.([^()]+)\)")


def index_of(environment: Mapping[str, str]) -> int | None:
    """Return the number of the point at which the program runs, from 0; None where it is not swept.

    ``environment`` is one for which ``choose_point`` was called.
    """
    text = environment.get("QONVERGE_INDEX")
    return None if text is None else int(text)


def choose_point(environment: MutableMapping[str, str], arguments: Sequence[str]) -> list[str]:
    """Let the environment name the point of this process, with its parameters; see ``objects/points.py``.

    Args:
        environment: of the process.
        arguments: of the program.

    Returns:
        The arguments, with the point's values in place of references to them.
    """
    if (text := environment.get("QONVERGE_SWEEP")) is None:
        return list(arguments)
    number = int(environment["JOB_COMPLETION_INDEX"])
    if left := environment.get("QONVERGE_INDEXES"):
        number = grids.of_ranges(left)[number]
    own = grids.point(json.loads(text), number)
    known = json.loads(environment.get("QONVERGE_PARAMETERS") or "{}")
    environment["QONVERGE_INDEX"] = environment["JOB_COMPLETION_INDEX"] = str(number)
    environment["QONVERGE_PARAMETERS"] = json.dumps({**known, **own}, ensure_ascii=False, separators=(",", ":"))
    return [_REFERENCE.sub(lambda match: _text(own, match), argument) for argument in arguments]


def _text(own: Mapping[str, Any], match: re.Match[str]) -> str:
    if match[1] not in own:
        return match[0]
    value = own[match[1]]
    return value if isinstance(value, str) else json.dumps(value)
