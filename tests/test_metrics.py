"""`/metrics`: numbers for an operator's Prometheus, of all workers together, and of nobody in particular."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.site import MINJI, Site, SiteMaker, Visitor, running_site
from tests.test_production import serving

TOKEN = "Pr0metheus-asks-with-this-one-only"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site(metrics_token=TOKEN) as running:
        yield running


def numbers(visitor: Visitor) -> dict[tuple[str, ...], float]:
    """Each counter's name and the values of its labels, in the order of their names -> its number."""
    answer = visitor.get("/metrics", headers=BEARER)
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.text)
    samples = [sample for family in families for sample in family.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


def test_without_the_setting_there_are_none(make_site: SiteMaker) -> None:
    assert make_site().visitor().get("/metrics", headers=BEARER).status_code == 404


@pytest.mark.parametrize(
    "sent", ["", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", "Bearer é"]
)
def test_whoever_does_not_know_the_token_learns_nothing(site: Site, sent: str) -> None:
    answer = site.visitor().get("/metrics", headers={"Authorization": sent.encode()})
    assert (answer.status_code, answer.content) == (401, b"")


def test_what_happens_is_counted(site: Site) -> None:
    visitor = site.visitor()
    visitor.sign_in(password="wrong")
    visitor.sign_in()
    visitor.submit("/auth/logout", {"everywhere": "1"})
    visitor.post("/auth/logout", data={"csrfToken": "wrong"})
    counted = numbers(visitor)
    assert counted["munjigi_sign_ins_total", "signed_in", "email"] == 1
    assert counted["munjigi_sign_ins_total", "CredentialsSignin", "email"] == 1
    assert counted["munjigi_sign_outs_total", "true"] == 1
    assert counted["munjigi_forms_refused_total", "FormExpired"] == 1


def test_calls_of_the_backend_are_timed(site: Site) -> None:
    visitor = site.visitor()
    visitor.sign_in()
    counted = numbers(visitor)
    (count,) = [value for name, value in counted.items() if name[0] == "munjigi_upstream_seconds_count"]
    assert count == 2


def test_nobody_is_in_it(site: Site) -> None:
    visitor = site.visitor()
    visitor.sign_in()
    visitor.sign_in(password="wrong")
    text = visitor.get("/metrics", headers=BEARER).text
    for told in (MINJI, "민지", "127.0.0.1 ", "account=", "sid="):
        assert told not in text


def test_all_workers_are_counted_together(tmp_path: Path) -> None:
    with serving(tmp_path, METRICS_TOKEN=TOKEN, WORKERS="2") as (_, visitor):
        for _ in range(6):
            Visitor(visitor.url, {}).sign_in()
        seen = {numbers(Visitor(visitor.url, {}))["munjigi_sign_ins_total", "signed_in", "email"] for _ in range(6)}
    assert seen == {6}
