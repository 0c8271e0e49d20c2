"""Lets MPI start in the ranks of a program where there is no ``mpiexec``: a process beside each rank.

An MPI library that is built with MPICH's process management interface (PMI-1, as MPICH and Intel MPI are) finds its
peers through a small table that ``mpiexec`` serves on ``PMI_PORT``. Here the table is beside rank 0, and beside the
other ranks something that waits until it is there and passes lines on. What ranks send each other afterwards goes from
process to process by MPI's own means.

It is a process of its own, since MPI starts with Python's lock held, and runs as a file, which takes 20 ms. The wire is
that of ``PMI_Init`` and its like in MPICH's ``src/pmi`` (lines of ``cmd=NAME key=value ...``).
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import MutableMapping
from pathlib import Path

_LONGEST = 65_536
_AGAIN_SECONDS = 0.2
_MAXIMA = "cmd=maxes kvsname_max=256 keylen_max=64 vallen_max=4096"
_VERSION = "pmi_version=1 pmi_subversion=1"


def begin(environment: MutableMapping[str, str]) -> None:
    """Start the process beside this rank, and let MPI find it; do nothing outside of parallel programs.

    The environment has ``QONVERGE_RENDEZVOUS``, the address beside rank 0 as ``host:port``.
    """
    address = environment.get("QONVERGE_RENDEZVOUS")
    if not address or importlib.util.find_spec("mpi4py") is None:
        return
    rank, size = environment["QONVERGE_RANK"], environment["QONVERGE_WORLD_SIZE"]
    # No site and no environment: it needs Python's own library only.
    command = [sys.executable, "-I", "-S", __file__, address, rank, size]
    # It ends when this end of its input is closed: not by Python, after whose end MPI's comes, but with this process.
    reading, _held = os.pipe()
    beside = subprocess.Popen(command, stdin=reading, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own
    os.close(reading)
    assert beside.stdout is not None
    environment["PMI_PORT"] = f"127.0.0.1:{beside.stdout.readline().strip()}"
    environment["PMI_ID"] = rank
    # Containers have little shared memory.
    environment.setdefault("MPIR_CVAR_NOLOCAL", "1")


def left_behind(process: int | str = "self") -> list[Path]:
    """Return the files of shared memory that MPI made in a process, and which it removes only when that ends well."""
    try:
        mapped = Path(f"/proc/{process}/maps").read_text(errors="replace").splitlines()
    except OSError:
        # It is gone, or this is no Linux.
        return []
    return sorted({Path(line.split()[-1]) for line in mapped if " /dev/shm/mpich_" in line})


class Table:
    """What ranks tell each other before they are connected."""

    def __init__(self, size: int) -> None:
        """Begin with nothing; ``size`` ranks take part."""
        self.size = size
        # Names of shared memory are made of it, which those of another program on this machine must not be.
        self._name = f"qonverge-{secrets.token_hex(8)}"
        self._values: dict[str, str] = {}
        self._changed = threading.Condition()
        self._waiting = 0
        self._round = 0

    def answer(self, line: str) -> list[str]:
        """Return the lines that answer one of a rank; of a barrier only when all ranks are there."""
        given = dict(part.split("=", 1) for part in line.split() if "=" in part)
        match given.get("cmd"):
            case "initack":
                return ["cmd=initack", f"cmd=set size={self.size}", f"cmd=set rank={given['pmiid']}", "cmd=set debug=0"]
            case "init":
                return [f"cmd=response_to_init {_VERSION} rc=0"]
            case "get_maxes":
                return [_MAXIMA]
            case "get_universe_size":
                return [f"cmd=universe_size size={self.size}"]
            case "get_appnum":
                return ["cmd=appnum appnum=0"]
            case "get_my_kvsname":
                return [f"cmd=my_kvsname kvsname={self._name}"]
            case "put":
                with self._changed:
                    self._values[given["key"]] = line.partition("value=")[2]
                return ["cmd=put_result rc=0 msg=success"]
            case "get":
                with self._changed:
                    value = self._values.get(given["key"])
                if value is None:
                    return ["cmd=get_result rc=-1 msg=key_not_found value=unknown"]
                return [f"cmd=get_result rc=0 msg=success value={value}"]
            case "barrier_in":
                self._meet()
                return ["cmd=barrier_out"]
            case "finalize":
                return ["cmd=finalize_ack"]
            case command:
                # Processes cannot be spawned here, and names not be published.
                return [f"cmd={command or 'unknown'}_result rc=-1 msg=not_supported"]

    def _meet(self) -> None:
        with self._changed:
            own = self._round
            self._waiting += 1
            if self._waiting == self.size:
                self._waiting, self._round = 0, own + 1
                self._changed.notify_all()
            self._changed.wait_for(lambda: self._round != own)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[socketserver.BaseRequestHandler]) -> None:
        """Listen at an address; an empty host stands for all that this machine has, of IPv4 and of IPv6."""
        if not address[0] and socket.has_dualstack_ipv6():
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Take both kinds of addresses."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def serve(table: Table, host: str, port: int) -> _Server:
    """Serve the table in a thread; port 0: a free one."""

    class Lines(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            # A rank that is killed resets its connection.
            with contextlib.suppress(OSError):
                while line := self.rfile.readline(_LONGEST).decode().strip():
                    self.wfile.write("".join(f"{each}\n" for each in table.answer(line)).encode())

    return _started(_Server((host, port), Lines))


def relay(host: str, port: int) -> _Server:
    """Pass the lines of one rank on to the table at this address in a thread, as soon as it is there."""

    class Lines(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError), _connected(host, port) as upstream:
                answers = threading.Thread(target=self._pass_back, args=(upstream,), daemon=True)
                answers.start()
                while line := self.rfile.readline(_LONGEST):
                    if b"cmd=finalize" in line:
                        # Rank 0 may have ended already, and the table with it.
                        self.wfile.write(b"cmd=finalize_ack\n")
                        return
                    upstream.sendall(line)

        def _pass_back(self, upstream: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while part := upstream.recv(_LONGEST):
                    self.wfile.write(part)

    return _started(_Server(("127.0.0.1", 0), Lines))


def _started(server: _Server) -> _Server:
    threading.Thread(target=server.serve_forever, name="rendezvous", daemon=True).start()
    return server


def _connected(host: str, port: int) -> socket.socket:
    """Return a connection as soon as the name is known and somebody listens: rank 0 may take long to start."""
    while True:
        try:
            return socket.create_connection((host, port), timeout=None)
        except OSError:
            time.sleep(_AGAIN_SECONDS)


def address_of(text: str) -> tuple[str, int]:
    """Return the host and the port of ``host:port``."""
    host, _, port = text.rpartition(":")
    return host, int(port)


def main(arguments: list[str]) -> None:
    """Serve beside a rank until its end, which closes the standard input: ``rendezvous.py ADDRESS RANK SIZE``."""
    (host, port), rank, size = address_of(arguments[0]), int(arguments[1]), int(arguments[2])
    # Rank 0's name may lead to addresses that its pod does not know of itself.
    server = serve(Table(size), "127.0.0.1" if _is_loopback(host) else "", port) if rank == 0 else relay(host, port)
    print(server.server_address[1], flush=True)
    # What else it printed would be in the program's log.
    with contextlib.suppress(OSError, KeyboardInterrupt):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.stdin.read()


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "127.0.0.1")


if __name__ == "__main__":
    main(sys.argv[1:])
