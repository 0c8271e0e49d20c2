"""What a person is told of a bad program: where, what is wrong, and what was expected."""

from __future__ import annotations

import re

import pytest

from qonverge.circuits import InvalidProgram
from qonverge.circuits.checker.checked_circuit import check

H = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
Q = H + "qubit[2] q;\nbit[2] c;\n"
H2 = 'OPENQASM 2.0;\ninclude "qelib1.inc";\n'
Q2 = H2 + "qreg q[2];\ncreg c[2];\n"

VERSION_3 = [
    ("", 'line 1, column 1: the program is empty; expected "OPENQASM 3.0;" or "OPENQASM 2.0;"'),
    ("  \n\n", 'line 1, column 1: the program is empty; expected "OPENQASM 3.0;" or "OPENQASM 2.0;"'),
    ("// hi\n", 'line 1, column 1: the program has only comments; expected "OPENQASM 3.0;" or "OPENQASM 2.0;"'),
    (
        "\x7fELF\x01\x02\x03\x80",
        "line 1, column 1: the text has the character U+007F, so this is no text or it was damaged; "
        "expected OpenQASM as plain text",
    ),
    (
        H + "\x01\x02qubit q;",
        "line 3, column 1: the text has the character U+0001, so this is no text or it was damaged; "
        "expected OpenQASM as plain text",
    ),
    (
        "hello world",
        "line 1, column 1: the version is missing: the program begins with 'hello'; "
        'expected "OPENQASM 3.0;" or "OPENQASM 2.0;"',
    ),
    (
        "openqasm 3.0;\n",
        "line 1, column 1: the version is missing: the program begins with 'openqasm'; "
        'expected "OPENQASM 3.0;" or "OPENQASM 2.0;"',
    ),
    (
        'OPENQASM 3.0\ninclude "stdgates.inc";\nqubit q;',
        'line 1, column 1: the version cannot be read; expected "OPENQASM 3.0;" or "OPENQASM 2.0;"',
    ),
    (
        "OPENQASM three;\nqubit q;",
        'line 1, column 1: the version cannot be read; expected "OPENQASM 3.0;" or "OPENQASM 2.0;"',
    ),
    ("OPENQASM 4.0;", "line 1, column 10: OpenQASM 4.0 is not known; expected 2.0 or 3.0"),
    ("OPENQASM 2.5;\nqreg q[1];", "line 1, column 10: OpenQASM 2.5 is not known; expected 2.0 or 3.0"),
    (
        "// a\nqubit q;\nOPENQASM 3.0;",
        'line 3, column 1: unexpected \'OPENQASM\'; expected a statement such as "h q[0];" or "c = measure q;"',
    ),
    (
        'include "qelib1.inc";\nqreg q[1];',
        "line 1, column 1: the version is missing: the program begins with 'include'; "
        'expected "OPENQASM 3.0;" or "OPENQASM 2.0;"',
    ),
    (
        Q + "for int i in [0:1] { cx q[i], q[i + 1]; }\nc = measure q;",
        "line 5, column 31: index 2 is out of range: register 'q' has the size 2; expected an index below 2",
    ),
    (Q + "h q[0]\ncx q[0], q[1];", "line 6, column 1: unexpected 'cx'; expected ';'"),
    (Q + "c = measure q", "line 5, column 14: unexpected end of the program; expected ';'"),
    (Q + "h r[0];", "line 5, column 3: 'r' is not declared; expected a declaration above it"),
    (Q + "d = measure q;", "line 5, column 1: 'd' is not declared; expected a declaration above it"),
    (Q + "cx q[0];", "line 5, column 1: wrong number of qubits for gate 'cx': 1; expected 2"),
    (Q + "h q[0], q[1];", "line 5, column 1: wrong number of qubits for gate 'h': 2; expected 1"),
    (Q + "rx q[0];", "line 5, column 1: wrong number of angles for gate 'rx': 0; expected 1"),
    (Q + "h(0.1) q[0];", "line 5, column 1: wrong number of angles for gate 'h': 1; expected 0"),
    (Q + "rx(1,2) q[0];", "line 5, column 1: wrong number of angles for gate 'rx': 2; expected 1"),
    (
        Q + "hadamard q[0];",
        "line 5, column 1: gate 'hadamard' is not defined; "
        'expected a gate of "stdgates.inc" or a definition such as "gate hadamard q { ... }" above it',
    ),
    (
        "OPENQASM 3.0;\nqubit q; bit c;\nh q;\nc = measure q;",
        "line 3, column 1: gate 'h' is not defined; expected include \"stdgates.inc\"; above it",
    ),
    (
        "OPENQASM 3.0;\nqubit[2] q;\ncx q[0],q[1];",
        "line 3, column 1: gate 'cx' is not defined; expected include \"stdgates.inc\"; above it",
    ),
    (
        Q + "h q[2];",
        "line 5, column 3: index 2 is out of range: register 'q' has the size 2; expected an index below 2",
    ),
    (
        Q + "c[7] = measure q[0];",
        "line 5, column 1: index 7 is out of range: register 'c' has the size 2; expected an index below 2",
    ),
    (
        Q + "h q[-5];",
        "line 5, column 3: index -5 is out of range: register 'q' has the size 2; expected an index below 2",
    ),
    (
        Q + "h q[0:7]; c=measure q;",
        "line 5, column 3: index 7 is out of range: register 'q' has the size 2; expected an index below 2",
    ),
    (Q + "cx q[0], q[0];", "line 5, column 1: a gate is given the same qubit twice; expected different qubits"),
    (Q + "h c[0];", "line 5, column 3: 'c' is no qubit; expected a qubit or a register of qubits"),
    (Q + "q = measure c;", "line 5, column 13: 'c' is no qubit; expected a qubit or a register of qubits"),
    (Q + "rx(q) q[0];", "line 5, column 4: 'q' is no angle; expected a number, pi, or an input of type float or angle"),
    (
        Q + "rx(true) q[0];",
        "line 5, column 4: 'true' is no angle; expected a number, pi, or an input of type float or angle",
    ),
    (Q + "c = 4;", "line 5, column 1: 4 does not fit into bit[2]; expected 0 to 3"),
    (
        Q + "float f; if (c[0]) { f = 1; }",
        "line 5, column 22: only the run decides whether 'f' is written here, and a "
        "float cannot be held during a run; expected bit, int, uint, bool or angle[n]",
    ),
    (
        H + "qubit[3] q;\nbit[2] c;\nc = measure q;",
        "line 5, column 1: the registers have different sizes; expected as many bits as qubits",
    ),
    (
        H + "qubit[3] q;\nqubit[2] r;\ncx q, r;",
        "line 5, column 1: the registers have different sizes; expected registers of one size",
    ),
    (
        'OPENQASM 3.0;\ninclude "foo.inc";\nqubit q;',
        'line 2, column 1: "foo.inc" cannot be included; expected "stdgates.inc" only',
    ),
    (
        'OPENQASM 3.0;\ninclude "qelib1.inc";\nqreg q[1];',
        'line 2, column 1: "qelib1.inc" cannot be included; expected "stdgates.inc" only',
    ),
    (
        "OPENQASM 3.0;\nqubit q; include '/etc/passwd';",
        'line 2, column 10: "/etc/passwd" cannot be included; expected "stdgates.inc" only',
    ),
    (
        "OPENQASM 3.0;\ninclude stdgates.inc;",
        "line 2, column 9: unexpected 'stdgates'; expected \"stdgates.inc\" in quotes",
    ),
    (H + 'include "stdgates.inc";\n', 'line 3, column 1: "stdgates.inc" is included twice; expected it once'),
    (Q + "defcal x $0 { }", "line 5, column 1: defcal is not supported; expected a gate definition"),
    (
        Q + 'defcalgrammar "openpulse";',
        "line 5, column 1: defcalgrammar is not supported; "
        "expected gates, measurements, classical variables, control flow and subroutines",
    ),
    (
        Q + "cal { }",
        "line 5, column 1: cal is not supported; expected gates, measurements, classical variables, control "
        "flow and subroutines",
    ),
    (
        Q + "extern f(int) -> int;",
        "line 5, column 1: extern is not supported; expected gates and measurements; Python programs can compute",
    ),
    (Q + "def f(qubit a) { h a; }\nf(q);", "line 6, column 3: the argument 'a' gets qubit[2]; expected qubit"),
    (Q + "def f(qubit a) { h a; }\nf();", "line 6, column 1: wrong number of arguments for 'f': 0; expected 1"),
    (
        Q + "def f(qubit a) -> bit { if (c[0]) { return true; } return false; }\nc[0] = f(q[0]);",
        "line 5, column 37: only the run decides whether the subroutine returns here; "
        'expected one "return", outside of such branches',
    ),
    (
        Q + "def f() { c[0] = 1; }\nf();",
        "line 5, column 11: a subroutine writes 'c', which is declared outside of it; expected a value that it returns",
    ),
    (
        Q + "def f() { f(); }\nf();",
        "line 5, column 11: more than 64 subroutines call each other; expected fewer, or a loop",
    ),
    (Q + "const int n = 3; n = 4;", "line 5, column 18: 'n' is constant; expected a variable"),
    (
        Q + "array[int, 3] a; a[3] = 1;",
        "line 5, column 18: index 3 is out of range: register 'a' has the size 3; expected an index below 3",
    ),
    (
        Q + "int n; if (c[0]) { n = 1; } x q[n];",
        "line 5, column 33: only the run decides this integer, since measurements do; "
        "expected an integer known before the run",
    ),
    (Q + "rx(c) q[0];", "line 5, column 4: 'c' is no angle; expected a number, pi, or an input of type float or angle"),
    (
        Q + "if (c == -1) x q[0];",
        "line 5, column 5: -1 is compared with bit[2], which is never negative; expected an integer from 0 to 3",
    ),
    (
        Q + "for int i in [0:1000000] { x q[i % 2]; }",
        "line 5, column 1: loops and subroutines unfold to more than 200000 "
        "statements; expected fewer; a loop whose body does not use its variable stays a loop",
    ),
    (
        Q + "while (true) { }",
        "line 5, column 1: loops and subroutines unfold to more than 200000 statements; expected fewer; "
        "a loop whose body does not use its variable stays a loop",
    ),
    (
        Q + "if (c[0]) { end; }",
        "line 5, column 13: only the run decides whether the program ends here; "
        'expected "end" outside of such branches and loops',
    ),
    (
        H + "input int n;",
        "line 3, column 1: no value is given for the parameter n; expected one number for each in parameters",
    ),
    (
        H + "input duration n;",
        "line 3, column 1: an input of type duration is not supported; expected float, angle, int, uint, bool or bit",
    ),
    (
        Q + "delay[10dt + 1ns] q;",
        "line 5, column 1: the duration mixes dt with seconds; "
        "expected one of the two: the length of dt is the device's",
    ),
    (Q + "delay[-1ns] q;", "line 5, column 1: the duration is negative; expected 0 or more"),
    (
        Q + "int n = durationof({x q[0];}) / 1ns;",
        "line 5, column 9: how long gates take is the device's and not known here; "
        "expected durationof of delays, or a number",
    ),
    (Q + "return;", "line 5, column 1: return outside a subroutine; expected it inside a subroutine only"),
    (
        Q + "switch (c) { case 1 { x q[0]; } case 1 { } }",
        "line 5, column 1: two cases of a switch have the same value; expected each value once",
    ),
    (Q + "while (i < 3) { x q[0]; }", "line 5, column 8: 'i' is not declared; expected a declaration above it"),
    (Q + "rx(asin(0.1)) q[0];", "line 5, column 4: 'asin' is no function; expected arcsin"),
    (
        Q + "rx(arcsin(2)) q[0];",
        "line 5, column 4: arcsin(2.0) has no finite value; expected an argument that it is defined for",
    ),
    (Q + "rx(2**5000) q[0];", "line 5, column 4: 2**5000 has more than 4096 bits; expected a smaller power, or floats"),
    (Q + "rx(PI) q[0];", "line 5, column 4: 'PI' is not declared; expected a name that is declared, perhaps 'pi'"),
    (Q + "let a = q;\nlet a = q;", "line 6, column 1: the name 'a' is taken in line 5; expected another name"),
    (Q + 'c = "011";', "line 5, column 1: a value of type bit[3] does not fit into bit[2]; expected 2 bits"),
    (
        Q + "stretch s;",
        "line 5, column 1: variables of type stretch are not supported; "
        "expected a duration such as 100ns: nothing here knows how long gates take",
    ),
    (Q + "h[100ns] q[0];", "line 5, column 1: a gate with a duration is not supported; expected the gate without it"),
    (Q + "qubit q;", "line 5, column 1: the name 'q' is taken in line 3; expected another name"),
    (Q + "bit q;", "line 5, column 1: the name 'q' is taken in line 3; expected another name"),
    (
        H + "gate h a { x a; }",
        "line 3, column 1: the name 'h' is taken by \"stdgates.inc\", included in line 2; expected another name",
    ),
    (
        H + "gate foo a { foo a; }",
        "line 3, column 14: gate 'foo' is not defined; "
        'expected a gate of "stdgates.inc" or a definition such as "gate foo q { ... }" above it',
    ),
    (H + "gate foo a { h b; }", "line 3, column 16: 'b' is not declared; expected a declaration above it"),
    (H + "gate foo a { measure a; }", "line 3, column 14: measure inside a gate definition; expected gates only"),
    (H + "qubit[2] gate;", "line 3, column 10: unexpected 'gate'; expected a name"),
    (Q + "if (c[0]) { x q[0];", "line 5, column 20: unexpected end of the program; expected '}'"),
    (Q + "x q[0]; }", "line 5, column 9: unexpected '}'; expected a '{' before it"),
    (Q + "rx(0.1 q[0];", "line 5, column 8: unexpected 'q'; expected an operator or ')'"),
    (Q + "h q[0;", "line 5, column 6: unexpected ';'; expected an operator or ']'"),
    (
        Q + "h q[0];\nh “q”;",
        'line 6, column 3: unexpected character \'“\'; expected a statement such as "h q[0];" or "c = measure q;"',
    ),
    (Q + "# comment\nh q[0];", "line 5, column 1: unexpected character '#'; expected \"//\" before a comment"),
    (Q + "qc.h(0)", 'line 5, column 3: unexpected \'.\'; expected a statement such as "h q[0];" or "c = measure q;"'),
    (Q + "/* open\nh q[0];", "line 5, column 1: the comment is not closed; expected */ after it"),
    (Q + 'include "foo', 'line 5, column 9: unexpected \'"\'; expected "stdgates.inc" in quotes'),
    (Q + "h $0;", "line 5, column 3: '$0' beside declared qubits; expected one of the two kinds only"),
    (
        "OPENQASM 3.0;\nU(0,0,0) $1000000000;",
        "line 2, column 10: no device has a qubit $1000000000; expected less than $100000",
    ),
    (H + "qubit[0] q;", 'the program has no qubits; expected a declaration such as "qubit[2] q;"'),
    (H + "qubit[-1] q;", "line 3, column 1: a register of -1 bits; expected at most 100000"),
    (H + "qubit[1.5] q;", "line 3, column 6: this is no constant integer; expected an integer such as 2"),
    (
        Q + "if (c > 0.5) { x q[0]; }",
        "line 5, column 5: a float is compared with what measurements decide; expected integers or bits",
    ),
    (
        Q + "if (q[0]) { x q[0]; }",
        "line 5, column 5: this is no condition that a circuit can hold; "
        'expected a bit, as in "if (c[0])", a bit compared with true or false, or a register compared with an integer',
    ),
    (Q + "rx(1/0) q[0];", "line 5, column 4: a division by zero; expected another divisor"),
    (Q + "break;", "line 5, column 1: break outside a loop; expected it inside a loop only"),
    (Q + "ctrl(5) @ x q[0];", "line 5, column 1: wrong number of qubits for gate 'x': 1; expected 6"),
    (
        Q + "for float f in [0:2] { x q[0]; }",
        "line 5, column 1: a loop over this type is not supported; expected int or uint",
    ),
    (Q + "gphase(0.1) q[0];", "line 5, column 1: wrong number of qubits: 1; expected 0"),
    (H + "bit c;", 'the program has no qubits; expected a declaration such as "qubit[2] q;"'),
    (H + "qubit[1_000_000_000] q;", "line 3, column 1: a register of 1000000000 bits; expected at most 100000"),
    (H + "qubit[0x3B9ACA00] q;", "line 3, column 1: a register of 1000000000 bits; expected at most 100000"),
    (
        H + "qubit[0b111011100110101100101000000000] q;",
        "line 3, column 1: a register of 1000000000 bits; expected at most 100000",
    ),
    (H + "qubit[0o7346545000] q;", "line 3, column 1: a register of 1000000000 bits; expected at most 100000"),
    (H + "qubit[1000*1000*1000] q;", "line 3, column 1: a register of 1000000000 bits; expected at most 100000"),
    (H + "qubit[/*x*/1000000000] q;", "line 3, column 1: a register of 1000000000 bits; expected at most 100000"),
    (H + "bit[1_000_000_000] q;", "line 3, column 1: a register of 1000000000 bits; expected at most 100000"),
]

