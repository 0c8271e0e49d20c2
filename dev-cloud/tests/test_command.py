"""``qonverge dev-cloud``, as a person starts and ends it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from qonverge.cli.main import cli
from qonverge_dev_cloud.cloud import PORTS

COMMAND = [str(Path(sys.executable).parent / "qonverge"), "dev-cloud"]


def test_it_says_how_to_find_it_and_ends_on_interrupt() -> None:
    with subprocess.Popen(
        [*COMMAND, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stderr.readline() == "ready; Ctrl-C ends it\n"
        process.send_signal(signal.SIGINT)
        out, rest = process.communicate(timeout=300)
    assert (process.returncode, rest) == (0, "")
    exported = dict(line.removeprefix("export ").split("=", 1) for line in out.splitlines())
    assert exported["AWS_ENDPOINT_URL_BRAKET"].startswith("http://127.0.0.1:")
    assert "NOTAREALKEY" in exported["AWS_ACCESS_KEY_ID"]


def test_it_listens_where_it_is_told_without_qonverge() -> None:
    command = [sys.executable, "-m", "qonverge_dev_cloud", "--port", "0", "--host", "127.0.0.2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "ready; Ctrl-C ends it\n"
        process.terminate()
        out, _ = process.communicate(timeout=300)
    addresses = [line.partition("=")[2] for line in out.splitlines() if "http://" in line]
    assert addresses
    assert all(each.startswith("http://127.0.0.2:") for each in addresses)


def test_a_port_that_is_taken_and_a_bad_scenario_are_said_in_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        for port in range(taken - PORTS + 1, taken + 1):
            done = CliRunner().invoke(cli, ["dev-cloud", "--port", str(port)])
            sentence = f"error: ports {port} to {port + PORTS - 1}: address already in use: use another --port\n"
            assert (done.exit_code, done.output) == (1, sentence)
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text("seed: none\n")
    done = CliRunner().invoke(cli, ["dev-cloud", str(scenario)])
    assert done.exit_code == 2
    assert done.output.startswith(f"error: {scenario}: line 1: seed: ")
