"""Stores as an installation describes them, and which of them a job gets."""

from __future__ import annotations

import pytest

from qonverge.storage.settings import MOST_JOB_BYTES, NoSuchStore, chosen, parse

FOLDER = '{"name": "shared", "folder": "/stores/shared", "maxJobBytes": "2Gi", "namespaces": ["chem"]}'
BUCKET = '{"name": "archive", "s3": {"bucket": "results"}, "credentials": "/run/archive", "reclaimPolicy": "Retain"}'


def test_stores_are_read_with_their_defaults() -> None:
    shared, archive = parse(f"[{FOLDER}, {BUCKET}]")
    assert (shared.folder, shared.max_job_bytes, shared.reclaim_policy) == ("/stores/shared", 2 * 1024**3, "Delete")
    assert archive.s3 is not None
    assert (archive.s3.region, archive.s3.endpoint, archive.s3.path_style) == ("us-east-1", None, True)
    assert (archive.max_job_bytes, archive.reclaim_policy) == (MOST_JOB_BYTES, "Retain")
    assert parse("[]") == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "it is not JSON"),
        ("{}", "give a list of stores"),
        (f"[{FOLDER}, {FOLDER}]", "two stores are named shared"),
        ('[{"name": "a"}]', "0: a store: set exactly one of folder, s3"),
        ('[{"name": "a", "folder": "/a", "s3": {"bucket": "results"}}]', "set exactly one of folder, s3"),
        ('[{"name": "a", "folder": "relative"}]', "0.folder: "),
        ('[{"name": "A b", "folder": "/a"}]', "0.name: "),
        ('[{"name": "a", "folder": "/a", "maxJobBytes": "10Q"}]', "0.maxJobBytes: '10Q' is not a quantity"),
        ('[{"name": "a", "s3": {"bucket": "results", "endpoint": "minio:9000"}}]', "0.s3.endpoint: give a URL"),
        ('[{"name": "a", "folder": "/a", "size": 1}]', "0.size: "),
    ],
)
def test_what_is_no_store_is_refused_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse(text)
    assert problem in str(caught.value)


def test_a_job_gets_the_store_that_it_names_or_the_default_if_its_namespace_may_use_it() -> None:
    stores = parse(f"[{FOLDER}, {BUCKET}]")
    shared, archive = stores
    assert chosen(stores, "archive", None, "chem") is archive
    assert chosen(stores, "shared", None, "chem") is shared
    assert chosen(stores, "", None, "chem") is None
    assert chosen(stores, "shared", None, "bio") is None
    assert chosen(stores, "archive", "shared", "chem") is shared
    with pytest.raises(NoSuchStore, match=r"output.store is shared, .* namespace bio: there are archive; an admin"):
        chosen(stores, "archive", "shared", "bio")
    with pytest.raises(NoSuchStore, match="there is none"):
        chosen((), "", "archive", "bio")
