"""The file of tokens: who may call, told without a restart, and never repeated."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import pytest

from qonverge.backend.standalone.tokens import TokenFile, parse
from qonverge.wire.errors import Unauthorized

OLD, NEW = "a" * 40, "b" * 40


def test_tokens_and_digests_name_callers_and_change_without_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"# who calls\nlab {OLD}\nother sha256:{hashlib.sha256(NEW.encode()).hexdigest()}  # digest\n\n")
    tokens = TokenFile(file)
    assert (tokens.verify(OLD).subject, tokens.verify(NEW).subject) == ("lab", "other")
    for wrong in (None, "", "c" * 40, hashlib.sha256(NEW.encode()).hexdigest()):
        with pytest.raises(Unauthorized):
            tokens.verify(wrong)
    file.write_text(f"lab {NEW}\n")
    assert tokens.verify(NEW).subject == "lab"
    with pytest.raises(Unauthorized):
        tokens.verify(OLD)
    # A file that is wrong changes nothing, and is told once.
    with caplog.at_level(logging.ERROR):
        file.write_text("lab short\n")
        assert [tokens.verify(NEW).subject for _ in range(3)] == ["lab"] * 3
        file.unlink()
        assert tokens.verify(NEW).subject == "lab"
    assert "line 1" in caplog.records[0].message
    assert NEW not in caplog.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no tokens are there"),
        ("# nothing\n", "no tokens are there"),
        ("lab\n", "line 1: give a name"),
        (f"\nsystem:operator {OLD}\n", "line 2: give a name"),
        ("lab secretsecret\n", "20 characters"),
        ("lab sha256:1234567890123456789012345\n", "64 digits in hex"),
        (f"lab {OLD} {NEW}\n", "line 1: give a name"),
    ],
)
def test_wrong_lines_are_refused_without_their_tokens(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        parse(text, "tokens")
    assert not any(word in str(refused.value) for word in (OLD, NEW, "secretsecret"))
