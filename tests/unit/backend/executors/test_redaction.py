"""Credentials do not come back in what others say."""

from __future__ import annotations

from pathlib import Path

from qonverge.backend.executors.redaction import Redactor


def test_values_of_the_secret_are_taken_out_former_ones_too(tmp_path: Path) -> None:
    (tmp_path / "KEY").write_text("first/key+value\n")
    (tmp_path / "AWS_REGION").write_text("us-east-1")
    (tmp_path / "SHORT").write_text("a")
    (tmp_path / "BINARY").write_bytes(b"\xff\xfe\xfd\xfc\xfb\xfa\xf9")
    redact = Redactor(str(tmp_path))
    assert (
        redact("a call of us-east-1 with first/key+value, first%2Fkey%2Bvalue") == "a call of us-east-1 with ***, ***"
    )
    (tmp_path / "KEY").write_text('the "second" key')
    (tmp_path / "LONGER").write_text('the "second" key and more')
    said = 'first/key+value; "the \\"second\\" key"; the "second" key and more; nothing'
    assert redact(said) == '***; "***"; ***; nothing'
    (tmp_path / "KEY").unlink()
    assert redact('the "second" key') == "***"


def test_without_a_secret_words_stay_as_they_are(tmp_path: Path) -> None:
    assert Redactor("")("any words") == "any words"
    assert Redactor(str(tmp_path / "missing"))("any words") == "any words"
