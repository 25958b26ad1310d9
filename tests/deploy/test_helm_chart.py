"""The Helm chart, rendered by Helm's own code: what Kubernetes would get, and which values are refused."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import config
from doctor import settings_check
from server.worker import KILL_SECONDS
from services import __version__
from tests.support.commands import ROOT, require_marker
from tests.support.secret_settings import secret_settings
from tests.support.site import SECRET

CHART = ROOT / "deploy" / "helm" / "munjigi"
PYTHON = ROOT / "tests" / "real_backends" / ".venv" / "bin" / "python"
VALUES = {
    "settings": {"SITE_URL": "https://login.example.com", "BACKEND_URL": "https://api.example.com", "PROXY_HOPS": "2"},
    "secret": {"name": "munjigi"},
}
REDIS = "redis://redis:6379/0"


def render(*cases: dict[str, Any]) -> list[dict[str, Any]]:
    """Return for each case `manifests` and `lint`, or `error`."""
    require_marker("external")
    if not (PYTHON.parents[1] / "ready").exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("make test-all installs helm-python-sdk")
    program = str(ROOT / "tests" / "real_backends" / "render_chart.py")
    request = json.dumps({"chart": str(CHART), "cases": cases})
    done = subprocess.run(
        [str(PYTHON), program], input=request, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    results: list[dict[str, Any]] = json.loads(done.stdout)
    return results


def rendered(**values: Any) -> dict[str, Any]:
    """The objects by kind, for the values that are required and these."""
    (result,) = render({**VALUES, **values})
    assert result.get("lint") == [], result
    objects = [yaml.safe_load(text) for text in result["manifests"].values()]
    return {one["kind"]: one for one in objects if one}


def container(objects: dict[str, Any]) -> dict[str, Any]:
    (only,) = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    return dict(only)


def environ(objects: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container(objects)["env"]}


def test_the_chart_has_the_version_of_the_site() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


@pytest.mark.external
def test_the_site_starts_with_the_settings_of_the_chart_and_has_no_warnings() -> None:
    objects = rendered()
    (source,) = container(objects)["envFrom"]
    assert source == {"secretRef": {"name": "munjigi"}}
    settings = config.load({**environ(objects), "SECRET_KEY": SECRET, "REDIS_URL": REDIS})
    assert (settings.site_url, settings.proxy_hops, settings.workers) == ("https://login.example.com", 2, 1)
    assert [one.subject for one in settings_check.check(settings)] == ["BACKEND_LOGOUT_PATH"]  # of the backend


@pytest.mark.external
def test_secrets_can_be_files(tmp_path: Path) -> None:
    objects = rendered(secret={"name": "munjigi", "files": ["SECRET_KEY", "REDIS_URL"]})
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    assert "envFrom" not in container(objects)
    (volume,) = [one for one in pod["volumes"] if one["name"] == "secret"]
    (mount,) = [one for one in container(objects)["volumeMounts"] if one["name"] == "secret"]
    assert volume["secret"] == {"secretName": "munjigi", "defaultMode": 0o440}
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsUser"] == 65534
    for name, text in (("SECRET_KEY", SECRET), ("REDIS_URL", REDIS)):
        (tmp_path / name).write_text(text)
    given = {name: value.replace(mount["mountPath"], str(tmp_path)) for name, value in environ(objects).items()}
    settings = config.load(given)
    assert (settings.secret_key, settings.redis_url) == (SECRET, REDIS)


@pytest.mark.external
@pytest.mark.parametrize("delay", [0, 10, 300])
def test_a_pod_has_time_to_stop(delay: int) -> None:
    objects = rendered(shutdownDelay=delay)
    assert environ(objects)["SHUTDOWN_DELAY"] == str(delay)
    config.load({**environ(objects), "SECRET_KEY": SECRET})
    grace = objects["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace > delay + KILL_SECONDS


@pytest.mark.external
def test_the_pod_may_do_nothing_but_serve() -> None:
    objects = rendered()
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    assert container(objects)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.external
def test_the_probes_and_the_service_reach_the_site() -> None:
    objects = rendered()
    one = container(objects)
    probes = {name: one[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {name: get["path"] for name, get in probes.items()} == {
        "startup": "/health/ready",
        "liveness": "/health/live",
        "readiness": "/health/ready",
    }
    (port,) = one["ports"]
    assert {get["port"] for get in probes.values()} == {port["name"]}
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
    assert f"EXPOSE {port['containerPort']}\n" in dockerfile
    (published,) = objects["Service"]["spec"]["ports"]
    assert published["targetPort"] == port["name"]
    selector = objects["Service"]["spec"]["selector"]
    assert selector.items() <= objects["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    assert selector == objects["Deployment"]["spec"]["selector"]["matchLabels"]


@pytest.mark.external
def test_an_ingress_and_a_disruption_budget_exist_if_they_are_needed() -> None:
    ingress = {"enabled": True, "host": "login.example.com", "tlsSecretName": "certificate", "className": "nginx"}
    objects = rendered(ingress=ingress)
    assert {*objects} == {"Deployment", "Service", "Ingress", "PodDisruptionBudget"}
    (rule,) = objects["Ingress"]["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert rule["host"] == "login.example.com"
    assert path["backend"]["service"] == {"name": objects["Service"]["metadata"]["name"], "port": {"name": "http"}}
    assert objects["Ingress"]["spec"]["tls"] == [{"hosts": ["login.example.com"], "secretName": "certificate"}]
    assert {*rendered(replicaCount=1)} == {"Deployment", "Service"}


REFUSED: dict[str, dict[str, Any]] = {
    "no SITE_URL": {"settings": {"BACKEND_URL": "https://api.example.com"}},
    "an address that is none": {"settings": {**VALUES["settings"], "SITE_URL": "login.example.com"}},
    "a number that is no text": {"settings": {**VALUES["settings"], "PROXY_HOPS": 1}},
    "no secret": {"secret": {"name": ""}},
    "no replica": {"replicaCount": 0},
    "a misspelled value": {"replicas": 2},
    "an ingress without a host": {"ingress": {"enabled": True}},
    "a delay that the site would refuse": {"shutdownDelay": 301},
}


@pytest.mark.external
def test_wrong_values_are_refused_before_anything_is_installed() -> None:
    results = render(*({**VALUES, **values} for values in REFUSED.values()))
    accepted = [name for name, result in zip(REFUSED, results, strict=True) if "error" not in result]
    assert accepted == []


@pytest.mark.external
def test_no_secret_can_be_among_the_settings() -> None:
    names = [name for name, _ in secret_settings()]
    assert len(names) > 10
    results = render(*({**VALUES, "settings": {**VALUES["settings"], name: SECRET}} for name in names))
    accepted = [name for name, result in zip(names, results, strict=True) if "error" not in result]
    assert accepted == []
    assert not any(SECRET in result["error"] for result in results)


def test_the_default_values_name_settings_that_exist() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    known = re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE)
    assert {*values["settings"]} <= {*known}
