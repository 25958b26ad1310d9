"""Each event is one line of the log and one signal; whoever listens to it cannot stop anybody from signing in."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from services.backend.user import User
from services.observability import audit
from services.observability.audit import account_hash
from tests.scripted import USER, ScriptedBackend, scripted_backend
from tests.site import MINJI, SECRET, Site, SiteMaker

NAMES = ["signed_in", "signed_out", "sign_in_failed", "csrf_failed", "rate_limited", "session_expired"]
Heard = list[tuple[str, dict[str, Any]]]


@contextmanager
def heard(site: Site) -> Iterator[Heard]:
    """What a receiver of every signal is told meanwhile."""
    told: Heard = []
    with ExitStack() as stack:
        for name in NAMES:

            def receive(sender: object, name: str = name, **facts: Any) -> None:
                told.append((name, facts))

            stack.enter_context(getattr(audit, name).connected_to(receive, site.app))
        yield told
        assert audit.delivery.wait(10), "receivers run in a thread of their own"


@pytest.fixture
def backend() -> Iterator[ScriptedBackend]:
    with scripted_backend() as backend:
        yield backend


def test_signing_in_and_out(site: Site) -> None:
    visitor = site.new_visitor()
    with heard(site) as told:
        visitor.sign_in()
        visitor.submit("/auth/logout", {})
    (first, signed_in), (second, signed_out) = told
    assert (first, second) == ("signed_in", "signed_out")
    assert signed_in == {"address": "127.0.0.1", "provider": "email", "account": account_hash(MINJI, SECRET)}
    assert set(signed_out) == {"address", "provider", "sid", "revoked", "everywhere"}
    assert (signed_out["revoked"], signed_out["everywhere"]) == (True, False)


def test_a_sign_in_that_fails(site: Site) -> None:
    with heard(site) as told:
        site.new_visitor().sign_in(password="wrong")
    ((name, facts),) = told
    assert (name, facts["outcome"], facts["provider"]) == ("sign_in_failed", "CredentialsSignin", "email")
    assert facts["account"] == account_hash(MINJI, SECRET)


def test_a_form_that_is_refused(site: Site) -> None:
    with heard(site) as told:
        site.new_visitor().post("/auth/login/email", data={"email": MINJI})
        site.new_visitor().submit("/auth/logout", {}, headers={"Origin": "https://evil.example"})
    assert [(name, facts["outcome"]) for name, facts in told] == [
        ("csrf_failed", "CookiesBlocked"),
        ("csrf_failed", "FormExpired"),
    ]


def test_a_limit_that_is_reached(make_site: SiteMaker) -> None:
    site = make_site(login_limit_per_account_and_ip="1/hour")
    site.new_visitor().sign_in(password="wrong")
    with heard(site) as told:
        site.new_visitor().sign_in()
    assert [name for name, _ in told] == ["rate_limited", "sign_in_failed"]
    assert told[0][1]["limit"] == "account"
    assert 3590 <= told[0][1]["wait"] <= 3600
    assert told[1][1]["outcome"] == "TooManyAttempts"


def test_a_session_that_the_backend_has_ended(make_site: SiteMaker, backend: ScriptedBackend) -> None:
    site = make_site(backend.url)
    visitor = site.visitor_signed_in_ago(301, User.from_json(USER))
    backend.user_status = 401
    with heard(site) as told:
        assert not visitor.is_signed_in
    ((name, facts),) = told
    assert name == "session_expired"
    assert set(facts) == {"address", "by", "reason", "sid"}


def test_a_copy_of_a_cookie_after_signing_out(site: Site) -> None:
    visitor = site.new_visitor()
    visitor.sign_in()
    copy = visitor.cookies.copy()
    visitor.submit("/auth/logout", {})
    visitor.cookies.update(copy)
    with heard(site) as told:
        visitor.get("/account")
    ((name, facts),) = told
    assert (name, facts["reason"]) == ("session_expired", "it was signed out")


def test_a_receiver_that_fails_stops_nobody(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    def fails(sender: object, **facts: Any) -> None:
        raise RuntimeError("the receiver's own fault")

    with ExitStack() as stack:
        stack.enter_context(audit.signed_in.connected_to(fails, site.app))
        told = stack.enter_context(heard(site))
        stack.enter_context(audit.signed_in.connected_to(fails, site.app))
        visitor = site.new_visitor()
        assert visitor.sign_in().status_code == 303
    assert visitor.is_signed_in
    assert [name for name, _ in told] == ["signed_in"], "the others are told"
    failed = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage() for record in failed] == ["a receiver of signed_in failed"]


def test_a_receiver_of_one_site_hears_nothing_of_another(site: Site, make_site: SiteMaker) -> None:
    with heard(make_site()) as told:
        site.new_visitor().sign_in()
    assert told == []
