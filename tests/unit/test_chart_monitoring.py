"""What the chart brings for monitoring: alerts, which promtool tests, dashboards, monitors, and settings."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.layers import require_prometheus
from qonverge.controller.objects.object_names import BACKEND_LABEL, JOB_LABEL, METRICS_PORT_NAME, PORT_NAME
from qonverge.controller.settings import Settings
from qonverge.telemetry.definitions import BACKEND, OPERATOR
from tests.unit.test_chart import CHART, helm, one, render, template

__all__ = ["helm"]

ALL = tuple(
    part
    for name in ("serviceMonitor", "podMonitor", "rules", "dashboards")
    for part in ("--set", f"telemetry.{name}.enabled=true")
)
GUIDE = CHART.parents[1] / "docs" / "monitoring.md"
TESTS = Path(__file__).with_name("alerts.yaml")
_OURS = re.compile(r"qonverge_(?:backend|operator)_[a-z_]+")


def test_every_alert_fires_when_it_is_to_and_not_before(helm: Path, tmp_path: Path) -> None:
    require_prometheus()
    spec = one(render(helm, *ALL), "PrometheusRule")["spec"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(spec))
    tests = {"rule_files": ["rules.yaml"], **yaml.safe_load(TESTS.read_text())}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(tests))
    for command in (["check", "rules", "rules.yaml"], ["test", "rules", "tests.yaml"]):
        done = subprocess.run(["promtool", *command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    cases = [
        (case["alertname"], bool(case["exp_alerts"])) for test in tests["tests"] for case in test["alert_rule_test"]
    ]
    alerts = {rule["alert"] for group in spec["groups"] for rule in group["rules"]}
    assert {name for name, fires in cases if fires} == {name for name, fires in cases if not fires} == alerts


def test_the_guide_has_a_configuration_that_prometheus_takes(tmp_path: Path) -> None:
    require_prometheus()
    (text,) = re.findall(r"^```yml\n(.*?)^```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    config = yaml.safe_load(text)
    for job in config["scrape_configs"]:
        # Debian's Prometheus is built without it.
        assert job.pop("kubernetes_sd_configs")
        job["static_configs"] = [{"targets": ["127.0.0.1:1"]}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = ["promtool", "check", "config", "--lint=all", "--lint-fatal", "prometheus.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_guides_query_of_power_gives_watts_of_pods_and_of_tasks(tmp_path: Path) -> None:
    """By promtool, of series with Kepler's labels, whose other zones are parts of the first."""
    require_prometheus()
    (query,) = re.findall(r"^```promql\n(.*?)^```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    of_pod = 'kepler_pod_cpu_joules_total{pod_name="a-0", pod_namespace="lab", state="running", zone="%s"}'
    joules = {"package": "0+120x10", "dram": "0+30x10", "core": "0+90x10"}
    series = [{"series": of_pod % zone, "values": values} for zone, values in joules.items()]
    series.append({"series": 'cryostat_power_watts{instance="meter"}', "values": "25000x10"})
    expected = [
        # Joules in 15 s.
        {"labels": '{namespace="lab", pod="a-0"}', "value": (120 + 30) / 15},
        {"labels": '{namespace="lab", backend="qpu"}', "value": 25_000},
    ]
    case = {"expr": query, "eval_time": "2m", "exp_samples": expected}
    tests = {"tests": [{"interval": "15s", "input_series": series, "promql_expr_test": [case]}]}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(tests))
    command = ["promtool", "test", "rules", "tests.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_guide_explains_every_alert_and_shows_every_dashboard(helm: Path) -> None:
    objects, guide = render(helm, *ALL), GUIDE.read_text()
    (group,) = one(objects, "PrometheusRule")["spec"]["groups"]
    assert [f"`{rule['alert']}`" for rule in group["rules"]] == re.findall(
        r"^\| (`Qonverge\w+`) \|", guide, re.MULTILINE
    )
    pictures = re.findall(r"\(dashboard-(\w+)\.png\)", guide)
    assert sorted(pictures) == sorted(path.stem for path in (CHART / "dashboards").glob("*.json"))
    assert all((GUIDE.parent / f"dashboard-{name}.png").is_file() for name in pictures)


def test_alerts_and_dashboards_name_metrics_that_there_are(helm: Path) -> None:
    objects = render(helm, *ALL)
    text = json.dumps([each for each in objects if each["kind"] in ("PrometheusRule", "ConfigMap")])
    known = {each.name for each in (*BACKEND, *OPERATOR)}
    known |= {f"{each.name}_{part}" for each in (*BACKEND, *OPERATOR) if each.buckets for part in ("bucket", "count")}
    assert set(_OURS.findall(text)) - known == set()


def test_dashboards_are_where_grafana_looks(helm: Path) -> None:
    maps = [each for each in render(helm, *ALL) if each["kind"] == "ConfigMap"]
    dashboards = [json.loads(text) for each in maps for text in each["data"].values()]
    assert {each["metadata"]["labels"]["grafana_dashboard"] for each in maps} == {"1"}
    assert sorted(each["uid"] for each in dashboards) == [
        "qonverge-backend",
        "qonverge-cost",
        "qonverge-fleet",
        "qonverge-jobs",
    ]
    for dashboard in dashboards:
        places = [panel["gridPos"] for panel in dashboard["panels"]]
        cells = [
            (x, y)
            for place in places
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ]
        assert len(cells) == len(set(cells)), f"panels of {dashboard['uid']} overlap"
        assert max(x for x, _ in cells) < 24
        assert len({panel["id"] for panel in dashboard["panels"]}) == len(places)
        assert all(panel["targets"] and panel["title"] for panel in dashboard["panels"])


def test_monitors_find_operator_and_backends(helm: Path) -> None:
    objects = render(helm, *ALL, "--set", "watchNamespaces={a,b},telemetry.podMonitor.labels.release=prom")
    service, monitor = one(objects, "Service"), one(objects, "ServiceMonitor")
    labels = service["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    (endpoint,) = monitor["spec"]["endpoints"]
    (port,) = [each for each in service["spec"]["ports"] if each["name"] == endpoint["port"]]
    (container,) = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert port["targetPort"] in {each["name"] for each in container["ports"]}
    pods = one(objects, "PodMonitor", "qonverge-backends")
    assert pods["metadata"]["labels"]["release"] == "prom"
    assert pods["spec"]["namespaceSelector"] == {"matchNames": ["a", "b"]}
    assert pods["spec"]["selector"] == {"matchExpressions": [{"key": BACKEND_LABEL, "operator": "Exists"}]}
    (of_pods,) = pods["spec"]["podMetricsEndpoints"]
    assert of_pods["port"] == PORT_NAME
    assert not of_pods.get("honorLabels"), "a pod must not speak for another"
    programs = one(objects, "PodMonitor", "qonverge-programs")["spec"]
    assert programs["selector"] == {"matchExpressions": [{"key": JOB_LABEL, "operator": "Exists"}]}
    assert programs["podMetricsEndpoints"][0]["port"] == METRICS_PORT_NAME
    without = render(helm, *ALL, "--set", "telemetry.programMetrics=false")
    assert [each["metadata"]["name"] for each in without if each["kind"] == "PodMonitor"] == ["qonverge-backends"]
    everywhere = one(render(helm, *ALL), "PodMonitor", "qonverge-backends")["spec"]["namespaceSelector"]
    assert everywhere == {"any": True}


def test_a_pods_backend_is_named_as_the_operators_series_name_it(helm: Path) -> None:
    """By the relabelling, as Prometheus does it: the source labels joined, the whole matched, its first group taken."""
    pods = one(render(helm, *ALL), "PodMonitor", "qonverge-backends")
    (rule,) = pods["spec"]["podMetricsEndpoints"][0]["relabelings"]
    assert rule["sourceLabels"] == [
        "__meta_kubernetes_namespace",
        "__meta_kubernetes_pod_label_" + re.sub(r"[^a-zA-Z0-9_]", "_", BACKEND_LABEL),
    ]
    found = re.fullmatch(rule["regex"], rule["separator"].join(["lab", "my-qb-qb"]))
    assert found is not None
    assert (found[1], rule["targetLabel"]) == ("lab/my-qb", "backend")


def test_by_default_there_is_none_of_it(helm: Path) -> None:
    kinds = {each["kind"] for each in render(helm)}
    assert not kinds & {"ServiceMonitor", "PodMonitor", "PrometheusRule", "ConfigMap"}
    assert "annotations" not in one(render(helm), "Deployment")["spec"]["template"]["metadata"]


def _settings(objects: list[dict[str, Any]]) -> tuple[Settings, dict[str, Any]]:
    pod = one(objects, "Deployment")["spec"]["template"]["spec"]
    environment = {entry["name"]: entry["value"] for entry in pod["containers"][0]["env"] if entry.get("value")}
    return Settings.from_environment(environment), pod


def test_prometheus_and_its_secret_reach_the_operator(helm: Path) -> None:
    values = "url=https://prometheus.monitoring.svc:9090/base,secret=prom,tokenKey=token,caKey=ca.crt,powerQuery=watts"
    sets = ",".join(f"telemetry.prometheus.{each}" for each in values.split(","))
    settings, pod = _settings(
        render(helm, "--set", f"{sets},telemetry.staleSeconds=90,telemetry.scrapeAnnotations=true")
    )
    assert settings.prometheus_url == "https://prometheus.monitoring.svc:9090/base"
    assert settings.prometheus_token_file == "/run/qonverge/prometheus/token"
    assert settings.prometheus_ca_file == "/run/qonverge/prometheus/ca.crt"
    assert settings.prometheus_power_query == "watts"
    assert (settings.stale_seconds, settings.scrape_annotations) == (90, True)
    (mount,) = [each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "prometheus"]
    (volume,) = [each for each in pod["volumes"] if each["name"] == "prometheus"]
    assert (mount["mountPath"], mount["readOnly"]) == ("/run/qonverge/prometheus", True)
    assert volume["secret"]["secretName"] == "prom"
    plain, pod = _settings(render(helm))
    assert (plain.prometheus_url, plain.prometheus_token_file, plain.stale_seconds) == ("", "", 60)
    assert "prometheus" not in {each["name"] for each in pod["volumes"]}


def test_a_collector_and_its_headers_reach_the_operator(helm: Path) -> None:
    values = "endpoint=http://collector:4318,headersSecret.name=otlp"
    sets = ",".join(f"telemetry.tracing.{each}" for each in values.split(","))
    settings, pod = _settings(render(helm, "--set", sets, "--set-json", "telemetry.tracing.sampleRatio=0.25"))
    assert settings.otlp_endpoint == "http://collector:4318"
    given = {each["name"]: each for each in pod["containers"][0]["env"]}
    reference = {"name": "otlp", "key": "headers"}
    assert given["OTEL_EXPORTER_OTLP_HEADERS"]["valueFrom"] == {"secretKeyRef": reference}
    assert given["OTEL_TRACES_SAMPLER_ARG"]["value"] == "0.25"
    plain, pod = _settings(render(helm))
    assert not plain.exports_spans
    assert not [each for each in pod["containers"][0]["env"] if each["name"].startswith("OTEL")]
    assert template(helm, "--set", "telemetry.tracing.sampleRatio=2").returncode != 0


def test_a_url_with_a_password_is_refused(helm: Path) -> None:
    assert template(helm, "--set", "telemetry.prometheus.url=https://me:secret@prometheus").returncode != 0
    with pytest.raises(ValueError, match=r"QONVERGE_PROMETHEUS_URL is .*give a URL such as"):
        Settings.from_environment({"QONVERGE_PROMETHEUS_URL": "https://me:secret@prometheus"})


def test_a_token_is_not_sent_in_the_clear() -> None:
    given = {"QONVERGE_PROMETHEUS_URL": "http://prometheus:9090", "QONVERGE_PROMETHEUS_TOKEN_FILE": "/run/token"}
    with pytest.raises(ValueError, match=r"QONVERGE_PROMETHEUS_TOKEN_FILE is .*a token is not sent in the clear"):
        Settings.from_environment(given)
