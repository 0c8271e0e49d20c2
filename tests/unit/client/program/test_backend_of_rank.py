"""Which backend a rank calls where groups of them have backends of their own."""

from __future__ import annotations

import pytest

from qonverge.client.program.ranks import choose_backend


@pytest.mark.parametrize(
    ("rank", "url", "token"),
    [(0, "http://a", "/run/token"), (1, "http://a", "/run/token"), (2, "http://b", "/run/token-1")],
)
def test_a_rank_finds_the_backend_of_its_group(rank: int, url: str, token: str) -> None:
    environment = {
        "QONVERGE_RANK": str(rank),
        "QONVERGE_BACKEND_URL": "http://a",
        "QONVERGE_TOKEN_FILE": "/run/token",
        "QONVERGE_BACKEND_URLS": "http://a http://b",
        "QONVERGE_RANKS_PER_BACKEND": "2",
    }
    choose_backend(environment)
    assert (environment["QONVERGE_BACKEND_URL"], environment["QONVERGE_TOKEN_FILE"]) == (url, token)


def test_all_others_keep_theirs() -> None:
    environment = {"QONVERGE_BACKEND_URL": "http://a", "QONVERGE_TOKEN_FILE": "/run/token"}
    choose_backend(environment)
    assert environment == {"QONVERGE_BACKEND_URL": "http://a", "QONVERGE_TOKEN_FILE": "/run/token"}
