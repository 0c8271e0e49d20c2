"""A program's requirements: which lists may share what was installed. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence


def key_of(requirements: Sequence[str], interpreter: str) -> str:
    """Return the name of the folder for a list of requirements, whatever its order.

    Args:
        requirements: the list.
        interpreter: what tells the interpreter and its packages from others, such as an image.
    """
    return hashlib.sha256(json.dumps([sorted(set(requirements)), interpreter]).encode()).hexdigest()[:24]
