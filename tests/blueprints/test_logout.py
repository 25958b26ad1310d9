"""Sign-out forms: of a browser with several sessions, and when nobody is signed in any more."""

from typing import Any

import pytest
import requests

from dev.backend import PASSWORD
from tests.support.redirects import destination
from tests.support.scripted import scripted_backend
from tests.support.site import MINJI, ManualClock, Page, SiteMaker, Visitor, running_site

ALREADY_OUT = "You were signed out on this device already. To sign out on all devices, sign in again first."


@pytest.mark.parametrize(("door", "status"), [("/auth/logout", 303), ("/api/auth/signout", 302)])
def test_a_sign_out_on_all_devices_after_the_session_expired_does_not_claim_that_it_is_done(
    door: str, status: int
) -> None:
    clock = ManualClock()
    with running_site(clock=clock, session_max_age=3600) as site:
        laptop, phone = site.new_visitor(), site.new_visitor()
        laptop.sign_in()
        token = laptop.get_page("/account").input_value("csrfToken")
        clock.advance(4000)
        phone.sign_in()
        response = laptop.post(door, data={"csrfToken": token, "everywhere": "1"})
        assert (response.status_code, response.headers["Location"]) == (status, f"{site.url}/")
        assert laptop.get_page("/").status_messages == [ALREADY_OUT]
        assert phone.is_signed_in


def test_that_message_waits_for_a_click_before_the_browser_goes_on_to_an_app(visitor: Visitor) -> None:
    page = Page(visitor.submit("/auth/logout", {"everywhere": "1", "callbackUrl": "/rooms"}))
    assert page.status_messages == [ALREADY_OUT]
    assert not page.find_all("meta[@http-equiv='refresh']")


@pytest.mark.parametrize("change", ["it signed out in another tab", "the session and the form expired"])
@pytest.mark.parametrize(("target", "location"), [("/rooms?a=1", "/rooms?a=1"), ("//evil.example/", "/")])
def test_an_outdated_sign_out_form_of_somebody_who_is_not_signed_in_is_no_error(
    change: str, target: str, location: str
) -> None:
    clock = ManualClock()
    with running_site(clock=clock) as site:
        visitor = site.new_visitor()
        visitor.sign_in()
        fields = {"csrfToken": visitor.get_page("/auth/logout").input_value("csrfToken"), "callbackUrl": target}
        if change == "it signed out in another tab":
            visitor.submit("/auth/logout", {})
        else:
            clock.advance(100 * 24 * 3600)
        response = visitor.post("/auth/logout", data=fields)
        assert response.ok
        assert destination(response) == f"{site.url}{location}"


@pytest.mark.parametrize("door", ["/auth/logout", "/api/auth/signout"])
@pytest.mark.parametrize("values", [["0", "1"], ["1", ""], ["1", "yes"]])
def test_a_sign_out_that_says_two_things_about_other_devices_is_refused(
    visitor: Visitor, door: str, values: list[str]
) -> None:
    visitor.sign_in()
    fields: dict[str, Any] = {"csrfToken": visitor.csrf_token(), "everywhere": values}
    assert visitor.post(door, data=fields).status_code == 422
    assert visitor.is_signed_in
    assert visitor.post(door, data={**fields, "everywhere": ["1", "true"]}).status_code in (302, 303)
    assert not visitor.is_signed_in


def test_an_outdated_sign_out_form_of_a_signed_in_user_still_asks_again(make_site: SiteMaker) -> None:
    visitor = make_site().new_visitor()
    token = visitor.csrf_token()
    visitor.sign_in()
    page = Page(visitor.post("/auth/logout", data={"csrfToken": token}))
    assert (page.status, page.heading) == (400, "Do you want to sign out?")
    assert visitor.is_signed_in


def test_tokens_of_all_sessions_that_a_browser_sends_are_revoked() -> None:
    """A cookie of an earlier setup, with another `Domain` or `Path`, may have a session of its own."""
    with scripted_backend() as backend, running_site(backend.url) as site:

        def send_with_sessions_of(tokens: list[str], path: str, fields: dict[str, str]) -> list[str]:
            """Return the tokens that a form with these sessions revokes."""
            cookies = []
            for backend.token in tokens:
                visitor = site.new_visitor()
                visitor.sign_in()
                cookies.append(f"next-auth.session-token={visitor.cookies['next-auth.session-token']}")
            visitor = site.new_visitor()
            csrf_token = visitor.csrf_token()
            cookies.append(f"munjigi.visitor={visitor.cookies['munjigi.visitor']}")
            backend.calls.clear()
            backend.token = "30|new-token-abcdefghijkl"
            response = requests.post(
                site.url + path,
                data={"csrfToken": csrf_token, **fields},
                headers={"Cookie": "; ".join(cookies)},
                allow_redirects=False,
                timeout=30,
            )
            assert response.status_code == 303
            return sorted(token.removeprefix("Bearer ") for _, path, token in backend.calls if path == "/logout")

        tokens = ["18|first-token-abcdefghij", "19|second-token-abcdefghi"]
        credentials = {"email": MINJI, "password": PASSWORD}
        for path, fields in {"/auth/logout": {}, "/auth/login/email": credentials}.items():
            assert send_with_sessions_of(tokens, path, fields) == tokens
            shared = ["20|token-of-all-sessions-", "20|token-of-all-sessions-"]
            assert send_with_sessions_of(shared, path, fields) == shared[:1], "revoked once"
            many = [f"4{number}|token-abcdefghijklmnop" for number in range(8)]
            assert len(send_with_sessions_of(many, path, fields)) <= 4, "a form causes few calls"
