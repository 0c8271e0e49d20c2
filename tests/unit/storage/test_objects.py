"""Objects in a folder: whole or not at all, within bounds; and what a store says that does not answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qonverge.storage.job_output import InvalidPath, JobOutput, OutputFull, prefix_of
from qonverge.storage.objects import NoObject, Objects, StoreFailed
from qonverge.storage.settings import StoreSettings

PREFIX = prefix_of("chem", "vqe", "uid-1")


def output(folder: Path, **more: object) -> JobOutput:
    settings = StoreSettings.model_validate({"name": "shared", "folder": str(folder / "store"), **more})
    return JobOutput(Objects(settings), PREFIX)


async def pieces(*given: bytes | Exception) -> AsyncIterator[bytes]:
    for piece in given:
        if isinstance(piece, Exception):
            raise piece
        yield piece


async def content(kept: JobOutput, path: str) -> bytes:
    return b"".join([piece async for piece in (await kept.get(path)).pieces])


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder / "store")) for path in folder.rglob("*") if path.is_file())


async def test_what_a_job_keeps_is_read_again_listed_and_deleted(tmp_path: Path) -> None:
    kept = output(tmp_path)
    assert await kept.put("result.json", pieces(b"ab", b"c")) == 3
    assert await kept.put("files/a/plot é 1%.png", pieces(b"x" * 3_000_000, b"y")) == 3_000_001
    assert await kept.put("checkpoints/00000002", pieces(b"two")) == 3
    assert await kept.put("checkpoints/00000001", pieces()) == 0
    assert (await content(kept, "result.json"), await content(kept, "checkpoints/00000001")) == (b"abc", b"")
    assert await content(kept, "files/a/plot é 1%.png") == b"x" * 3_000_000 + b"y"
    assert await kept.sizes("files/") == {"a/plot é 1%.png": 3_000_001}
    assert list((await kept.sizes("checkpoints/")).items()) == [("00000001", 0), ("00000002", 3)]
    await kept.put("result.json", pieces(b"later"))
    assert await content(kept, "result.json") == b"later"
    await kept.delete("checkpoints/00000001")
    await kept.delete("checkpoints/00000001")
    with pytest.raises(NoObject):
        await kept.get("checkpoints/00000001")
    other = JobOutput(kept.objects, prefix_of("chem", "vqe", "uid-10"))
    await other.put("result.json", pieces(b"another's"))
    await kept.delete_all("checkpoints/")
    assert await kept.sizes("checkpoints/") == {}
    await kept.delete_all()
    assert files_in(tmp_path) == ["chem/vqe/uid-10/result.json"], "what another job of a longer uid keeps stays"


async def test_what_breaks_off_leaves_the_former_object(tmp_path: Path) -> None:
    kept = output(tmp_path)
    await kept.put("result.json", pieces(b"former"))
    with pytest.raises(ConnectionResetError, match="gone"):
        await kept.put("result.json", pieces(b"x" * 20_000_000, ConnectionResetError("gone")))
    assert await content(kept, "result.json") == b"former"
    assert files_in(tmp_path) == [f"{PREFIX}result.json"]


async def test_a_job_keeps_no_more_than_it_may(tmp_path: Path) -> None:
    kept = output(tmp_path, maxJobBytes=10)
    await kept.put("files/a", pieces(b"12345678"))
    with pytest.raises(
        OutputFull, match=r"files/b has more than 2 bytes .* other output takes 8; the store shared keeps 10"
    ):
        await kept.put("files/b", pieces(b"12", b"3"))
    # What takes the place of another counts once.
    assert await kept.put("files/a", pieces(b"1234567890")) == 10
    assert await kept.sizes("files/") == {"a": 10}


@pytest.mark.parametrize(
    "path",
    [
        *("", "result", "other.json", "files", "files/", "files/../x", "files/a//b", "files/./a", "files//etc/passwd"),
        *("files/a\\b", "files/a\nb", "files/" + "é" * 500, "checkpoints/1", "checkpoints/0000000a", "checkpoints/x/1"),
        *("../vqe2/uid/result.json", "files/a/..", "checkpoints/\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661"),
    ],
)
async def test_no_path_leads_out_of_what_is_the_jobs(tmp_path: Path, path: str) -> None:
    kept = output(tmp_path)
    with pytest.raises(InvalidPath):
        await kept.put(path, pieces(b"x"))
    with pytest.raises(InvalidPath):
        await kept.get(path)
    assert files_in(tmp_path) == []


async def test_a_store_that_does_not_answer_says_so(tmp_path: Path) -> None:
    (tmp_path / "accessKeyId").write_text("key\n")
    (tmp_path / "secretAccessKey").write_text("secret\n")
    s3 = {"bucket": "results", "endpoint": "http://127.0.0.1:1", "prefix": "quantum/"}
    settings = StoreSettings.model_validate({"name": "archive", "s3": s3, "credentials": str(tmp_path)})
    kept = JobOutput(Objects(settings), PREFIX)
    for action in (kept.put("result.json", pieces(b"x")), kept.get("result.json"), kept.delete_all()):
        with pytest.raises(StoreFailed, match="the store archive fails: Generic S3 error") as caught:
            await action
        assert "\n" not in str(caught.value)


async def test_credentials_that_are_missing_are_named(tmp_path: Path) -> None:
    s3 = {"bucket": "results", "endpoint": "http://127.0.0.1:1"}
    settings = StoreSettings.model_validate({"name": "archive", "s3": s3, "credentials": str(tmp_path)})
    with pytest.raises(StoreFailed, match="accessKeyId"):
        await Objects(settings).sizes("chem/")
