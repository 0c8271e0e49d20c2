"""Commands that other packages add."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest
from click.testing import CliRunner

from qonverge.cli import extensions
from qonverge.cli.main import cli


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    own = [EntryPoint(name, value, extensions.GROUP) for name, value in request.param.items()]
    monkeypatch.setattr(extensions, "entry_points", lambda group: own if group == extensions.GROUP else [])


@pytest.mark.parametrize("installed", [{}], indirect=True)
def test_a_command_whose_package_is_missing_says_which_one(installed: None) -> None:
    done = CliRunner().invoke(cli, ["dev-cloud", "scenario.yaml", "--port", "0"])
    assert (done.exit_code, done.output) == (
        2,
        "error: dev-cloud is not installed: pip install qonverge-dev-cloud\n",
    )
    listed = CliRunner().invoke(cli, ["--help"]).output
    assert "dev-cloud" in listed and "package qonverge-dev-cloud" in " ".join(listed.split())


@pytest.mark.parametrize("installed", [{"version-of-another": "qonverge.cli.main:version"}], indirect=True)
def test_a_package_adds_a_command(installed: None) -> None:
    done = CliRunner().invoke(cli, ["version-of-another", "-o", "json"])
    assert done.exit_code == 0 and done.output.startswith('{"version"')
    assert "version-of-another" in CliRunner().invoke(cli, ["--help"]).output


@pytest.mark.parametrize("installed", [{"run": "qonverge.cli.main:version"}], indirect=True)
def test_no_package_takes_the_place_of_a_command(installed: None) -> None:
    assert "HybridJob" in CliRunner().invoke(cli, ["run", "--help"]).output


@pytest.mark.parametrize("installed", [{"broken": "qonverge.no_such_module:command"}], indirect=True)
def test_a_command_that_cannot_be_loaded_leaves_the_others(installed: None) -> None:
    assert CliRunner().invoke(cli, ["version"]).exit_code == 0
    assert "broken" in CliRunner().invoke(cli, ["--help"]).output
    done = CliRunner().invoke(cli, ["broken"])
    assert done.exit_code == 2
    assert done.output == (
        "error: broken cannot be loaded from qonverge.no_such_module:command: "
        "No module named 'qonverge.no_such_module'\n"
    )
