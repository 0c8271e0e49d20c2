"""What programs keep in their job's store: large results, files and checkpoints, over a store that fails at times."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qonverge.client.checkpoint import Checkpoints
from qonverge.client.errors import ResultTooLarge, StoreUnreachable
from qonverge.client.program.checkpoint_form import from_bytes, to_bytes
from qonverge.client.program.job_store import JobStore
from qonverge.client.program.json_form import JsonForm
from qonverge.client.program.large_results import _document, size_of
from tests.unit.client.program.test_client_reports import IMPORT, bodies, program


@dataclasses.dataclass
class Point:
    x: float
    y: complex


VALUES = [
    *(None, 1, -0.5, "é\ud800" * 3, [], {}, (), {"a": [1, {"b": ()}]}, float("nan"), 2**70, {1: 2, "1": 3}),
    *(np.arange(12).reshape(3, 4), np.array([1.5, np.inf, 2.0]), np.zeros((2, 0)), np.float32(0.5), np.array(7)),
    *(list(range(10_000)), ["x" * 10_000, "ü\n" * 5000], np.linspace(0, 1, 9001), [[i, None] for i in range(5000)]),
    *({"points": [Point(1.0, 2j)], "when": Path("/a/b")}, np.array([True, False]), [1.0, float("-inf"), True, None]),
]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_a_result_in_pieces_is_the_same_json(value: Any) -> None:
    whole, piecewise = JsonForm(), JsonForm()
    text = json.dumps({"value": whole.of(value)}, ensure_ascii=False, separators=(",", ":"))
    assert b"".join(_document(piecewise, value)).decode() == text
    assert piecewise.problems == whole.problems
    assert size_of(value) == len(text.encode())


def test_a_large_result_goes_to_the_store_and_the_report_says_so(peer: Any, tmp_path: Path) -> None:
    refusals = iter([(503, "text/plain", b"the store is down"), None])
    peer.answer = lambda request: (
        next(refusals, (204, "text/plain", b"")) if "/output/" in request.path else (204, "", b"")
    )
    source = IMPORT + "import numpy\nresult('small')\nresult({'a': numpy.arange(1000.0)})\n"
    done = program(tmp_path, source, peer.url, result_room="600", store_url=f"{peer.url}/v1/output")
    assert done.returncode == 0, done.stderr
    puts = [request for request in peer.received if request.method == "PUT"]
    assert [request.path for request in puts] == ["/v1/output/result.json"] * 3
    data = puts[-1].body
    assert json.loads(data) == {"value": {"a": list(range(1000))}}
    assert {request.headers["authorization"] for request in puts} == {"Bearer secret"}
    reports = [json.loads(request.body) for request in peer.received if request.method == "POST"]
    told = [body for body in reports if "storedResult" in body]
    assert [body["storedResult"] for body in told] == [{"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}]
    assert all("result" not in body for body in told), "the last one counts"


def test_a_result_that_the_store_may_not_keep_fails_the_program_with_its_words(peer: Any, tmp_path: Path) -> None:
    words = b"result.json has more than 5 bytes; the store shared keeps 5 for a job (maxJobBytes)"
    peer.answer = lambda request: (413, "text/plain", words) if request.method == "PUT" else (204, "", b"")
    log = tmp_path / "log"
    given = {"result_room": "100", "store_url": f"{peer.url}/v1/output", "termination_log": str(log)}
    done = program(tmp_path, IMPORT + "result('x' * 1000)\n", peer.url, **given)
    assert done.returncode == 1
    assert log.read_text() == f"ResultTooLarge: {words.decode()}"


@pytest.mark.parametrize("ending", ["", "raise ValueError('so')"])
def test_files_are_kept_however_the_program_ends(peer: Any, tmp_path: Path, ending: str) -> None:
    output = tmp_path / "output"
    output.mkdir()
    source = (
        "import os, pathlib\n"
        "folder = pathlib.Path(os.environ['QONVERGE_OUTPUT'])\n"
        "(folder / 'a b').mkdir()\n"
        "(folder / 'a b' / 'x.txt').write_text('1234')\n"
        "(folder / 'y.bin').write_bytes(bytes(3_000_000))\n"
        "(folder / 'link').symlink_to('/etc/passwd')\n" + ending
    )
    given = {"output": str(output), "store_url": f"{peer.url}/v1/output"}
    done = program(tmp_path, source, peer.url, **given)
    assert (done.returncode, "1 entries of" in done.stderr) == (1 if ending else 0, True)
    puts = {request.path: len(request.body) for request in peer.received if request.method == "PUT"}
    assert puts == {"/v1/output/files/a%20b/x.txt": 4, "/v1/output/files/y.bin": 3_000_000}
    merged: dict[str, Any] = {}
    for request in peer.received:
        merged |= json.loads(request.body) if request.method == "POST" else {}
    assert merged["storedFiles"] == {"count": 2, "bytes": 3_000_004}


def test_files_without_a_store_are_named(peer: Any, tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.mkdir()
    source = "import os, pathlib\npathlib.Path(os.environ['QONVERGE_OUTPUT'], 'x').write_text('1')\n"
    done = program(tmp_path, source, peer.url, output=str(output))
    assert done.returncode == 0
    assert f"1 files in {output} are not kept: the installation has no store" in done.stderr
    assert bodies(peer) == []


class Memory(JobStore):
    """A store in memory, which may fail or keep less than it was given."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.down = False

    def _request(self, method: str, path: str, patience: float, **more: Any) -> bytes | None:
        if self.down:
            raise StoreUnreachable("it is down")
        match method:
            case "PUT":
                self.objects[path] = b"".join(more["body"]())
            case "DELETE":
                self.objects.pop(path, None)
            case _ if more.get("query"):
                folder = more["query"]["folder"]
                found = {key.removeprefix(folder): len(data) for key, data in sorted(self.objects.items())}
                return json.dumps(found).encode()
            case _:
                return self.objects.get(path)
        return b""


