"""The file of a server outside Kubernetes: what it says, and sentences with the field where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from qonverge.backend.standalone.config import ConfigError, read_config
from qonverge.cli.main import cli


def test_a_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "edge.yaml"
    file.write_text(
        "listen: 0.0.0.0:8443\n"
        "tls: {certificate: tls.crt, key: /etc/tls.key}\n"
        "tokens: tokens\n"
        "spool: {folder: spool, tasks: 5, size: 2Mi, retention: 1h30m}\n"
        "simulator: {engine: Aer, method: DensityMatrix, seed: 4, layout: AsGiven}\n"
        "capacity: {concurrency: 3, maxQubits: 9}\n"
        "calibration: device.json\n"
    )
    config = read_config(file)
    assert config.tls is not None
    assert config.spool is not None
    assert (config.tls.certificate, config.tls.key) == (str(tmp_path / "tls.crt"), "/etc/tls.key")
    limits = config.spool.limits()
    assert (limits.folder, limits.most_tasks, limits.most_bytes) == (tmp_path / "spool", 5, 2 * 1024**2)
    assert limits.retention_seconds == 5400
    options = config.options
    assert (options.engine, options.method, options.seed, options.layout) == ("Aer", "DensityMatrix", 4, "AsGiven")
    assert (options.concurrency, options.max_qubits) == (3, 9)
    assert options.noise == f"@{tmp_path / 'device.json'}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("listen: 0.0.0.0:80\n", "listen is 0.0.0.0:80, where others can call: give tls and tokens"),
        ("listen: '[::]:80'\ntokens: t\n", "give tls, or listen"),
        ("listen: here\n", "listen: give an address and port such as"),
        ("spool: {}\n", "spool.folder: required"),
        ("spool: {folder: f, size: much}\n", "spool.size: give a whole number, or a text such as 64Mi"),
        ("spol: {}\n", "spol: unknown field"),
        ("simulator: {engine: Stim, method: Statevector}\n", "simulator: the method is Statevector"),
        ("simulator: {engine: Remote}\n", "the engine Remote is a device elsewhere"),
        ("simulator: {noise: {configMapKeyRef: {name: a, key: b}}}\n", "there are no ConfigMaps here"),
        ("calibration: f\nsimulator: {noise: {device: algiers}}\n", "takes the place of simulator.noise"),
        ("capacity: {programs: 3}\n", "capacity.programs: a server starts no programs"),
        ("capacity: {concurrency: 0}\n", "capacity.concurrency: Input should be greater"),
        ("- a\n", "give one object"),
        ("", "give one object"),
        ("a: b: c\n", "neither YAML nor JSON"),
        ("listen: a\nlisten: b\n", "listen"),
        ("tokens: missing\n", "missing: No such file or directory"),
        ("calibration: missing\n", "missing: No such file or directory"),
        ("tls: {certificate: edge.yaml, key: edge.yaml}\n", "are no certificate with its key in PEM"),
        ("tokens: edge.yaml\n", "tokens: "),
        ("listen: 127.0.0.1:0\nsimulator: {engine: Nowhere}\n", "no engine is called Nowhere"),
        ("listen: 192.0.2.1:80\ntls: {certificate: c, key: k}\ntokens: t\n", "t: No such file or directory"),
        ("spool: {folder: /proc/spool}\n", "/proc/spool: No such file or directory"),
    ],
)
def test_what_is_wrong_is_a_sentence_with_the_field(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "edge.yaml"
    file.write_text(text)
    result = CliRunner().invoke(cli, ["backend", "serve", "--config", str(file)])
    assert result.exit_code == 2, result.output
    assert result.output.startswith(f"error: {file}")
    assert said in result.output
    assert "Traceback" not in result.output


def test_every_problem_is_told(tmp_path: Path) -> None:
    file = tmp_path / "edge.yaml"
    file.write_text("spool: {}\ntls: {}\n")
    with pytest.raises(ConfigError) as refused:
        read_config(file)
    assert len(refused.value.problems) == 3
