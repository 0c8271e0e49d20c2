"""Prepares the process of a Dask worker, which loads this module at its start."""

from __future__ import annotations

import logging
import os
from typing import Any

from qonverge.client.program.metrics_listener import listen


def dask_setup(_worker: Any) -> None:
    """Answer scrapes of what its tasks count."""
    # In this process it says that the worker died where its nanny has ended in good order.
    logging.getLogger("distributed.nanny").setLevel(logging.CRITICAL)
    listen(os.environ)
