"""A sweep as a table: a row for each point. Parquet's library is loaded for it only."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from qonverge.api import HybridJob
from qonverge.api.job_status import Result
from qonverge.cli.render import observable_name
from qonverge.local.manifests import ManifestError
from qonverge.programs.kinds import kind_of

Columns = dict[str, list[float] | list[int]]
"""The columns by their names, all of the same length."""

FORMATS = (".csv", ".json", ".parquet")
_MOST_OUTCOMES = 4096


class NoTable(Exception):
    """A job has no points, or more outcomes than a table has columns."""


def check_table_path(path: Path) -> None:
    """Find out whether the ending names a format; ``-`` is CSV on the standard output.

    Raises:
        ManifestError: it names none.
    """
    if str(path) != "-" and path.suffix.lower() not in FORMATS:
        raise ManifestError([f"--table {path}: the name must end in one of {', '.join(FORMATS)}, or be - for CSV"])


def columns_of(job: HybridJob, result: Result | None) -> Columns:
    """Return the table of a sweep: parameters by name, then a column for each outcome, or two for each observable.

    Raises:
        NoTable: there is none.
    """
    points = None if result is None else result.points
    if not points:
        status = job.status
        raise NoTable(f"{job.metadata.name} has no points of a sweep: it is {status.state}: {status.message or 'new'}")
    found: Columns = {name: [point.parameters[name] for point in points] for name in points[0].parameters}
    if points[0].counts is None:
        names = [f"<{observable_name(each)}>" for each in kind_of(job).observables(job)]
        for place, observable in enumerate(names):
            # The same observable may be there twice.
            name = observable if observable not in found else f"{observable} {place + 1}"
            found[name] = [(point.expectation_values or [])[place] for point in points]
            found[f"{name} error"] = [(point.standard_errors or [])[place] for point in points]
        return found
    outcomes = sorted({outcome for point in points for outcome in point.counts or ()})
    if len(outcomes) > _MOST_OUTCOMES:
        raise NoTable(
            f"{job.metadata.name} has {len(outcomes)} different outcomes, and a table has a column for each of at most "
            f"{_MOST_OUTCOMES}: take the result as JSON, which names the outcomes at each point"
        )
    return found | {outcome: [(point.counts or {}).get(outcome, 0) for point in points] for outcome in outcomes}


def write_table(columns: Mapping[str, Sequence[float]], path: Path) -> None:
    """Write a table in the format that the ending names, whole or not at all.

    Raises:
        ModuleNotFoundError: Parquet's library is not installed.
        OSError: it cannot be written.
    """
    given = dict(columns)
    if str(path) == "-":
        sys.stdout.write(_csv(given).decode())
        return
    match path.suffix.lower():
        case ".csv":
            data = _csv(given)
        case ".json":
            lines = ",\n".join(
                json.dumps(dict(zip(given, row, strict=True))) for row in zip(*given.values(), strict=True)
            )
            data = f"[\n{lines}\n]\n".encode()
        case _:
            data = _parquet(given)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _csv(columns: Mapping[str, Sequence[float]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode()


def _parquet(columns: Mapping[str, Sequence[float]]) -> bytes:
    import numpy as np
    from arro3.core import Array, Table
    from arro3.io import write_parquet

    file = io.BytesIO()
    write_parquet(
        Table.from_pydict({name: Array.from_numpy(np.array(column)) for name, column in columns.items()}), file
    )
    return file.getvalue()
