"""The Grafana dashboard and the alert rules name metrics and labels that the site has, and no metric is forgotten."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

import errors
from services.observability import metrics
from tests.support.commands import ROOT
from tests.support.markdown import MarkdownPage

DASHBOARD: Mapping[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "munjigi.json").read_text("utf-8"))
ALERTS: Mapping[str, Any] = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text("utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
OF_PROMETHEUS = {"job", "instance"}
"""Labels that Prometheus adds."""
NOT_ON_THE_DASHBOARD: set[str] = set()
WITHOUT_ALERT = {"munjigi_sign_outs"}
"""People sign out when they like."""


def site_metrics() -> dict[str, tuple[str, set[str]]]:
    """Name -> type and labels of each metric that the site has."""
    registered = metrics.Metrics(None, (), None, {"counts": object()})._registry._collector_to_names  # type: ignore[arg-type]  # no site
    return {each._name: (each._type, set(each._labelnames)) for each in registered}  # type: ignore[attr-defined]


METRICS = site_metrics()
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
SERIES = {
    f"{name}{suffix}": (name, labels | ({"le"} if suffix == "_bucket" else set()))
    for name, (kind, labels) in METRICS.items()
    for suffix in SUFFIXES[kind]
}
"""Name of a time series -> its metric, and its labels."""


def selectors(expression: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The series of a PromQL expression, each with its labels and what they are compared with."""
    for name, braces in re.findall(r"\b(munjigi_\w+)(\{[^}]*\})?", expression):
        yield name, dict(re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"', braces))


def groupings(expression: str) -> set[str]:
    """The labels that `by (…)` keeps."""
    return {label.strip() for labels in re.findall(r"\bby\s*\(([^)]*)\)", expression) for label in labels.split(",")}


def assert_known(expression: str) -> set[str]:
    """Assert that the series and labels of this expression exist. Returns its metrics."""
    used = [*selectors(expression)]
    assert used
    for name, labels in used:
        assert name in SERIES, name
        assert set(labels) <= SERIES[name][1] | OF_PROMETHEUS
    assert groupings(expression) <= set.intersection(*(SERIES[name][1] for name, _ in used)) | OF_PROMETHEUS
    return {SERIES[name][0] for name, _ in used}


def expressions() -> list[str]:
    return [*(target["expr"] for panel in PANELS for target in panel["targets"]), *(rule["expr"] for rule in RULES)]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_a_panel_shows_metrics_and_labels_of_the_site(panel: Mapping[str, Any]) -> None:
    assert panel["description"]
    assert panel["targets"]
    for target in panel["targets"]:
        assert_known(target["expr"])
        legend = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        assert legend == groupings(target["expr"]) - {"le"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_an_alert_is_about_metrics_and_labels_of_the_site(rule: Mapping[str, Any]) -> None:
    assert_known(rule["expr"])
    assert rule["labels"]["severity"] in ("critical", "warning")
    texts = rule["annotations"]["summary"] + rule["annotations"]["description"]
    assert set(re.findall(r"\$labels\.(\w+)", texts)) <= groupings(rule["expr"])
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["expr"].count("(") == rule["expr"].count(")")


def test_each_metric_is_on_the_dashboard_and_has_an_alert() -> None:
    shown = {name for panel in PANELS for target in panel["targets"] for name in assert_known(target["expr"])}
    assert shown | NOT_ON_THE_DASHBOARD == set(METRICS)
    assert {name for rule in RULES for name in assert_known(rule["expr"])} | WITHOUT_ALERT == set(METRICS)


def test_the_values_of_labels_exist() -> None:
    codes = {error.code for error in subclasses(errors.SiteError)} | {"signed_in", "refused", "failed"}
    values = {"outcome": codes, "status_class": {"5xx", "none"}, "limit": {"address", "account-total"}}
    compared = [
        (label, value)
        for expression in expressions()
        for _, labels in selectors(expression)
        for label, text in labels.items()
        if label in values
        for value in text.split("|")
    ]
    assert len(compared) > 10
    assert [pair for pair in compared if pair[1] not in values[pair[0]]] == []


def subclasses(kind: type[errors.SiteError]) -> Iterator[type[errors.SiteError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from subclasses(each)


def test_the_docs_have_each_metric_with_its_labels() -> None:
    rows = {row[0]: row[-1] for row in MarkdownPage(ROOT / "docs" / "operations.md").table_rows if "munjigi_" in row[0]}
    for series, (name, labels) in SERIES.items():
        if METRICS[name][0] != "histogram":
            (row,) = [text for cell, text in rows.items() if re.fullmatch(rf"`{series}`( \(.*\))?", cell)]
            assert all(f"`{label}`" in row for label in labels)


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    places = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(places)) == len(places)
    assert max(x for x, _ in places) == 23
