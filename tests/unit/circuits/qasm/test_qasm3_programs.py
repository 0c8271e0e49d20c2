"""Programs without chance: what OpenQASM 3 says that they give, on the engine that runs them."""

from __future__ import annotations

import pytest

from qonverge.backend.engines.braket import BraketLocal
from qonverge.circuits.checker.checked_circuit import check
from tests.unit.circuits.qasm.qasm3_outcomes import HEADER, outcome

Q3 = "qubit[3] q; bit[3] c; "
Q4 = "qubit[4] q; bit[4] c; "
END = " c = measure q;"

KNOWN = {
    "constants size registers": ("const uint n = 3; qubit[n] q; bit[n] c; x q[n - 1];" + END, "100"),
    "a constant angle": ("const float w = pi; qubit q; bit c; rx(w) q;" + END, "1"),
    "built-in functions": ("qubit q; bit c; ry(2 * arccos(0.0)) q;" + END, "1"),
    "powers bind before signs": ("qubit q; bit c; rx(pi * (-2**2 + 5)) q;" + END, "1"),
    "powers associate to the right": ("qubit q; bit c; rx(pi * (2**3**0 - 1)) q;" + END, "1"),
    "loops over qubits": (Q3 + "for uint i in [0:2] { x q[i]; }" + END, "111"),
    "loops over sets": (Q3 + "for int i in {2, 0} { x q[i]; }" + END, "101"),
    "loops over arrays": (Q3 + "array[uint[8], 2] a = {1, 2}; for uint[8] i in a { x q[i]; }" + END, "110"),
    "loops over bits": (Q3 + 'bit[3] k = "011"; uint n; for bit b in k { if (b) x q[n]; n += 1; }' + END, "011 011"),
    "the next qubit": (Q4 + "x q[0]; for int i in [0:2] { cx q[i], q[i + 1]; }" + END, "1111"),
    "loops that count down": (Q4 + "x q[3]; for int i in [3:-1:1] { cx q[i], q[i - 1]; }" + END, "1111"),
    "loops without an iteration": (Q3 + "for int i in [1:0] { x q[i]; }" + END, "000"),
    "nested loops": (Q3 + "for int i in [0:1] { for int j in [0:i] { x q[i + j]; } }" + END, "111"),
    "a loop that stays one": (Q3 + "for int i in [1:7] { x q[0]; }" + END, "001"),
    "known while": (Q3 + "int n = 0; while (n < 3) { x q[n]; n += 2; }" + END, "101"),
    "known break": (Q3 + "for int i in [0:2] { if (i == 1) { break; } x q[i]; }" + END, "001"),
    "known continue": (Q3 + "for int i in [0:2] { if (i == 1) continue; x q[i]; }" + END, "101"),
    "known switch": (
        Q3 + "int n = 2; switch (n) { case 0, 1 { x q[0]; } case 2 { x q[1]; } default { x q; } }" + END,
        "010",
    ),
    "switch to its default": (Q3 + "int n = 9; switch (n) { case 0 { x q[0]; } default { x q[2]; } }" + END, "100"),
    "integer variables": (Q3 + "uint[4] n = 5; for uint i in [0:2] { if (bool(n[i])) x q[i]; }" + END, "101"),
    "unsigned integers wrap": (Q3 + "uint[2] n = 3; n += 2; x q[n];" + END, "010"),
    "signed integers wrap": (Q3 + "int[3] n = 3; n += 1; if (n == -4) x q[0];" + END, "001"),
    "C's division": (Q3 + "int n = -7; if (n / 2 == -3 && n % 2 == -1) x q[0];" + END, "001"),
    "shifts and bitwise": (Q3 + "uint[4] n = 12; if ((n >> 2 ^ 1) == 2 && (~n & 15) == 3) x q[1];" + END, "010"),
    "popcount and rotations": (
        Q3 + "uint[6] n = 37; if (popcount(n) == 3 && rotl(n, 3) == 44 && rotr(n, 3) == 44) x q;" + END,
        "111",
    ),
    "casts": (Q3 + "float f = 2.9; int n = int(f); x q[n]; if (bool(n)) x q[0];" + END, "101"),
    "bits as numbers": (Q3 + 'bit[2] k = "10"; x q[uint[2](k)];' + END, "10 100"),
    "numbers as bits": (
        Q3 + "uint[3] n = 6; bit[3] k = bit[3](n); for int i in [0:2] { if (k[i]) x q[i]; }" + END,
        "110 110",
    ),
    "angles of a size": (Q3 + "angle[4] a = 7 * (pi / 8); a += pi / 8; rx(a) q[0]; if (a == pi) x q[1];" + END, "011"),
    "angles shift": (
        Q3 + 'angle[4] a = 9 * (pi / 8); if ((a << 2) == pi / 2 && bit[4](a) == "1001") x q[2];' + END,
        "100",
    ),
    "complex numbers": (
        Q3 + "complex w = 1.0 + 2.0im; if (real(w * w) == -3.0 && imag(w * w) == 4.0) x q[0];" + END,
        "001",
    ),
    "arrays of two dimensions": (
        Q3 + "array[int[8], 2, 2] a = {{0, 1}, {2, 0}}; a[0, 1] = a[1, 0]; x q[a[0, 1]];" + END,
        "100",
    ),
    "slices of arrays": (Q3 + "array[int[8], 3] a = {0, 1, 2}; a[0:1] = a[1:2]; x q[a[0]];" + END, "010"),
    "rows of arrays": (
        Q3
        + "array[int[8], 2, 2] a = {{0, 1}, {2, 0}}; array[int[8], 2] b = a[1]; b[1] = 1; "
        + "x q[b[0]]; x q[a[1, 1]]; x q[b[1]];"
        + END,
        "111",
    ),
    "sizeof": (Q3 + "array[int[8], 2, 1] a; x q[sizeof(a)]; x q[sizeof(a, 1)]; x q[sizeof(q) - 3];" + END, "111"),
    "let": (Q4 + "let last = q[-1]; let pair = q[0:1]; x last; x pair[1];" + END, "1010"),
    "concatenation": (
        "qubit[2] a; qubit[2] b; bit[4] c; let all = b ++ a[0:0]; x all[0]; x all[2]; let q = a ++ b;" + END,
        "0101",
    ),
    "let of bits": (Q3 + "let low = c[0:1]; x q; low = measure q[0:1];", "011"),
    "ranges of the last": (Q4 + "x q[-2:-1];" + END, "1100"),
    "ranges that count down": (Q4 + "x q[2:-1:0];" + END, "0111"),
    "ranges in steps": (Q4 + "x q[0:2:3];" + END, "0101"),
    "ranges without ends": (Q4 + "x q[:1]; x q[3:];" + END, "1011"),
    "ranges backwards": ("qubit[2] q; bit[2] c; x q[0]; let r = q[1:-1:0]; c = measure r;", "10"),
    "ranges of bits": (Q4 + "x q; c[-3:-1] = measure q[-3:-1];", "1110"),
    "sets of qubits": (Q4 + "x q[{0, 3}];" + END, "1001"),
    "subroutines": ("def flip(qubit a) { x a; } " + Q3 + "flip(q[1]); flip q[2];" + END, "110"),
    "subroutines with numbers": (
        "def many(int n, qubit[3] r) { for int i in [0:n - 1] { x r[i]; } } " + Q3 + "many(2, q);" + END,
        "011",
    ),
    "numbers from subroutines": ("def twice(int n) -> int { return 2 * n; } " + Q3 + "x q[twice(1)];" + END, "100"),
    "recursion": (
        "def sum(int n) -> int { int r = 0; if (n > 0) { r = n + sum(n - 1); } return r; } "
        + Q4
        + "x q[sum(2)];"
        + END,
        "1000",
    ),
    "early return": (
        "def pick(int n) -> int { if (n > 1) { return 2; } return 0; } " + Q3 + "x q[pick(5)]; x q[pick(0)];" + END,
        "101",
    ),
    "arguments by value": (
        "def f(int n) -> int { n = 0; return n; } " + Q3 + "int m = 2; x q[f(m)]; x q[m];" + END,
        "101",
    ),
    "arrays by reference": (
        "def f(mutable array[int[8], 2] a) { a[0] = 2; } " + Q3 + "array[int[8], 2] b; f(b); x q[b[0]];" + END,
        "100",
    ),
    "gates in loops of gates": (
        "gate all a, b, c { for int i in [0:2] { x a; } x b; } " + Q3 + "all q[0], q[1], q[2];" + END,
        "011",
    ),
    "modifiers": (
        Q3
        + "x q[0]; ctrl @ x q[0], q[1]; negctrl @ x q[2], q[0]; pow(3) @ x q[2]; inv @ ctrl(2) @ x q[1], q[2], q[0];"
        + END,
        "111",
    ),
    "half powers": (Q3 + "pow(1 / 2.0) @ x q[0]; pow(0.5) @ x q[0];" + END, "001"),
    "durations": (
        Q3
        + "duration d = 100ns + 1us; x q[0]; delay[2 * d] q[0]; delay[10dt] q[1]; if (d / 100ns == 11) x q[2];"
        + END,
        "101",
    ),
    "durationof delays": (Q3 + "if (durationof({delay[100ns] q[0]; delay[50ns] q[0];}) == 150ns) x q[1];" + END, "010"),
    "the end": (Q3 + "x q[0]; c = measure q; end; x q; c = measure q;", "001"),
    "boxes and annotations": (Q3 + "@noisy\nbox { x q[0]; }" + END, "001"),
    "blocks": (Q3 + "int n = 0; { int n = 2; x q[n]; } x q[n];" + END, "101"),
    "bits with a value": ('qubit q; bit[2] c = "10"; c[0] = measure q;', "10"),
    "bits that are assigned": ("qubit q; bit[3] c; c = 6; c[1] = 0; x q; c[0] = measure q;", "101"),
    "outputs": ("qubit q; output bit c; x q; c = measure q;", "1"),
    "a measurement for itself": ("qubit[2] q; bit c; x q; measure q[1]; c = measure q[0];", "1"),
    "arrows": (Q3 + "x q[2]; measure q -> c;", "100"),
    "physical qubits": ("bit[2] c; x $1; c[0] = measure $0; c[1] = measure $1;", "10"),
}

