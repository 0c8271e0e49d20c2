"""Runs a job's Python program: ``python -m qonverge.client.program.run FILE [ARGUMENT...]``."""

from __future__ import annotations

import contextlib
import os
import runpy
import signal
import sys
import threading
from pathlib import Path

from qonverge.client.errors import BackendUnreachable, ClientError, ResultTooLarge, TaskFailed
from qonverge.client.program import dask_cluster
from qonverge.client.program.metrics_listener import listen
from qonverge.client.program.output_files import put_files
from qonverge.client.program.points import choose_point
from qonverge.client.program.ranks import choose_backend, world_size
from qonverge.client.program.rendezvous import begin, left_behind
from qonverge.client.program.reports import add_files, finish, hurry
from qonverge.client.transport.program_spans import PROGRAM
from qonverge.wire.faults import BACKEND_FAULTS, UNREACHABLE

# Codes of tasks that were refused for the job's sake, or failed by the backend's doing: uncaught, they are the reason
# why the attempt failed.
_TOLD = ("BudgetExceeded", "QuotaExceeded", *BACKEND_FAULTS)
# From when a program that was asked to end has cleaned up: for its last report and its spans.
_LEAVING_SECONDS = 1.5


def main() -> None:
    """Run the file as ``__main__``; its exit code and traceback are the process's own."""
    if len(sys.argv) < 2:
        sys.exit("usage: python -m qonverge.client.program.run FILE [ARGUMENT...]")
    path = Path(sys.argv[1])
    if not path.is_file():
        sys.exit(f"qonverge: there is no program at {path}")
    sys.argv = sys.argv[1:]
    sys.path[0] = str(path.parent)
    # The first process of a container has no default for it, and would run on until it is killed.
    signal.signal(signal.SIGTERM, _end)
    choose_backend(os.environ)
    sys.argv[1:] = choose_point(os.environ, sys.argv[1:])
    dask = dask_cluster.begin(os.environ, path.parent)
    PROGRAM.begin()
    listen(os.environ)
    begin(os.environ)
    # Lines appear in the job's log as they are printed.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text stream in every process started
    try:
        runpy.run_path(str(path), run_name="__main__")
    except SystemExit as leaving:
        if isinstance(leaving, _Ended):
            # The program has cleaned up; threads that it left would keep the process until it is killed.
            leaver = threading.Timer(_LEAVING_SECONDS, os._exit, (leaving.code,))
            leaver.daemon = True
            leaver.start()
            finish()
        if leaving.code not in (None, 0):
            PROGRAM.fail("SystemExit")
            if not isinstance(leaving, _Ended):
                _keep_files()
            _leave_ranks(leaving.code)
            raise
    except Exception as error:
        # The program's own frames say what went wrong, not those of its start.
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename != str(path):
            trace = trace.tb_next
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        _tell(error)
        _keep_files()
        _leave_ranks(1)
        sys.exit(1)
    if (unkept := _keep_files()) is not None:
        _tell(unkept)
        sys.exit(f"qonverge: the files were not kept: {unkept}")
    if (lost := finish()) is not None:
        _tell(lost)
        sys.exit(f"qonverge: the result did not arrive: {lost}")
    if dask is not None:
        dask.close()


def _leave_ranks(code: object) -> None:
    """End at once where MPI has started: its orderly end waits for the other ranks, which may wait for this one."""
    if "mpi4py.MPI" not in sys.modules or world_size() == 1:
        return
    if not isinstance(code, int):
        print(code, file=sys.stderr)
    finish()
    sys.stdout.flush()
    sys.stderr.flush()
    for file in left_behind():
        file.unlink(missing_ok=True)
    os._exit(code & 0xFF if isinstance(code, int) else 1)


def _keep_files() -> Exception | None:
    """Put the program's files into its job's store, those of one that failed too; return why that was not possible."""
    try:
        if (told := put_files(os.environ)) is not None:
            add_files(told)
    except (ClientError, OSError) as error:
        return error
    return None


class _Ended(SystemExit):
    """The program was asked to end."""


def _end(*_: object) -> None:
    # The last report is tried for a moment only: whoever cancels a job hardly wants it.
    hurry()
    raise _Ended(128 + signal.SIGTERM)


def _tell(error: Exception) -> None:
    """Leave the error in the span, and the reason where the kubelet reads it, so that the job's status has it."""
    PROGRAM.fail(type(error).__name__)
    log, reason = os.environ.get("QONVERGE_TERMINATION_LOG"), ""
    if isinstance(error, ResultTooLarge):
        reason = f"ResultTooLarge: {error}"
    elif isinstance(error, BackendUnreachable):
        reason = f"{UNREACHABLE}: {error}"
    elif isinstance(error, TaskFailed) and error.code in _TOLD:
        reason = f"{error.code}: {str(error).removesuffix(f' [{error.code}]')}"
    if log is not None and reason:
        with contextlib.suppress(OSError):
            Path(log).write_text(reason, encoding="utf-8")


if __name__ == "__main__":
    main()