def test_the_last_checkpoint_is_found_by_the_next_attempt() -> None:
    store = Memory()
    first = Checkpoints(store)
    assert first.load() is None
    for iteration in range(1, 6):
        first.save({"iteration": iteration, "theta": np.array([0.5, iteration])})
    assert sorted(store.objects) == ["checkpoints/00000004", "checkpoints/00000005"]
    second = Checkpoints(store)
    found = second.load()
    assert (found["iteration"], found["theta"].tolist()) == (5, [0.5, 5.0])
    found["theta"] += 1
    second.save(found)
    assert sorted(store.objects) == ["checkpoints/00000005", "checkpoints/00000006"]


def test_a_program_that_did_not_load_goes_on_with_the_numbers() -> None:
    store = Memory()
    Checkpoints(store).save("first")
    Checkpoints(store).save("second")
    assert Checkpoints(store).load() == "second"


def test_a_damaged_checkpoint_is_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    store = Memory()
    kept = Checkpoints(store)
    kept.save("one")
    kept.save("two")
    store.objects["checkpoints/00000002"] = store.objects["checkpoints/00000002"][:-1]
    assert Checkpoints(store).load() == "one"
    assert "checkpoint 2 is damaged" in capsys.readouterr().err


def test_a_store_that_is_down_does_not_end_a_program_that_saves_but_one_that_loads() -> None:
    store = Memory()
    kept = Checkpoints(store)
    kept.save("one")
    store.down = True
    with pytest.warns(UserWarning, match="the checkpoint is not kept, and the program goes on: it is down"):
        kept.save("two")
    # To begin anew would compute again what was computed.
    with pytest.raises(StoreUnreachable):
        Checkpoints(store).load()
    store.down = False
    kept.save("three")
    assert Checkpoints(store).load() == "three"


def test_without_a_store_a_person_is_told_once() -> None:
    kept = Checkpoints(None)
    with pytest.warns(UserWarning, match="checkpoints are not kept"):
        kept.save(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept.save(2)
    assert kept.load() is None


def test_values_come_back_as_they_were() -> None:
    generator = np.random.default_rng(5)
    generator.normal(size=3)
    value: dict[Any, Any] = {
        "state": generator.bit_generator.state,
        "flags": [None, True, False, -(2**63), 2**64 - 1, 2**64, -(2**127), 0.1, float("inf"), 1 - 2j, "é", b"\x00"],
        "arrays": [
            np.arange(6, dtype="<i2").reshape(2, 3),
            np.zeros((0, 2), "c8"),
            np.array(True),
            np.array([1.5], "f4"),
        ],
        7: {b"k": np.float32(0.5), "n": np.int64(3), "b": np.bool_(True)},
    }
    found = from_bytes(to_bytes(value))
    assert (found["state"], found["flags"]) == (value["state"], value["flags"])
    for there, here in zip(found["arrays"], value["arrays"], strict=True):
        assert (there.dtype, there.shape, there.tolist()) == (here.dtype, here.shape, here.tolist())
    assert found[7] == {b"k": 0.5, "n": 3, "b": True}
    again = np.random.default_rng()
    again.bit_generator.state = found["state"]
    assert again.normal() == generator.normal()


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"a": [1, object()]}, r"the value\['a'\]\[1\] is a object, for which"),
        (np.array([object()]), "the value is an array of type object"),
        ({1.5: 2}, "the value has the key 1.5"),
        (
            {"rng": np.random.default_rng()},
            r"the value\['rng'\] is a Generator.*rng.bit_generator.state in place of rng",
        ),
    ],
)
def test_what_has_no_form_is_named(value: Any, problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        to_bytes(value)


def test_bytes_of_others_are_refused() -> None:
    good = to_bytes([np.arange(5)])
    for data in (b"", b"x" * 100, good[:-1], good + b"x", good[:60] + bytes([good[60] ^ 1]) + good[61:]):
        with pytest.raises(ValueError, match="are no checkpoint"):
            from_bytes(data)


def test_a_store_is_tried_again_for_as_long_as_the_caller_waits(peer: Any) -> None:
    now = [0.0]
    peer.answer = lambda _: (503, "text/plain", b"the store shared fails: it is down")
    store = JobStore(peer.url, lambda: "t", clock=lambda: now[0], sleep=lambda s: now.__setitem__(0, now[0] + s))
    with pytest.raises(
        StoreUnreachable, match=r"result.json was not taken or given for 60 s: status 503: the store sh"
    ):
        store.put("result.json", lambda: [b"x"], patience=60)
    assert 25 < now[0] <= 60
    assert len(peer.received) < 15, "waits double"
    peer.answer = lambda _: (404, "text/plain", b"none")
    assert store.get("checkpoints/00000001") is None
    peer.answer = lambda _: (403, "text/plain", b"the token is of attempt 1")
    with pytest.raises(StoreUnreachable, match="refused with status 403: the token is of attempt 1"):
        store.delete("checkpoints/00000001")
    peer.answer = lambda _: (413, "text/plain", b"too much")
    with pytest.raises(ResultTooLarge, match="too much"):
        store.put("files/a", partial(list, [b"x"]))