VERSION_3 += [
    (
        Q + "box[100dt] { h q; }",
        "line 5, column 1: a box of a given duration is not supported; expected a box without it",
    ),
    (Q + "x[0] = 1;", "line 5, column 1: 'x' is no bit; expected a bit or a register of bits"),
    (Q + "h(0.1 q[0];", "line 5, column 7: unexpected 'q'; expected an operator or ')'"),
]

VERSION_2 = [
    (Q2 + "h q[0]\ncx q[0],q[1];", "line 6, column 1: unexpected 'cx'; expected ';'"),
    (Q2 + "measure q -> c", "line 5, column 15: unexpected the end of the program; expected ';'"),
    (Q2 + "h r[0];", "line 5, column 3: 'r' is not declared; expected a declaration above it"),
    (Q2 + "measure q -> d;", "line 5, column 14: 'd' is not declared; expected a declaration above it"),
    (Q2 + "cx q[0];", "line 5, column 1: wrong number of qubits for gate 'cx': 1; expected 2"),
    (
        Q2 + "rx q[0];",
        "line 5, column 1: gate 'rx' is given no angles; expected some in brackets, as in \"rx(0.5) ...\"",
    ),
    (Q2 + "rx(1,2) q[0];", "line 5, column 1: wrong number of angles for gate 'rx': 2; expected 1"),
    (Q2 + "h(0.1) q[0];", "line 5, column 1: wrong number of angles for gate 'h': 1; expected 0"),
    (Q2 + "hadamard q[0];", "line 5, column 1: 'hadamard' is not declared; expected a declaration above it"),
    (
        "OPENQASM 2.0;\nqreg q[1];\nh q[0];",
        "line 3, column 1: gate 'h' is not defined; expected include \"qelib1.inc\"; above it",
    ),
    (
        Q2 + "h q[2];",
        "line 5, column 5: index 2 is out of range: register 'q' has the size 2; expected an index below 2",
    ),
    (Q2 + "qreg q[2];", "line 5, column 6: 'q' is defined twice; expected another name, or one of the two left out"),
    (Q2 + "cx q[0],q[0];", "line 5, column 1: a gate is given the same qubit twice; expected different qubits"),
    (Q2 + "h c[0];", "line 5, column 3: 'c' is a classical register; expected a quantum register"),
    (
        H2 + "qreg q[3];\ncreg c[2];\nmeasure q -> c;",
        "line 5, column 1: the registers have different sizes; expected registers of one size, or single bits",
    ),
    (H2 + 'include "foo.inc";\n', 'line 3, column 1: "foo.inc" cannot be included; expected "qelib1.inc" only'),
    (
        'OPENQASM 2.0;\ninclude "stdgates.inc";\nqreg q[1];',
        'line 2, column 1: "stdgates.inc" cannot be included; expected "qelib1.inc" only',
    ),
    ("OPENQASM 2.0;\ninclude qelib1.inc;", "line 2, column 9: unexpected 'qelib1'; expected a file name in quotes"),
    (
        H2 + "qubit[2] q;",
        "line 3, column 1: 'qubit' is not declared; expected OpenQASM 2, or OPENQASM 3.0; in the first line",
    ),
    (Q2 + "c = measure q;", "line 5, column 1: 'c' is a classical register; expected a gate"),
    (
        Q2 + "opaque foo a;\nfoo q[0];\nmeasure q->c;",
        "line 6, column 1: gate 'foo' is opaque, so nothing can run it; expected a definition of it with gate",
    ),
    (Q2 + "if (c[0]==1) x q[0];", "line 5, column 6: unexpected '['; expected '=='"),
    (Q2 + "if (d==1) x q[0];", "line 5, column 5: 'd' is not declared; expected a declaration above it"),
    (H2 + "gate foo a { h b; }", "line 3, column 16: 'b' is not declared; expected a declaration above it"),
    (Q2 + "reset r;", "line 5, column 7: 'r' is not declared; expected a declaration above it"),
    (
        H2 + "gate foo a { h a;",
        "line 3, column 18: unexpected the end of the program; expected a closing brace '}' of the gate body",
    ),
    (Q2 + "rx(foo(1)) q[0];", "line 5, column 4: 'foo' is no function; expected sin, cos, tan, exp, ln or sqrt"),
    (H2 + "qreg q[0];", 'the program has no qubits; expected a declaration such as "qubit[2] q;"'),
    (
        H2 + "qreg Q[2];",
        "line 3, column 6: 'Q' begins with a capital letter; expected a name that begins with a small letter",
    ),
    (Q2 + "# c\n", "line 5, column 1: unexpected character '#'; expected OpenQASM 2"),
    (
        H2 + "\x01\x02",
        "line 3, column 1: the text has the character U+0001, so this is no text or it was damaged; "
        "expected OpenQASM as plain text",
    ),
    (Q2 + "h q[0];\nh θ;", "line 6, column 3: unexpected character 'θ'; expected ASCII characters only"),
    (H2 + "qreg q[1000000000];", "line 3, column 1: a register of 1000000000 bits; expected at most 100000"),
    (H2 + "qreg", "line 3, column 5: unexpected the end of the program; expected a name"),
    (Q2 + "rx(1/0) q[0];", "line 5, column 5: a division by zero; expected another divisor"),
    (
        H2 + "qreg q[99999999999999999999999];",
        "line 3, column 1: a register of 999999999999 bits; expected at most 100000",
    ),
    (
        H2 + 'include "qelib1.inc";\n',
        "line 3, column 1: 'u3' is defined twice; expected another name, or one of the two left out",
    ),
]

