"""Command line: ``python -m e2e.cluster up``. Exit status 1: it failed; 3: this machine lacks something."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import tempfile
from pathlib import Path

import yaml

from e2e.cluster.build import GROUPS, ORDINARY, Programs
from e2e.cluster.cluster import Cluster, default_directory
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.errors import ClusterError, RequirementsMissing
from e2e.cluster.link import Conditions
from e2e.cluster.plan import SITES
from e2e.cluster.release import install_project
from e2e.cluster.requirements import missing_requirements

ROOT = Path(__file__).resolve().parents[2]
_FAILED, _NOT_RUNNING, _REQUIREMENTS_MISSING = 1, 1, 3


def main(words: list[str] | None = None) -> int:
    """Run one command and return the exit status."""
    arguments = _parser().parse_args(words)
    try:
        return int(arguments.run(arguments) or 0)
    except RequirementsMissing as error:
        print(f"error: {error}", file=sys.stderr)
        return _REQUIREMENTS_MISSING
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        print("interrupted: `down` removes what was started", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m e2e.cluster", description="A real Kubernetes for tests.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="start the cluster, build and install Qonverge on it; again after a change")
    up.add_argument("--no-chart", dest="chart", action="store_false", help="start Kubernetes alone")
    up.set_defaults(run=_up)
    down = commands.add_parser("down", help="end the cluster and remove all that it left on this machine")
    down.set_defaults(run=_down)
    status = commands.add_parser("status", help="say what runs; exit status 1 unless everything does")
    status.set_defaults(run=_status)
    sites = commands.add_parser("sites", help=f"add nodes at the sites {' and '.join(SITES)}, or remove them")
    sites.add_argument("action", choices=["up", "down"])
    sites.set_defaults(run=_sites)
    link = commands.add_parser("link", help="change the way to a site; what is not given is as on a good link")
    link.add_argument("site", choices=SITES)
    link.add_argument("--delay", type=float, default=0.0, metavar="SECONDS", help="one way")
    link.add_argument("--loss", type=float, default=0.0, metavar="PART", help="of the packets, from 0 to 1")
    link.add_argument("--rate", type=float, metavar="BYTES", help="in a second")
    link.add_argument("--cut", action="store_true", help="let nothing pass")
    link.set_defaults(run=_link)
    for command in (up, down, status, sites, link):
        command.add_argument("--directory", type=Path, default=default_directory(), help="where the cluster lives")

    build = commands.add_parser("build", help="build programs into the cache, without starting anything")
    build.add_argument(
        "group", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}; by default {', '.join(ORDINARY)}"
    )
    build.set_defaults(run=_build)

    requirements = commands.add_parser("requirements", help="say what a layer of the tests lacks here; exit status 3")
    requirements.add_argument("layer", choices=["integration", "e2e"])
    requirements.set_defaults(run=_requirements)

    plane = commands.add_parser("control-plane", help="run etcd and an API server until Ctrl-C, without nodes")
    plane.add_argument("--controllers", action="store_true", help="also kube-controller-manager")
    plane.add_argument("--scheduler", action="store_true", help="also kube-scheduler")
    plane.add_argument("--fake-nodes", type=int, default=0, metavar="N", help="also KWOK, with N nodes")
    plane.add_argument("--audit-policy", type=Path, metavar="FILE", help="log what the policy names")
    plane.set_defaults(run=_control_plane)
    return parser


def _up(arguments: argparse.Namespace) -> None:
    cluster = Cluster(arguments.directory)
    cluster.up()
    if arguments.chart:
        install_project(cluster, ROOT)
    print("The cluster is ready. To use it:")
    print(f"  export KUBECONFIG={cluster.kubeconfig}")
    print(f"  export PATH={cluster.programs['kubectl'].parent}:{cluster.programs['helm'].parent}:$PATH")


def _down(arguments: argparse.Namespace) -> None:
    removed = Cluster(arguments.directory).down()
    print("removed" if removed else f"there is no cluster in {arguments.directory}")


def _sites(arguments: argparse.Namespace) -> None:
    cluster = Cluster(arguments.directory)
    if arguments.action == "up":
        cluster.add_sites()
    else:
        cluster.remove_sites()


def _link(arguments: argparse.Namespace) -> None:
    conditions = Conditions(arguments.delay, arguments.loss, arguments.rate, arguments.cut)
    conditions.write(Cluster(arguments.directory).plan.site(arguments.site).home)


def _status(arguments: argparse.Namespace) -> int:
    status = Cluster(arguments.directory).status()
    if not status.exists:
        print(f"there is no cluster in {arguments.directory}")
    for name, pid in status.programs.items():
        print(f"{name:<24} {'process ' + str(pid) if pid else 'does not run'}")
    if status.exists:
        print(f"{'API':<24} {'ready' if status.api_ready else 'not ready'}")
    return 0 if status.running else _NOT_RUNNING


def _build(arguments: argparse.Namespace) -> None:
    if unknown := [name for name in arguments.group if name not in GROUPS]:
        raise ClusterError(f"no group {', '.join(unknown)}: choose of {', '.join(GROUPS)}")
    programs = Programs()
    for name in arguments.group or ORDINARY:
        print(programs.build(GROUPS[name]))


def _requirements(arguments: argparse.Namespace) -> None:
    if missing := missing_requirements(arguments.layer):
        raise RequirementsMissing(arguments.layer, missing)


def _control_plane(arguments: argparse.Namespace) -> None:
    policy = yaml.safe_load(arguments.audit_policy.read_text()) if arguments.audit_policy else None
    with tempfile.TemporaryDirectory(prefix="qonverge-control-plane-") as folder:
        plane = ControlPlane(
            Path(folder),
            controllers=arguments.controllers,
            scheduler=arguments.scheduler,
            kwok=arguments.fake_nodes > 0,
            audit_policy=policy,
        )
        with plane:
            if arguments.fake_nodes:
                plane.add_fake_nodes(arguments.fake_nodes)
            print(f"export KUBECONFIG={plane.kubeconfig}", flush=True)
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()


if __name__ == "__main__":
    sys.exit(main())