M2 = "qubit[3] q; bit[2] c; bit[1] d; x q[1]; c[0] = measure q[0]; c[1] = measure q[1]; "
D = " d[0] = measure q[2];"
# c is 10 here.
RUN_TIME = {
    "a bit compared": (M2 + "if (c[1] == 1) x q[2];" + D, "1 10"),
    "a bit compared with false": (M2 + "if (c[0] == false) x q[2];" + D, "1 10"),
    "and": (M2 + "if (c[0] && c[1]) x q[2];" + D, "0 10"),
    "or": (M2 + "if (c[0] || c[1]) x q[2];" + D, "1 10"),
    "not": (M2 + "if (!(c == 2)) x q[2];" + D, "0 10"),
    "not equal": (M2 + "if (c != 2) x q[2];" + D, "0 10"),
    "above": (M2 + "if (c > 1) x q[2];" + D, "1 10"),
    "at most": (M2 + "if (c <= 1) x q[2];" + D, "0 10"),
    "turned round": (M2 + "if (1 < c) x q[2];" + D, "1 10"),
    "a register as truth": (M2 + "if (c) x q[2];" + D, "1 10"),
    "a cast": (M2 + "if (uint[2](c) == 2) x q[2];" + D, "1 10"),
    "a signed cast": (M2 + "if (int[2](c) < 0) x q[2];" + D, "1 10"),
    "patterns of a signed cast": (M2 + "if (int[2](c) == 2) x q[2];" + D, "1 10"),
    "bit strings": (M2 + 'if (c == "10") x q[2];' + D, "1 10"),
    "slices": (M2 + "if (c[{1, 0}] == 1) x q[2];" + D, "1 10"),
    "bitwise": (M2 + "if ((c & 2) != 0) x q[2];" + D, "1 10"),
    "exclusive or of bits": (M2 + "if (c[0] ^ c[1]) x q[2];" + D, "1 10"),
    "sums": (M2 + "if (uint[2](c) + 1 == 3) x q[2];" + D, "1 10"),
    "products": (M2 + "if (uint[4](c) * 3 == 6) x q[2];" + D, "1 10"),
    "else": (M2 + "if (c == 1) x q[0]; else { x q[2]; }" + D, "1 10"),
    "switch": (M2 + "switch (int[2](c)) { case 1 { } case 2 { x q[2]; } default { x q[2]; x q[2]; } }" + D, "1 10"),
    "switch on bits": (M2 + "switch (c[{1, 0}]) { case 2 { } case 1, 3 { x q[2]; } }" + D, "1 10"),
    "while": (M2 + "while (c[1]) { x q[1]; x q[2]; c[1] = measure q[1]; }" + D, "1 00"),
    "while over a known start": (
        'qubit q; bit[2] f = "11"; x q; while (f != 0) { f[1] = 0; f[0] = measure q; x q; } ',
        "00",
    ),
    "known values in branches": (M2 + "uint n = 0; if (c[1]) { n = 2; x q[n]; }" + D, "1 10"),
    "a variable that is held": (M2 + "bool up = c[1]; if (c[1]) { up = !up; } if (!up) x q[2];" + D, "0 1 10"),
    "a number that is held": (M2 + "uint[3] n = 1; if (c[1]) { n += 4; } if (n == 5) x q[2];" + D, "101 1 10"),
    "bits shifted": ("qubit q; bit[3] c; x q; c[0] = measure q; c <<= 2;", "100"),
    "bits rotated": ("qubit q; bit[3] c; x q; c[0] = measure q; c = rotl(c, 1);", "010"),
    "bits copied before they change": (
        "qubit[2] q; bit[1] c; bit[1] d; x q[0]; c[0] = measure q[0]; d = c; c[0] = measure q[1];",
        "1 0",
    ),
    "copies in blocks": (M2 + "for int i in [0:1] { bit k = c[i]; if (k) x q[2]; }" + D, "1 10"),
    "a measured bit returned": ("def m(qubit a) -> bit { x a; return measure a; } qubit q; bit c; c = m(q);", "1"),
    "measured bits returned": (
        "def m(qubit[2] a) -> bit[2] { bit[2] b; x a[1]; measure a -> b; return b; } qubit[2] q; bit[2] c; c = m(q);",
        "10",
    ),
    "a temporary bit": (
        "def m(qubit a, qubit b) -> bit { bit t; t = measure a; if (t) x b; return measure b; } qubit[2] q; bit "
        "c; x q[0]; c = m(q[0], q[1]);",
        "1",
    ),
    "two results in one expression": (
        "def m(qubit a) -> bit { return measure a; } qubit[2] q; bit c; x q[0]; c = m(q[0]) ^ m(q[1]);",
        "1",
    ),
    "a result decides": (
        "def m(qubit a) -> bit { return measure a; } qubit[2] q; bit c; x q[0]; if (m(q[0])) x q[1]; c = measure q[1];",
        "1",
    ),
    "parity": (
        "def par(qubit[3] a) -> bit { bit r = 0; for int i in [0:2] { bit t; t = measure a[i]; r ^= t; } return "
        "r; } qubit[3] q; bit c; x q; c = par(q);",
        "1",
    ),
    "an angle measured bit by bit": (
        "qubit[3] q; bit[1] d; angle[2] a; x q[0]; a[1] = measure q[0]; a[0] = measure q[1]; rx(a) q[2]; d[0] = "
        "measure q[2];",
        "10 1",
    ),
}
JUMPS = {
    "break": (
        "qubit[2] q; bit c; bit d; for int i in [0:5] { x q[0]; c = measure q[0]; if (c) break; x q[1]; } d = "
        "measure q[1];",
        "0 1",
    ),
    "break of an unfolded loop": (
        Q3 + "bit m; x q[1]; for int i in [0:2] { m = measure q[i]; if (m) break; x q[i]; } c = measure q;",
        "1 011",
    ),
    "continue of an unfolded loop": (
        Q3 + "bit m; x q[1]; for int i in [0:2] { m = measure q[i]; if (m) continue; x q[i]; } c = measure q;",
        "0 111",
    ),
    "while true": ("qubit q; bit c; while (true) { x q; c = measure q; if (c) break; }", "1"),
}


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_known_before_the_run(name: str) -> None:
    text, expected = KNOWN[name]
    assert outcome(text) == expected


