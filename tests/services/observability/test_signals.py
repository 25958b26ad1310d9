"""Each event is one log line and one signal; a failing receiver prevents no sign-in."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from dev.backend import PASSWORD
from services.backend.user import User
from services.observability import audit
from services.observability.audit import account_hash
from tests.support.logs import SIGNALS
from tests.support.scripted import USER, ScriptedBackend, scripted_backend
from tests.support.site import MINJI, SECRET, Site, SiteMaker

Heard = list[tuple[str, dict[str, Any]]]


@contextmanager
def heard(site: Site) -> Iterator[Heard]:
    """Collect the signals of a site with their arguments."""
    received: Heard = []
    with ExitStack() as stack:
        for name in SIGNALS:

            def receive(sender: object, name: str = name, **fields: Any) -> None:
                received.append((name, fields))

            stack.enter_context(getattr(audit, name).connected_to(receive, site.app))
        yield received
        assert audit.delivery.wait(10), "receivers run in a thread of their own"


@pytest.fixture
def backend() -> Iterator[ScriptedBackend]:
    with scripted_backend() as backend:
        yield backend


def test_sign_in_and_sign_out_send_signals(site: Site) -> None:
    visitor = site.new_visitor()
    with heard(site) as received:
        visitor.sign_in()
        visitor.submit("/auth/logout", {})
    (first, signed_in), (second, signed_out) = received
    assert (first, second) == ("signed_in", "signed_out")
    assert signed_in == {"address": "127.0.0.1", "provider": "email", "account": account_hash(MINJI, SECRET)}
    assert set(signed_out) == {"address", "provider", "sid", "revoked", "everywhere"}
    assert (signed_out["revoked"], signed_out["everywhere"]) == (True, False)


def test_all_spellings_of_a_telephone_number_are_one_account(make_site: SiteMaker) -> None:
    site = make_site(login_identifier="phone")
    with heard(site) as received:
        for spelling in ("010-5555-1001", "+82 10 5555 1001", "\uff10\uff11\uff10.5555.1001"):
            for password in ("wrong", PASSWORD):
                site.new_visitor().sign_in(phone=spelling, email="", password=password)
    assert [name for name, _ in received] == ["sign_in_failed", "signed_in"] * 3
    assert {fields["account"] for _, fields in received} == {account_hash("01055551001", SECRET)}
    assert {fields["provider"] for _, fields in received} == {"email"}
    assert "5551001" not in str(received)


def test_a_failed_sign_in_sends_a_signal(site: Site) -> None:
    with heard(site) as received:
        site.new_visitor().sign_in(password="wrong")
    ((name, fields),) = received
    assert (name, fields["outcome"], fields["provider"]) == ("sign_in_failed", "CredentialsSignin", "email")
    assert fields["account"] == account_hash(MINJI, SECRET)


def test_a_refused_form_sends_a_signal(site: Site) -> None:
    with heard(site) as received:
        site.new_visitor().post("/auth/login/email", data={"email": MINJI})
        site.new_visitor().submit("/auth/logout", {}, headers={"Origin": "https://evil.example"})
    assert [(name, fields["outcome"]) for name, fields in received] == [
        ("csrf_failed", "CookiesBlocked"),
        ("csrf_failed", "OriginMismatch"),
    ]


def test_a_reached_limit_sends_a_signal(make_site: SiteMaker) -> None:
    site = make_site(login_limit_per_account_and_ip="1/hour")
    site.new_visitor().sign_in(password="wrong")
    with heard(site) as received:
        site.new_visitor().sign_in()
    assert [name for name, _ in received] == ["rate_limited", "sign_in_failed"]
    assert received[0][1]["limit"] == "account"
    assert 3590 <= received[0][1]["wait"] <= 3600
    assert received[1][1]["outcome"] == "TooManyAttempts"


def test_a_session_revoked_by_the_backend_sends_a_signal(make_site: SiteMaker, backend: ScriptedBackend) -> None:
    site = make_site(backend.url)
    visitor = site.visitor_signed_in_ago(301, User.from_json(USER))
    backend.user_status = 401
    with heard(site) as received:
        assert not visitor.is_signed_in
    ((name, fields),) = received
    assert name == "session_expired"
    assert set(fields) == {"address", "by", "reason", "sid"}


def test_a_cookie_copy_used_after_sign_out_sends_a_signal(site: Site) -> None:
    visitor = site.new_visitor()
    visitor.sign_in()
    copy = visitor.cookies.copy()
    visitor.submit("/auth/logout", {})
    visitor.cookies.update(copy)
    with heard(site) as received:
        visitor.get("/account")
    ((name, fields),) = received
    assert (name, fields["reason"]) == ("session_expired", "it was signed out")


def test_a_failing_receiver_does_not_prevent_sign_in(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    def fails(sender: object, **fields: Any) -> None:
        raise RuntimeError("the receiver's own fault")

    with audit.signed_in.connected_to(fails, site.app), heard(site) as received:
        visitor = site.new_visitor()
        assert visitor.sign_in().status_code == 303
    assert visitor.is_signed_in
    assert [name for name, _ in received] == ["signed_in"], "the other receiver is called"
    failed = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage() for record in failed] == ["a receiver of signed_in failed"]


def test_a_receiver_of_one_site_gets_no_signals_of_another(site: Site, make_site: SiteMaker) -> None:
    with heard(make_site()) as received:
        site.new_visitor().sign_in()
    assert received == []
