"""Texts as values: what kubectl reads, with the values that kubectl reads, and refusals with their place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qonverge.documents.faults import Unreadable
from qonverge.documents.reader import read_documents
from qonverge.documents.strict_json import loads


def value(text: str | bytes) -> Any:
    (document,) = read_documents(text if isinstance(text, bytes) else text.encode())
    assert document.faults == ()
    return document.value


# Each as kubectl 1.35 prints it with `create --dry-run=client --output=json`.
@pytest.mark.parametrize(
    ("scalar", "expected"),
    [
        *(("1e3", 1000), ("10.0", 10), ("1.", 1), (".5", 0.5), ("-.5", -0.5), ("+1", 1), ("1_0.5", 10.5)),
        *(("0o17", 15), ("017", 15), ("08", 8), ("0b11", 3), ("0x1F", 31), ("-0x1F", -31), ("1__0", 10)),
        *(("1:30", "1:30"), ("2026-01-01", "2026-01-01"), ("_1", "_1"), ("1e", "1e"), ("0x", "0x"), ("NaN", "NaN")),
        *(("on", True), ("y", True), ("No", False), ("off", False), ("~", None), ("", None), ("'on'", "on")),
        *(("!!str 1", "1"), ('!!int "3"', 3), ("! 5", "5"), ("!!binary aGk=", "hi"), ('"1"', "1")),
        ("12345678901234567890", 12345678901234567890.0),
    ],
)
def test_plain_scalars_mean_what_kubectl_takes_them_for(scalar: str, expected: object) -> None:
    found = value(f"a: {scalar}\n")["a"]
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}',
        '{\n\t"a": 1\n}',
        "{a: 1}",
        '{"a": 1,}',
        "a: 1\n",
        "\ufeffa: 1\n",
        '\ufeff{"a": 1}',
        "a: 1\r\n",
        "# comment\na: 1\n",
        b"\xff\xfe" + "a: 1".encode("utf-16-le"),
        b"\xfe\xff" + '{"a": 1}'.encode("utf-16-be"),
        '{"a": 1e0}',
    ],
)
def test_every_form_of_the_same(text: str | bytes) -> None:
    assert value(text) == {"a": 1}


def test_a_character_beyond_the_first_plane() -> None:
    assert value(json.dumps({"a": "🎲", "b": "\\ud83c"})) == {"a": "🎲", "b": "\\ud83c"}
    assert value("a: 🎲") == {"a": "🎲"}


@pytest.mark.parametrize(
    "text", ['{"a": 1} {"a": 2}', '{"a": 1}\n{"a": 2}\n', "a: 1\n---\na: 2\n", "a: 1\n...\n---\na: 2\n"]
)
def test_several_documents(text: str) -> None:
    assert [document.value for document in read_documents(text.encode())] == [{"a": 1}, {"a": 2}]


def test_keys_are_texts() -> None:
    assert value("1: a\n'y': b\n0x10: c\n") == {"1": "a", "y": "b", "16": "c"}


def test_aliases_and_merged_mappings() -> None:
    text = "x: &x {p: 1, q: 2}\na: *x\nb: {<<: *x, q: 3}\nc: {<<: [{p: 5}, *x]}\n"
    assert value(text) == {"x": {"p": 1, "q": 2}, "a": {"p": 1, "q": 2}, "b": {"p": 1, "q": 3}, "c": {"p": 5, "q": 2}}


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("a: 1\na: 2\n", ["line 2, column 1: the key 'a' is given twice"]),
        ("a: {b: [{c: 1, 'c': 1}]}\n", ["line 1, column 16: the key 'c' is given twice"]),
        ("1: a\n'1': b\n", ["line 2, column 1: the key '1' is given twice"]),
        ("a: 1\n---\nb: 1\nb: 2\n", ["line 4, column 1: the key 'b' is given twice"]),
        ("x: &x {q: 2}\na: {q: 3, <<: *x}\n", ["line 2, column 11: << has the key 'q' too: write << first"]),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', ["line 1, column 15: the object that begins here has the key 'c' twice"]),
        (
            '{"a": 1}\n{"a": 1, "a": 1, "\\u0061": {"d": 1, "d": 1}}',
            [
                "line 2, column 28: the object that begins here has the key 'd' twice",
                "line 2, column 1: the object that begins here has the key 'a' twice",
                "line 2, column 1: the object that begins here has the key 'a' twice",
            ],
        ),
    ],
)
def test_a_key_that_is_given_twice_is_a_fault_with_its_place(text: str, faults: list[str]) -> None:
    found = [str(fault) for document in read_documents(text.encode()) for fault in document.faults]
    assert found == faults


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"a: 1\nb: \xff", "line 2, column 4: the byte 0xFF is no UTF-8 text"),
        ("a: [", "line 2, column 1: while parsing a flow node did not find expected node content"),
        ("a: 1\n\tb: 2", "line 2, column 1: while scanning a plain scalar found a tab character"),
        ("a: \x07", "line 1, column 4: the character U+0007 is not allowed in YAML"),
        ("y: 1", "line 1, column 1: the key y is no text here: put it in quotes"),
        ("1.5: 1", "line 1, column 1: the key 1.5 is no text here: put it in quotes"),
        ("a: .inf", "line 1, column 4: .inf is no number that JSON has"),
        ("a: 1e400", "line 1, column 4: the number '1e400' is out of range"),
        ("a: *x", "line 1, column 4: the anchor 'x' is not defined before"),
        ("a: &x [*x]", "line 1, column 8: the anchor 'x' is not defined before"),
        ("a: !foo x", "line 1, column 4: the tag '!foo' is not known"),
        ("a: {<<: 1}", "line 1, column 9: << takes a mapping, or a list of them"),
        ("[" * 5000, "line 1, column 102: nested too deeply"),
        ('{"a":' * 50_000, "nested too deeply"),
        ('{\n\t"a": 1,\n\t"b" 2\n}', "line 3, column 6: Expecting ':' delimiter"),
        ('{"a": "\\ud83c"}', "half a character"),
        ('{"a": "\\udf00"}', "half a character"),
        ('{\n\t"a": 1e400\n}', "the number '1e400' is out of range"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(text: str | bytes, problem: str) -> None:
    with pytest.raises(Unreadable) as error:
        read_documents(text if isinstance(text, bytes) else text.encode())
    assert problem in str(error.value) or "invalid Unicode character escape code" in str(error.value)


def test_aliases_that_unfold_to_billions_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(Unreadable, match="aliases unfold to more than"):
        read_documents("\n".join(lines).encode())


_PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), _PLAIN), st.sampled_from([None, 2, "\t"]), st.booleans())
def test_json_is_read_as_json(given_value: dict[str, Any], indent: int | str | None, ascii_only: bool) -> None:
    text = json.dumps(given_value, indent=indent, ensure_ascii=ascii_only)
    assert value(text) == given_value == loads(text)


@pytest.mark.parametrize(
    "text", ['{"a": NaN}', '{"a": Infinity}', '{"a": 1} 2', "", '{"a": 1, "a": 2}', '{"a": 1e999}']
)
def test_strict_json_is_strict(text: str) -> None:
    with pytest.raises(Unreadable):
        loads(text)
