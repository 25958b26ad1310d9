"""Spans for OpenTelemetry: off by default and then not imported; each request and each call has one when it is on."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from services import __version__
from services.observability import tracing
from tests.support.commands import ROOT
from tests.support.faulty_backend import NO_LIMITS, FaultyBackend, faulty_backend, http_response
from tests.support.logs import captured_log
from tests.support.site import MINJI, SECRET, Site, SiteMaker, cookie_names, running_site

TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACES = "/v1/traces"
Spans = list[dict[str, Any]]


@pytest.fixture(scope="module")
def backend() -> Iterator[FaultyBackend]:
    with faulty_backend() as running:
        yield running


@pytest.fixture(scope="module")
def collector() -> Iterator[FaultyBackend]:
    with faulty_backend() as running:
        yield running


@pytest.fixture(scope="module")
def site(backend: FaultyBackend, collector: FaultyBackend) -> Iterator[Site]:
    with running_site(backend.url, otel_exporter_otlp_endpoint=collector.url, **NO_LIMITS) as running:
        yield running


@pytest.fixture
def clean(backend: FaultyBackend, collector: FaultyBackend, site: Site) -> None:
    collector.responses = {TRACES: http_response(b"", Content_Type="application/x-protobuf")}
    spans_of(site, collector)
    backend.reset()


def spans_of(site: Site, collector: FaultyBackend) -> Spans:
    """The spans that the site has sent since the last call, in the order in which they ended."""
    site.app.extensions["munjigi"].tracing.flush()
    calls, collector.calls = collector.calls, []
    return [
        {
            "name": span.name,
            "service": {each.key: each.value.string_value for each in resource.resource.attributes}["service.name"],
            "kind": span.kind,
            "trace_id": span.trace_id.hex(),
            "span_id": span.span_id.hex(),
            "parent_id": span.parent_span_id.hex(),
            "failed": span.status.code == 2,
            **{each.key: each.value.string_value or each.value.int_value for each in span.attributes},
        }
        for call in calls
        for resource in trace_service_pb2.ExportTraceServiceRequest.FromString(call.body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def test_nothing_of_opentelemetry_is_imported_when_it_is_off() -> None:
    program = (
        "import sys, app, config\n"
        "environ = {'SITE_URL': 'http://localhost:8080', 'BACKEND_URL': 'http://127.0.0.1:9'}\n"
        f"environ['SECRET_KEY'] = {SECRET!r}\n"
        "site = app.create_app(config.load(environ))\n"
        "site.test_client().get('/auth/login/email')\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'google'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)  # noqa: PLW1510  # the output says more
    assert done.stdout.strip() == "[]", done.stderr


def test_without_the_packages_the_site_works_and_says_so(make_site: SiteMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)  # as if it were not installed
    with captured_log() as log:
        site = make_site(otel_exporter_otlp_endpoint="http://127.0.0.1:9")
        assert site.new_visitor().sign_in().status_code == 303
    assert "no spans: OTEL_EXPORTER_OTLP_ENDPOINT is set" in log.getvalue()
    assert tracing.create(None, __version__) is None


@pytest.mark.usefixtures("clean")
def test_a_sign_in_has_a_span_with_one_for_each_call_of_the_backend(
    site: Site, collector: FaultyBackend, backend: FaultyBackend
) -> None:
    visitor = site.new_visitor()
    token = visitor.csrf_token()
    spans_of(site, collector)
    headers = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"}
    fields = {"csrfToken": token, "email": MINJI, "password": "a-password-of-this-test"}
    with captured_log() as log:
        answer = visitor.post("/auth/login/email?callbackUrl=/x", data=fields, headers=headers)
    assert "next-auth.session-token" in cookie_names(answer)
    login, user, request = spans_of(site, collector)
    assert (request["name"], request["parent_id"]) == ("POST /auth/login/email", PARENT_ID)
    assert (request["http.route"], request["http.response.status_code"]) == ("/auth/login/email", answer.status_code)
    assert request["munjigi.request_id"] in log.getvalue()
    assert f"trace_id={TRACE_ID}" in log.getvalue()
    for span in (login, user):
        assert span["parent_id"] == request["span_id"]
        assert span["server.address"] == backend.url.removeprefix("http://")
        assert span["http.response.status_code"] == 200
    assert {span["trace_id"] for span in (login, user, request)} == {TRACE_ID}
    assert {span["service"] for span in (login, user, request)} == {"munjigi"}
    sent = [call.headers["traceparent"] for call in backend.calls]
    assert sent == [f"00-{TRACE_ID}-{span['span_id']}-01" for span in (login, user)]
    assert not any(value in str((login, user, request)) for value in (MINJI, "a-password", "callbackUrl", token))


@pytest.mark.usefixtures("clean")
def test_a_request_without_traceparent_starts_a_trace_and_one_that_is_not_sampled_sends_none(
    site: Site, collector: FaultyBackend
) -> None:
    visitor = site.new_visitor()
    assert visitor.get("/auth/login/email").status_code == 200
    (span,) = spans_of(site, collector)
    assert span["parent_id"] == ""
    assert len(span["trace_id"].strip("0")) > 10
    visitor.get("/auth/login/email", headers={"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-00"})
    assert spans_of(site, collector) == []


@pytest.mark.usefixtures("clean")
def test_a_failure_is_marked_and_an_unknown_path_is_not_in_the_name(
    site: Site, collector: FaultyBackend, backend: FaultyBackend
) -> None:
    backend.responses["/login"] = http_response(status=500)
    visitor = site.new_visitor()
    visitor.sign_in()
    visitor.get("/no/such/page-of-somebody")
    spans = [span for span in spans_of(site, collector) if span["name"] != "GET /api/auth/csrf"]
    assert [(span["name"], span["failed"]) for span in spans] == [
        ("POST", True),
        ("POST /auth/login/email", True),
        ("GET", False),
    ]
    assert "somebody" not in str(spans)


@pytest.mark.usefixtures("clean")
def test_health_checks_and_static_files_have_no_span(site: Site, collector: FaultyBackend) -> None:
    for path in ("/health/live", "/health/ready", "/auth/static/site.css"):
        assert site.new_visitor().get(path).status_code == 200
    assert spans_of(site, collector) == []
