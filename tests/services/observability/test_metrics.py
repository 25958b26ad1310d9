"""`/metrics` for Prometheus: totals of all workers, without personal data."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.backend.user import User
from services.http.client import HttpClient
from services.observability import audit
from services.observability.metrics import MAX_HOSTS
from tests.support.production import production_server
from tests.support.redis_server import redis_server
from tests.support.scripted import USER, scripted_backend
from tests.support.site import MINJI, Site, SiteMaker, Visitor, running_site

TOKEN = "Pr0metheus-asks-with-this-one-only"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site(metrics_token=TOKEN) as running:
        yield running


def numbers(visitor: Visitor) -> dict[tuple[str, ...], float]:
    """Return the value of each sample by the metric's name and its label values, in the order of the label names."""
    answer = visitor.get("/metrics", headers=BEARER)
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.text)
    samples = [sample for family in families for sample in family.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


def test_without_the_setting_there_is_no_metrics_page(make_site: SiteMaker) -> None:
    assert make_site().new_visitor().get("/metrics", headers=BEARER).status_code == 404


@pytest.mark.parametrize(
    "sent", ["", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer é"]
)
def test_a_wrong_token_gets_401_and_an_empty_body(shared_site: SiteMaker, sent: str) -> None:
    answer = shared_site(metrics_token=TOKEN).new_visitor().get("/metrics", headers={"Authorization": sent.encode()})
    assert (answer.status_code, answer.content) == (401, b"")


@pytest.mark.parametrize("sent", [f"bearer {TOKEN}", f"BEARER {TOKEN}", f"Bearer  {TOKEN}"])
def test_the_scheme_of_the_token_may_be_written_in_any_case(shared_site: SiteMaker, sent: str) -> None:
    site = shared_site(metrics_token=TOKEN)
    assert site.new_visitor().get("/metrics", headers={"Authorization": sent}).status_code == 200


def test_the_token_may_have_an_equals_sign(shared_site: SiteMaker) -> None:
    token = f"a={TOKEN}"
    site = shared_site(metrics_token=token)
    assert site.new_visitor().get("/metrics", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_sign_ins_sign_outs_and_csrf_failures_are_counted(site: Site) -> None:
    visitor = site.new_visitor()
    visitor.sign_in(password="wrong")
    visitor.sign_in()
    visitor.submit("/auth/logout", {"everywhere": "1"})
    visitor.post("/auth/logout", data={"csrfToken": "wrong"})
    counted = numbers(visitor)
    assert counted["munjigi_sign_ins_total", "signed_in", "email"] == 1
    assert counted["munjigi_sign_ins_total", "CredentialsSignin", "email"] == 1
    assert counted["munjigi_sign_outs_total", "true"] == 1
    assert counted["munjigi_csrf_failures_total", "FormExpired"] == 1


def test_series_that_alarms_look_at_begin_with_zero(make_site: SiteMaker) -> None:
    """Otherwise the first sample of a series is 1, and Prometheus sees no increase."""
    settings = {"metrics_token": TOKEN, "providers": "google", "google_client_id": "x", "google_client_secret": "y"}
    counted = numbers(make_site(**settings).new_visitor())
    for provider in ("email", "google"):
        assert counted["munjigi_sign_ins_total", "Configuration", provider] == 0
        assert counted["munjigi_sign_ins_total", "signed_in", provider] == 0
    assert counted["munjigi_login_rate_limited_total", "account-total"] == 0
    assert counted["munjigi_csrf_failures_total", "OriginMismatch"] == 0
    assert counted["munjigi_token_refresh_duration_seconds_count", "failed"] == 0
    assert {value for name, value in counted.items() if name[0].endswith("_total")} == {0}


def test_backend_calls_are_timed(site: Site) -> None:
    visitor = site.new_visitor()
    visitor.sign_in()
    counted = numbers(visitor)
    (count,) = [
        value for name, value in counted.items() if name[0] == "munjigi_upstream_request_duration_seconds_count"
    ]
    assert count == 2


def test_refused_sessions_are_counted_by_who_ended_them(make_site: SiteMaker) -> None:
    with scripted_backend() as backend:
        site = make_site(backend.url, metrics_token=TOKEN)
        gone, copied = site.visitor_signed_in_ago(301, User.from_json(USER)), site.new_visitor()
        copied.sign_in()
        cookies = copied.cookies.copy()
        copied.submit("/auth/logout", {})
        copied.cookies.update(cookies)
        backend.user_status = 401
        assert (gone.get_session(), copied.get_session()) == ({}, {})
        counted = numbers(site.new_visitor())
    assert counted["munjigi_revoked_sessions_refused_total", "backend"] == 1
    assert counted["munjigi_revoked_sessions_refused_total", "person"] == 1


STATE = [("munjigi_redis_up", part) for part in ("counts", "revoked_sessions")]


@pytest.mark.external
def test_the_redis_gauges_follow_its_availability(tmp_path: Path, make_site: SiteMaker) -> None:
    def until(up: float) -> None:
        for _ in range(80):
            visitor.sign_in()
            counted = numbers(visitor)
            if [counted[name] for name in STATE] == [up, up]:
                return
            time.sleep(0.1)
        pytest.fail(f"not {up}: {counted}")

    with redis_server(tmp_path) as redis:
        visitor = make_site(redis_url=redis.url, metrics_token=TOKEN).new_visitor()
        assert [numbers(visitor)[name] for name in STATE] == [1, 1]
        until(1)
        redis.kill()
        until(0)
        redis.start()
        until(1)


def test_without_redis_there_are_no_redis_gauges(site: Site) -> None:
    visitor = site.new_visitor()
    visitor.sign_in()
    assert not set(STATE) & set(numbers(visitor))


def test_a_visitor_cannot_add_a_label_value(site: Site) -> None:
    visitor = site.new_visitor()

    def make_trouble(word: str) -> None:
        visitor.sign_in(f"{word}@example.com", "wrong")
        for path in (f"/api/auth/signin/{word}", f"/api/auth/callback/{word}", "/api/auth/_log"):
            visitor.submit(path, {"state": word, "code": word})
            visitor.get(path, headers={"Host": f"{word}.example.com", "X-Forwarded-Host": word})
        visitor.post("/auth/logout", data={"csrfToken": word})

    make_trouble("one")
    rows = set(numbers(visitor))
    make_trouble("another")
    assert set(numbers(visitor)) == rows


def test_the_number_of_upstream_host_labels_is_bounded(site: Site) -> None:
    metrics, calls = site.app.extensions["munjigi"].metrics, HttpClient("x", max_concurrency=1)
    audit.upstream_request_finished.connect(metrics._observe_request, calls)
    for number in range(200):
        audit.upstream_request_finished.send(calls, host=f"{number}.example.com", status_class="2xx", seconds=0.1)
    calls_of = {
        name[1]: value
        for name, value in numbers(site.new_visitor()).items()
        if name[0] == "munjigi_upstream_request_duration_seconds_count"
    }
    assert len(calls_of) == MAX_HOSTS + 1
    assert calls_of["other"] == 200 - MAX_HOSTS


def test_the_metrics_contain_no_personal_data(site: Site) -> None:
    visitor = site.new_visitor()
    visitor.sign_in()
    visitor.sign_in(password="wrong")
    text = visitor.get("/metrics", headers=BEARER).text
    for told in (MINJI, "민지", "127.0.0.1 ", "account=", "sid="):
        assert told not in text


@pytest.mark.server
def test_the_counts_of_all_workers_are_added_up(tmp_path: Path) -> None:
    with production_server(tmp_path, METRICS_TOKEN=TOKEN, WORKERS="2") as (_, visitor):
        for _ in range(6):
            Visitor(visitor.url, {}).sign_in()
        seen = {numbers(Visitor(visitor.url, {}))["munjigi_sign_ins_total", "signed_in", "email"] for _ in range(6)}
    assert seen == {6}
