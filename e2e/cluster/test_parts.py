"""The parts of the cluster tool that can be judged without a cluster."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from e2e.cluster import dns, node_files, pip_settings
from e2e.cluster.__main__ import main
from e2e.cluster.build import GROUPS, Group, Programs, required_version
from e2e.cluster.certificates import Authority, kubeconfig
from e2e.cluster.cgroups import hierarchies
from e2e.cluster.errors import ClusterError, CommandFailed, NotReady, RequirementsMissing
from e2e.cluster.images import ImageReference, source_digest
from e2e.cluster.plan import SITES, NodePlan, Plan, choose_network
from e2e.cluster.processes import Daemon, execute, free_ports
from e2e.cluster.requirements import go_version, missing_requirements
from e2e.cluster.supervisor import Supervisor, start_time

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PLAN = Plan.create(
    Path("/var/lib/x"), IPv4Network("10.250.0.0/16"), range(20000, 20007), {"vm/panic_on_oom": "0"}, ["/etc/cni"]
)


def test_a_server_certificate_is_accepted_by_python_and_names_its_hosts(tmp_path: Path) -> None:
    authority = Authority.create("test", datetime.now(UTC))
    pair = authority.issue("server", datetime.now(UTC), hosts=["localhost", "10.0.0.1"])
    (tmp_path / "pair.pem").write_bytes(pair.certificate + pair.key)
    server_side, client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server_side.load_cert_chain(tmp_path / "pair.pem")
    client_side.load_verify_locations(cadata=authority.certificate.decode())
    client_side.verify_flags |= ssl.VERIFY_X509_STRICT
    for name in ("localhost", "10.0.0.1"):
        _handshake(client_side, server_side, name)
    with pytest.raises(ssl.SSLCertVerificationError, match="example"):
        _handshake(client_side, server_side, "example.com")


def test_a_client_certificate_has_its_groups_and_no_server_rights() -> None:
    pair = Authority.create("test", NOW).issue("system:node:a", NOW, organizations=["system:nodes"])
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    assert certificate.subject.rfc4514_string() == "CN=system:node:a,O=system:nodes"
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [usage._name for usage in usages] == ["clientAuth"]
    assert certificate.not_valid_before_utc < NOW < certificate.not_valid_after_utc


def test_a_kubeconfig_needs_no_other_file() -> None:
    authority = Authority.create("test", NOW)
    content = kubeconfig("https://127.0.0.1:1", authority.certificate, authority.issue("admin", NOW))
    assert content["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:1"
    assert set(content["users"][0]["user"]) == {"client-certificate-data", "client-key-data"}


def test_versions_come_from_the_module_files() -> None:
    assert required_version("go 1.26\nrequire k8s.io/kubernetes v1.35.4\n", "k8s.io/kubernetes") == "v1.35.4"
    assert required_version("require (\n\tk8s.io/kubernetes v1.2.3 // indirect\n)", "k8s.io/kubernetes") == "v1.2.3"
    with pytest.raises(ValueError, match="no requirement"):
        required_version("require k8s.io/kubernetes-other v1.0.0", "k8s.io/kubernetes")
    assert "gitVersion=v1.35" in GROUPS["kubernetes"].linker_flags


def test_a_program_is_built_once_and_again_after_a_change(tmp_path: Path) -> None:
    group = _hello(tmp_path)
    with ThreadPoolExecutor() as threads:
        paths = set(threads.map(lambda _: Programs(tmp_path / "cache").build(group), range(3)))
    (path,) = paths
    inode = (path / "hello").stat().st_ino
    assert execute([path / "hello"]) == "one"
    assert (Programs(tmp_path / "cache").build(group) / "hello").stat().st_ino == inode
    (group.directory / "main.go").write_text(HELLO.replace("one", "two"))
    changed = Programs(tmp_path / "cache").build(group)
    assert changed != path
    assert execute([changed / "hello"]) == "two"


def test_a_failed_build_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    group = _hello(tmp_path)
    (group.directory / "main.go").write_text("package main\n\nfunc main() { undefined() }\n")
    with pytest.raises(CommandFailed, match="undefined: undefined"):
        Programs(tmp_path / "cache").build(group)
    assert list((tmp_path / "cache" / "programs").iterdir()) == []


def test_without_go_it_says_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = _hello(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RequirementsMissing, match="install Go"):
        Programs(tmp_path / "cache").build(group)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    (sentence,) = missing_requirements("integration")
    assert "builds kubernetes, etcd, kwok: there is no command go" in sentence


def test_versions_of_go() -> None:
    assert go_version("go1.26.1\n") == (1, 26)
    assert go_version("devel") is None


def test_a_free_network_is_chosen() -> None:
    assert choose_network(["default", "192.168.0.0/16"]) == IPv4Network("10.250.0.0/16")
    assert choose_network(["10.250.3.0/24", "10.249.0.1"]) == IPv4Network("10.248.0.0/16")
    with pytest.raises(ClusterError, match="no free network"):
        choose_network(["10.0.0.0/8"])


def test_a_plan_survives_its_file() -> None:
    assert Plan.from_json(PLAN.to_json(), PLAN.directory) == PLAN


def test_addresses_of_a_plan_lie_apart() -> None:
    pods, services = IPv4Network(PLAN.pod_network), IPv4Network(PLAN.service_network)
    assert not pods.overlaps(services)
    assert IPv4Address(PLAN.dns_address) in services
    assert IPv4Address(PLAN.node_address) not in pods
    assert IPv4Address(PLAN.node_address) not in services
    nodes = [PLAN.node, *map(PLAN.site, SITES)]
    ranges = [IPv4Network(node.pod_network) for node in nodes]
    assert all(each.subnet_of(pods) for each in ranges)
    assert len({each.network_address for each in ranges}) == len(nodes)
    for address in (IPv4Address(node.address) for node in nodes):
        assert address in PLAN.network
        assert address not in pods
        assert address not in services
    assert len({node.address for node in nodes}) == len({node.cgroup for node in nodes}) == len(nodes)


def test_a_name_fits_an_interface_and_differs_by_directory() -> None:
    other = replace(PLAN, directory=Path("/var/lib/y"))
    assert max(len(name) for name in (PLAN.name, *map(PLAN.link_device, SITES))) <= 15
    assert PLAN.name != other.name


def test_a_directory_too_long_for_sockets_is_refused() -> None:
    with pytest.raises(ClusterError, match="too long"):
        Plan.create(Path("/" + "x" * 80), PLAN.network, range(7), {}, [])


@pytest.mark.parametrize("node", [PLAN.node, *map(PLAN.site, SITES)], ids=lambda node: node.name)
def test_configuration_files_are_what_their_readers_parse(node: NodePlan) -> None:
    text = node_files.containerd(node, pause_image="localhost/p:1", runc="/usr/sbin/runc", cni_plugins=Path("/cni"))
    cri = tomllib.loads(text)["plugins"]["io.containerd.grpc.v1.cri"]
    assert cri["sandbox_image"] == "localhost/p:1"
    assert cri["containerd"]["runtimes"]["runc"]["options"]["BinaryName"] == "/usr/sbin/runc"
    kubelet = yaml.safe_load(node_files.kubelet(PLAN, node))
    assert kubelet["cgroupRoot"] == f"/{node.cgroup}"
    assert kubelet["clusterDNS"] == [PLAN.dns_address]
    assert yaml.safe_load(node_files.kube_proxy(PLAN, node))["clusterCIDR"] == PLAN.pod_network
    plugins = json.loads(node_files.network(PLAN, node))["plugins"]
    assert plugins[0]["ipam"]["ranges"] == [[{"subnet": node.pod_network}]]


def test_the_dns_service_has_the_address_that_the_kubelet_tells_pods() -> None:
    services = [item for item in dns.objects("image", PLAN.dns_address) if item["kind"] == "Service"]
    assert [service["spec"]["clusterIP"] for service in services] == [PLAN.dns_address]


def test_cgroup_hierarchies_of_both_versions_are_found() -> None:
    version_1 = (
        "32 31 0:29 / /sys/fs/cgroup/cpu rw shared:5 - cgroup cgroup rw,cpu\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
        "42 31 0:29 / /elsewhere/cpu rw - cgroup cgroup rw,cpu\n"
        "27 1 254:0 / / rw - ext4 /dev/vda rw\n"
    )
    assert hierarchies(version_1) == [Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/unified")]
    version_2 = "31 23 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
    assert hierarchies(version_2) == [Path("/sys/fs/cgroup")]


def test_settings_of_pip_that_a_build_needs() -> None:
    printed = """:env:.cert='/tmp/ca.pem'
