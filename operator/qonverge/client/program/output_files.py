"""Puts the files that a program left in its output folder into its job's store."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from qonverge.client.program.job_store import JobStore
from qonverge.client.program.points import index_of
from qonverge.client.program.ranks import rank

_PIECE_BYTES = 1024 * 1024


def put_files(environment: Mapping[str, str]) -> dict[str, Any] | None:
    """Put the files of ``$QONVERGE_OUTPUT`` into the job's store, and return what the report says of them, if any.

    At a point of a sweep they go to a folder of its index.

    Links and what is no plain file are left out, with a line on standard error.

    Raises:
        ResultTooLarge: they take more than the job may keep.
        StoreUnreachable: the store did not take them.
        OSError: one cannot be read.
    """
    given = environment.get("QONVERGE_OUTPUT")
    if not given or not Path(given).is_dir():
        return None
    folder = Path(given)
    found = sorted(Path(top) / name for top, _, names in os.walk(folder) for name in names)
    files = [path for path in found if path.is_file() and not path.is_symlink()]
    if left := [path for path in found if path not in files]:
        _say(f"{len(left)} entries of {folder} are no plain files and not kept: {left[0].name}")
    if not files:
        return None
    if rank():
        _say(f"{len(files)} files of rank {rank()} are not kept: gather on rank 0 what is to be kept")
        return None
    store = JobStore.from_environment(environment)
    if store is None:
        _say(f"{len(files)} files in {folder} are not kept: the installation has no store for the job's output")
        return None
    own = "" if (index := index_of(environment)) is None else f"{index}/"
    for path in files:
        store.put(f"files/{own}{path.relative_to(folder).as_posix()}", partial(_pieces, path))
    return {"storedFiles": {"count": len(files), "bytes": sum(path.stat().st_size for path in files)}}


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


def _say(text: str) -> None:
    print(f"qonverge: {text}", file=sys.stderr, flush=True)
