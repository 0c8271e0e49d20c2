"""Collects what each test finds, for the page that is generated from it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from qonverge.client.transport.embedded import Embedded
from tests.compatibility.page import PAGE, Finding, render

_FINDINGS = pytest.StashKey[list[Finding]]()
_FOLDER = "tests/compatibility/"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-page", action="store_true", help="write docs/compatibility.md rather than compare it")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FINDINGS] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The page is compared when everything that it tells of has run.
    items.sort(key=lambda item: item.name == "test_the_page_says_what_was_found")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[None]:  # the wrapper's yield gives the report
    report = yield
    if report.when == "call" and item.nodeid.startswith(_FOLDER):  # type: ignore[attr-defined]
        function = getattr(item, "function", None)
        lines = (getattr(function, "__doc__", None) or item.name).strip().splitlines()
        # Cases of one behaviour are one line of the page.
        finding = Finding(
            file=item.path.stem,
            behaviour=lines[0].rstrip("."),
            failure=str(getattr(report, "wasxfail", "")).removeprefix("reason: "),
            detail=str(dict(item.user_properties).get("detail", "")),
        )
        findings = item.config.stash[_FINDINGS]
        if finding not in findings:
            findings.append(finding)
    return report


@pytest.fixture
def page(request: pytest.FixtureRequest) -> str:
    """The page of all that was found, written where that is wanted."""
    text = render(request.config.stash[_FINDINGS])
    if request.config.getoption("--write-page"):
        PAGE.write_text(text)
    return text


@pytest.fixture(scope="session")
def runner() -> Embedded:
    """The engine in this process."""
    return Embedded()