@pytest.mark.parametrize("name", RUN_TIME)
def test_what_measurements_decide(name: str) -> None:
    text, expected = RUN_TIME[name]
    assert outcome(text) == expected


@pytest.mark.parametrize("name", JUMPS)
def test_break_and_continue(name: str) -> None:
    text, expected = JUMPS[name]
    assert outcome(text) == expected
    assert outcome(text, engine=BraketLocal) == expected


@pytest.mark.parametrize(
    ("declared", "use", "value", "expected"),
    [
        ("int n", "rx(n * pi)", 1.0, "1"),
        ("uint[4] n", "rx(pi / 2 * n)", 2, "1"),
        ("bool n", "if (n) x", 1, "1"),
        ("bit n", "if (!n) x", 0, "1"),
        ("bit[2] n", "if (n == 2) x", 2, "1"),
        ("float n", "rx(n)", 3.141592653589793, "1"),
        ("float n", "if (n > 0.5) x", 0.7, "1"),
        ("float n", "rx(pi * int(n))", 1.9, "1"),
        ("angle n", "rx(2 * arcsin(sin(n)))", 1.5707963267948966, "1"),
    ],
)
def test_inputs(declared: str, use: str, value: float, expected: str) -> None:
    assert outcome(f"input {declared}; qubit q; bit c; {use} q; c = measure q;", {"n": value}) == expected


def test_inputs_of_floats_stay_open_unless_they_have_to_be_known() -> None:
    body = "input float n; qubit q; bit c; {} q; c = measure q;"
    free = check(HEADER + body.format("rx(sin(n) * 2)"), {"n": 0.5}, [])
    assert free.fixed == ()
    assert free.digest == check(HEADER + body.format("rx(sin(n) * 2)"), {"n": 0.7}, []).digest
    fixed = check(HEADER + body.format("if (n > 0.6) x"), {"n": 0.5}, [])
    assert fixed.fixed == ("n",)
    assert fixed.analysis.parameters == ("n",)


@pytest.mark.parametrize("version", ["", "// first\n"])
def test_the_version_may_be_left_out(version: str) -> None:
    text = version + HEADER.splitlines()[1] + " qubit q; bit c; x q; c = measure q;"
    assert check(text, {}, []).analysis.measured_bits == 1