NESTED = [H + "(" * 20_000, H + "qubit q; rx(" + "-" * 5000 + "1) q;"]


@pytest.mark.parametrize(("text", "sentence"), VERSION_3 + VERSION_2)
def test_a_bad_program_is_explained(text: str, sentence: str) -> None:
    with pytest.raises(InvalidProgram) as error:
        check(text, {}, [])
    assert str(error.value) == sentence


def test_nearly_every_mistake_has_a_place_and_a_way_out() -> None:
    whole = ("the program has no qubits", "the program measures nothing")
    for _, sentence in VERSION_3 + VERSION_2:
        assert "; expected " in sentence
        assert re.match(r"line \d+, column \d+: ", sentence) or sentence.startswith(whole)


@pytest.mark.parametrize("text", NESTED)
def test_deep_nesting_is_refused(text: str) -> None:
    with pytest.raises(InvalidProgram, match="the program is nested too deeply; expected fewer brackets"):
        check(text, {}, [])


@pytest.mark.parametrize(
    "text",
    [
        Q + '// include "foo.inc"; qubit[1000000000] q;\nc = measure q;',
        Q + '/* include "foo.inc";\nqubit[1000000000] q; // $99999999 */ c = measure q;',
        "// OPENQASM 9.0; isn't it\n" + Q + "c = measure q;",
        "\ufeff" + Q + "c = measure q;",
        "OPENQASM 3.0; include 'stdgates.inc'; qubit q; bit c; h q; c = measure q;",
        Q2 + '// qreg z[1000000000]; include "foo.inc"; opaque h a;\nmeasure q -> c;',
        "OPENQASM 2.0; include 'qelib1.inc'; qreg q[1]; creg c[1]; h q[0]; measure q -> c;",
        Q2 + "opaque foo a;\nmeasure q -> c;",
        Q + "c[-1] = measure q[-1];",
        Q + "c[0:1] = measure q[{0, 1}];",
        H + "qubit[1_0] q; bit[0xa] c; c = measure q;",
    ],
)
def test_a_good_program_is_not_refused_for_how_it_looks(text: str) -> None:
    assert check(text, {}, []).analysis.measured_bits