:env:.disable-pip-version-check='1'
global.cert='/etc/other.pem'
global.index-url='https://packages.example/simple'
install.user='true'
"""
    assert pip_settings.parse_settings(printed) == {
        "cert": "/tmp/ca.pem",
        "index-url": "https://packages.example/simple",
    }


def test_a_build_sees_files_of_this_machine_elsewhere(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    settings = {"find-links": f"{wheels} https://packages.example/links", "cert": "/nowhere/ca.pem"}
    relocated = pip_settings.relocate(settings, "/run/pip")
    assert relocated.mounts == {wheels: "/run/pip/0"}
    assert "find-links = /run/pip/0 https://packages.example/links" in relocated.configuration
    assert str(tmp_path) not in relocated.configuration


def test_references_of_images() -> None:
    reference = ImageReference.parse("registry.example:5000/team/qonverge:1.2")
    assert reference == ImageReference("registry.example:5000/team", "qonverge", "1.2")
    assert reference.image("backend") == "registry.example:5000/team/qonverge-backend:1.2"
    assert ImageReference.parse("localhost/qonverge").tag == "latest"
    with pytest.raises(ClusterError, match="not a reference"):
        ImageReference.parse("qonverge")


def test_the_tag_of_images_follows_their_sources(tmp_path: Path) -> None:
    code = tmp_path / "operator" / "module.py"
    code.parent.mkdir()
    code.write_text("1")
    (tmp_path / "Dockerfile").write_text("FROM scratch")
    first = source_digest(tmp_path, "base")
    (tmp_path / "operator" / "__pycache__").mkdir()
    (tmp_path / "operator" / "__pycache__" / "module.pyc").write_text("compiled")
    (tmp_path / "bench.py").write_text("not copied")
    assert source_digest(tmp_path, "base") == first
    assert source_digest(tmp_path, "other base") != first
    (tmp_path / "dev-cloud").mkdir()
    (tmp_path / "dev-cloud" / "module.py").write_text("in no image of the project")
    assert source_digest(tmp_path, "base") == first
    code.write_text("2")
    assert source_digest(tmp_path, "base") != first


def test_free_ports_are_not_those_of_outgoing_connections() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert max(ports) < 32768


def test_a_daemon_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    daemon = Daemon("server", ["sh", "-c", "echo 'no such flag'; exit 1"], tmp_path / "log")
    daemon.start()
    with pytest.raises(NotReady, match=r"server ended(.|\n)*no such flag"):
        daemon.wait_until(lambda: False, timeout=30)


def test_a_supervised_program_is_found_again_and_restarted_only_after_a_change(tmp_path: Path) -> None:
    def supervisor() -> Supervisor:
        return Supervisor(tmp_path, tmp_path, tmp_path / "cgroup.procs")

    configuration = tmp_path / "configuration"
    configuration.write_text("a")
    command = ["sleep", "600"]
    supervisor().start("sleeper", command, configuration)
    pid = supervisor().pid("sleeper")
    try:
        assert pid is not None
        # The program joins the cgroup before it starts, which takes a moment.
        while Path(f"/proc/{pid}/comm").read_text() != "sleep\n":
            time.sleep(0.01)
        assert (tmp_path / "cgroup.procs").read_text() == f"{pid}\n"
        supervisor().start("sleeper", command, configuration)
        assert supervisor().pid("sleeper") == pid
        configuration.write_text("b")
        supervisor().start("sleeper", command, configuration)
        assert supervisor().pid("sleeper") not in {None, pid}
    finally:
        supervisor().stop("sleeper", grace=5)
    assert not supervisor().alive("sleeper")


def test_a_process_id_of_another_process_is_not_mistaken_for_a_supervised_one(tmp_path: Path) -> None:
    record = {"pid": os.getpid(), "start_time": start_time(os.getpid()), "digest": ""}
    supervisor = Supervisor(tmp_path, tmp_path, tmp_path / "cgroup.procs")
    (tmp_path / "it.json").write_text(json.dumps(record))
    assert supervisor.pid("it") == os.getpid()
    (tmp_path / "it.json").write_text(json.dumps(record | {"start_time": 1}))
    assert supervisor.pid("it") is None


def test_the_command_line_says_errors_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "kubernets"]) == 1
    assert "no group kubernets: choose of kubernetes" in capsys.readouterr().err
    assert main(["down", f"--directory={tmp_path}"]) == 0
    assert "there is no cluster" in capsys.readouterr().out
    assert main(["status", f"--directory={tmp_path}"]) == 1


def test_the_command_line_says_what_is_missing_with_a_status_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(["requirements", "e2e"]) == 3
    assert "there is no command go" in capsys.readouterr().err


HELLO = """package main

import "fmt"

func main() { fmt.Print("one") }
"""


def _hello(folder: Path) -> Group:
    if shutil.which("go") is None:
        pytest.skip("needs Go")
    group = Group("hello", {"hello": "."}, modules=folder / "modules")
    group.directory.mkdir(parents=True)
    (group.directory / "go.mod").write_text("module example.com/hello\n\ngo 1.25\n")
    (group.directory / "main.go").write_text(HELLO)
    return group


def _handshake(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> None:
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(3):
        for end in ends:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    assert ends[0].getpeercert()
