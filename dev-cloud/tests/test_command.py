"""``qonverge dev-cloud``, as a person starts and ends it."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

COMMAND = [str(Path(sys.executable).parent / "qonverge"), "dev-cloud"]


def test_it_says_how_to_find_it_and_ends_on_interrupt() -> None:
    with subprocess.Popen(
        [*COMMAND, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stderr.readline() == "ready; Ctrl-C ends it\n"
        process.send_signal(signal.SIGINT)
        out, rest = process.communicate(timeout=30)
    assert (process.returncode, rest) == (0, "")
    exported = dict(line.removeprefix("export ").split("=", 1) for line in out.splitlines())
    assert exported["AWS_ENDPOINT_URL_BRAKET"].startswith("http://127.0.0.1:")
    assert "NOTAREALKEY" in exported["AWS_ACCESS_KEY_ID"]


def test_a_port_that_is_taken_and_a_bad_scenario_are_said_in_a_sentence(tmp_path: Path) -> None:
    from qonverge_dev_cloud.cloud import DevCloud

    with DevCloud() as cloud:
        port = cloud.control_url.rsplit(":", 1)[1]
        with urllib.request.urlopen(cloud.control_url) as response:
            assert response.status == 200
        done = subprocess.run([*COMMAND, "--port", port], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and done.stderr.rstrip().endswith("use another --port")
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text("seed: none\n")
    done = subprocess.run([*COMMAND, str(scenario)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {scenario}: line 1: seed: ")