OPENQASM_2 = 'OPENQASM 2.0; include "qelib1.inc";\nqreg q[2]; creg c[2]; creg long[100];\n'


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        ("if (c == 3) x q[0];", ()),
        ("if(c==4) x q[0];", ("line 3, column 1: the condition is never true: creg c[2] holds 0 to 3, not 4",)),
        (
            "// if(c==5) x q[0];\nx q[0]; if ( c == 17 ) x q[0];",
            ("line 4, column 9: the condition is never true: creg c[2] holds 0 to 3, not 17",),
        ),
        (
            f"if(long=={2**100}) x q[0]; if(long=={2**100 - 1}) x q[0];",
            (f"line 3, column 1: the condition is never true: creg long[100] holds 0 to 2^100 - 1, not {2**100}",),
        ),
        # Numbers are real in this version.
        ("rx(1/2*pi) q[0];", ()),
    ],
)
def test_what_misleads_in_openqasm_2_is_said(text: str, warnings: tuple[str, ...]) -> None:
    checked = check(f"{OPENQASM_2}{text} measure q -> c;", {}, [])
    assert checked.warnings == warnings


def test_columns_are_true_in_long_lines() -> None:
    # The reference parser counts some columns from the beginning of the text.
    text = 'OPENQASM 3.0;\ninclude "stdgates.inc"; qubit[2] q; bit[2] c; h q[0]; cx q[0], r[1]; c = measure q;'
    with pytest.raises(InvalidProgram) as error:
        check(text, {}, [])
    line, column = error.value.line, error.value.column
    assert (line, column) == (2, text.splitlines()[1].index("r[1]") + 1)
