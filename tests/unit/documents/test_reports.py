"""Reports of programs: what is taken, and the sentence for what is not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qonverge.documents.reports import LONGEST_METRIC_NAME, MOST_DEPTH, MOST_METRICS, InvalidReport, Report, merged

MANY = {f"m{n}": n for n in range(MOST_METRICS + 1)}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the report is not JSON"),
        ("{", "the report is not JSON"),
        ("\xff", "the report is not UTF-8"),
        ("[1]", "the report is [1]; an object with progress, metrics or result is expected"),
        ('"text"', "the report is 'text'; an object"),
        ('{"progress": NaN}', "NaN is no number that JSON has"),
        ('{"metrics": {"a": Infinity}}', "Infinity is no number that JSON has"),
        ('{"metrics": {"a": -Infinity}}', "-Infinity is no number"),
        ('{"metrics": {"a": 1e999}}', "the number '1e999' is out of range"),
        ('{"result": ' + "9" * 5000 + "}", "is out of range"),
        ('{"progress": "half"}', "progress is 'half'; a number from 0 to 1 is expected"),
        ('{"progress": true}', "progress is True; a number"),
        ('{"progress": 1.1}', "progress is 1.1; a number from 0 to 1"),
        ('{"progress": -1e300}', "progress is -1e+300; a number from 0 to 1"),
        ('{"metrics": [1]}', "metrics is [1]; an object of numbers by name is expected"),
        ('{"metrics": {"a": "1"}}', "the metric a is '1'; a finite number is expected"),
        ('{"metrics": {"a": true}}', "the metric a is True; a finite number"),
        ('{"metrics": {"a": null}}', "the metric a is None; a finite number"),
        ('{"metrics": {"": 1}}', "has a name of 0 characters; 1 to 63 are allowed"),
        (json.dumps({"metrics": {"x" * 64: 1}}), "has a name of 64 characters; 1 to 63 are allowed"),
        (json.dumps({"metrics": MANY}), "names 65 new metrics ('m0', 'm1', 'm2', 'm3', ...) beside 0 that the job has"),
        ('{"metrics": {"a": 1, "a": 2}}', "has the key 'a' twice"),
        ('{"result": ' + "[" * 102 + "]" * 102 + "}", "the result is nested more than 100 levels deep"),
        ('{"result": ' + '{"a":' * 102 + "1" + "}" * 103, "the result is nested more than 100 levels deep"),
        ('{"result": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
        ('{"result": ' + "[" * 700 + '{"a": 1, "a": 2}' + "]" * 700 + "}", "nested too deeply"),
        ('{"result": "\\ud800"}', "is half a character"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_a_sentence(text: str, says: str) -> None:
    with pytest.raises(InvalidReport) as refused:
        Report.parse(text.encode("latin-1"))
    assert says in str(refused.value)
    assert len(str(refused.value)) < 400


def test_what_is_taken() -> None:
    deep: Any = 1
    for _ in range(MOST_DEPTH):
        deep = [deep]
    longest = "é" * LONGEST_METRIC_NAME
    given = {"progress": 1, "metrics": {longest: 10**30, "b": -0.5}, "result": deep, "of-a-later-release": 1}
    report = Report.parse(json.dumps(given).encode())
    assert report == Report(1, {longest: 1e30, "b": -0.5}, deep, has_result=True)
    assert Report.parse(b"{}") == Report()
    assert Report.parse(b'{"result": null}') == Report(has_result=True)
    assert Report.parse(b'{"progress": null, "metrics": null}') == Report()


def test_names_are_counted_over_all_reports() -> None:
    full = {f"m{n}": 0.0 for n in range(MOST_METRICS)}
    assert merged(full, {"m3": 1.0}) == {**full, "m3": 1.0}
    with pytest.raises(InvalidReport, match=r"names 1 new metrics \('x'\) beside 64 that the job has"):
        merged(full, {"m3": 1.0, "x": 2.0})
