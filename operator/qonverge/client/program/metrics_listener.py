"""The port on which a program's pod tells its metrics."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Mapping


def listen(environment: Mapping[str, str]) -> int | None:
    """Answer scrapes in a thread, and return on which port; None where nobody may ask.

    The environment has the address in ``QONVERGE_METRICS_LISTEN``, such as ``0.0.0.0:8079``, or nobody may. What
    answers is imported when somebody first asks: most programs are over before.
    """
    if not (address := environment.get("QONVERGE_METRICS_LISTEN")):
        return None
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host.strip("[]"), int(port)), family=family)
    except (OSError, ValueError) as error:
        # The program goes on without.
        print(f"qonverge: no metrics at {address}: {error}", file=sys.stderr, flush=True)
        return None
    threading.Thread(target=_answer, args=(listener,), name="qonverge-metrics", daemon=True).start()
    own: int = listener.getsockname()[1]
    return own


def _answer(listener: socket.socket) -> None:
    while True:
        connection, peer = listener.accept()
        with connection:
            try:
                from qonverge.client.program.metrics import answer
            except ModuleNotFoundError as error:
                # An image of one's own may have less than the client asks for.
                print(f"qonverge: no metrics: {error.name} is missing", file=sys.stderr, flush=True)
                listener.close()
                return
            answer(connection, peer)
