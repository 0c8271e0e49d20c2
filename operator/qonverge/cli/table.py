"""A sweep as a table: a row for each point. Parquet's library is loaded for it only."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from qonverge.api import HybridJob
from qonverge.api.job_status import Result
from qonverge.cli.program_columns import columns_of_program
from qonverge.cli.render import observable_name
from qonverge.local.manifests import ManifestError
from qonverge.programs.kinds import kind_of

if TYPE_CHECKING:
    from arro3.core import Array as ArrowArray

Columns = dict[str, list[Any]]
"""The columns by their names, all of the same length: numbers, texts and booleans, and None where there is nothing."""

FORMATS = (".csv", ".json", ".parquet")
_MOST_COLUMNS = 4096
_MOST_WHOLE = 2**63
_Named = TypeVar("_Named", bound=Sized)


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

    Of a program they are followed by what it returned, see ``columns_of_program``.

    Raises:
        NoTable: there is none.
    """
    points = None if result is None else result.points
    if not points:
        status = job.status
        raise NoTable(f"{job.metadata.name} has no points of a sweep: it is {status.state}: {status.message or 'new'}")
    if points[0].index is not None:
        return _narrow(job, columns_of_program(points), "fields")
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
    _narrow(job, outcomes, "outcomes")
    return found | {outcome: [(point.counts or {}).get(outcome, 0) for point in points] for outcome in outcomes}


def _narrow(job: HybridJob, columns: _Named, what: str) -> _Named:
    """Return the columns of a table.

    Raises:
        NoTable: they are too many.
    """
    if len(columns) > _MOST_COLUMNS:
        raise NoTable(
            f"{job.metadata.name} has {len(columns)} different {what}, and a table has a column for each of at most "
            f"{_MOST_COLUMNS}: take the result as JSON, which names the {what} at each point"
        )
    return columns


def write_table(columns: Columns, path: Path) -> None:
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


def _csv(columns: Columns) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode()


def _parquet(columns: Columns) -> bytes:
    from arro3.core import Table
    from arro3.io import write_parquet

    file = io.BytesIO()
    write_parquet(Table.from_pydict({name: _array(column) for name, column in columns.items()}), file)
    return file.getvalue()


def _array(column: Sequence[Any]) -> ArrowArray:
    """Return a column in the narrowest type that holds all of it; what is no number in a column of some is text."""
    from arro3.core import Array, DataType

    kinds = {type(value) for value in column if value is not None}
    whole = kinds == {int} and all(value is None or abs(value) < _MOST_WHOLE for value in column)
    if kinds == {bool}:
        return Array(column, type=DataType.bool())
    if whole:
        return Array(column, type=DataType.int64())
    if kinds <= {int, float}:
        return Array([None if value is None else float(value) for value in column], type=DataType.float64())
    texts = [value if value is None or isinstance(value, str) else json.dumps(value) for value in column]
    return Array(texts, type=DataType.utf8())
