"""A process that loads its libraries does not look for garbage meanwhile: that would take a tenth of the time."""

from __future__ import annotations

import gc
from collections.abc import Callable


def loading() -> Callable[[], None]:
    """Look for no garbage until what is returned is called; what is there by then is never looked at again."""
    gc.disable()

    def loaded() -> None:
        gc.freeze()
        gc.enable()

    return loaded
