from __future__ import annotations

import pytest

from tests.compatibility.page import PAGE, render


def test_the_page_says_what_was_found(request: pytest.FixtureRequest, page: str) -> None:
    ran = {item.path for item in request.session.items}
    there = set(PAGE.parents[1].joinpath("tests/compatibility").glob("test_*.py"))
    if not there <= ran:
        pytest.skip("only a part of the compatibility tests was run")
    assert page != render([])
    assert PAGE.read_text() == page, "run make compatibility"
