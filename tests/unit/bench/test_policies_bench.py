"""What the documentation says of comparisons of single rounds is what the bench finds."""

from __future__ import annotations

from pathlib import Path

from bench.policies import compared, sentence

PAGE = Path(__file__).parents[3] / "docs" / "scheduling.md"


def test_the_page_has_the_figures() -> None:
    assert sentence(compared(300)) in " ".join(PAGE.read_text().split())
