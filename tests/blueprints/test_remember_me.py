"""`REMEMBER_ME`: a session that ends with the browser, unless the person has asked to stay signed in."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from dev.backend import PASSWORD
from dev.next_steps import CODE
from services.sessions import jwe
from tests.support.issuer import Issuer, post_callback, running_issuer, send_callback, start_sign_in
from tests.support.rotating_backend import LIFE, SETTINGS, rotating_backend
from tests.support.scripted import USER, scripted_backend
from tests.support.site import MINJI, SECRET, ManualClock, Page, Site, Visitor, running_site, set_cookies

SESSION = "next-auth.session-token"
HOURS = 3600
SHORT, LONG = 12 * HOURS, 90 * 24 * HOURS


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def site(clock: ManualClock) -> Iterator[Site]:
    with running_site(clock=clock, remember_me="true") as running:
        yield running


def sign_in(site: Site, **fields: str) -> tuple[Visitor, requests.Response]:
    visitor = site.new_visitor()
    response = visitor.sign_in(**fields)
    assert response.status_code == 303
    return visitor, response


def session_cookies(response: requests.Response) -> list[str]:
    """The `Set-Cookie` lines of the session, in lower case."""
    return [
        line.lower() for line in set_cookies(response) if line.startswith(SESSION) and "max-age=0" not in line.lower()
    ]


def assert_short(response: requests.Response) -> None:
    lines = session_cookies(response)
    assert lines, "no session cookie"
    assert not [line for line in lines if "expires=" in line or "max-age=" in line], "ends with the browser"


def assert_long(response: requests.Response) -> None:
    lines = session_cookies(response)
    assert lines, "no session cookie"
    assert all("expires=" in line for line in lines)


def claims_of(visitor: Visitor, *secrets: str) -> dict[str, Any]:
    return jwe.decrypt(visitor.cookies[SESSION], tuple(jwe.derive_key(secret) for secret in secrets or (SECRET,)))[0]


# --- Without the setting


def test_without_the_setting_nothing_is_asked_and_nothing_changes() -> None:
    with running_site() as site:
        visitor = site.new_visitor()
        page = visitor.get_page("/auth/login/email")
        assert not page.find_all("input[@type='checkbox']")
        assert "rememberMe" not in page.text
        for fields in ({}, {"rememberMe": "1"}, {"rememberMe": "0"}, {"rememberMe": "perhaps"}):
            response = visitor.sign_in(**fields)
            assert response.status_code == 303
            assert_long(response)
            assert "short" not in claims_of(visitor)


# --- With a password


def test_the_checkbox_is_not_ticked_and_stands_before_the_button(site: Site) -> None:
    page = site.new_visitor().get_page("/auth/login/email")
    (checkbox,) = page.find_all("form/div/input[@type='checkbox']")
    assert (checkbox.get("name"), checkbox.get("checked")) == ("rememberMe", None)
    assert page.texts("label[@for='rememberMe']") == ["Stay signed in"]


def test_without_the_tick_the_session_ends_with_the_browser_and_after_twelve_hours(
    site: Site, clock: ManualClock
) -> None:
    visitor, response = sign_in(site)
    assert_short(response)
    for _ in range(11):  # its use does not prolong it
        clock.advance(1 * HOURS)
        response = visitor.get("/api/auth/session")
        assert response.json()["user"]
        assert not [line for line in session_cookies(response) if "expires=" in line]
    assert visitor.get("/auth/verify").status_code == 204
    clock.advance(1 * HOURS + 60)
    assert visitor.get("/auth/verify").status_code == 401
    assert visitor.get_session() == {}
    assert visitor.get("/account").status_code == 303


def test_with_the_tick_it_lasts_as_without_the_setting(site: Site, clock: ManualClock) -> None:
    visitor, response = sign_in(site, rememberMe="1")
    assert_long(response)
    assert "short" not in claims_of(visitor)
    clock.advance(29 * 24 * HOURS)
    assert visitor.is_signed_in


@pytest.mark.parametrize(
    ("value", "is_short"), [("true", False), ("on", False), ("", True), ("false", True), ("0", True)]
)
def test_values_of_the_checkbox(site: Site, value: str, *, is_short: bool) -> None:
    visitor, _ = sign_in(site, rememberMe=value)
    assert ("short" in claims_of(visitor)) is is_short


@pytest.mark.parametrize("value", ["2", "yes", "null", "1,1", "x" * 5000, "\x00", "\udcff"])
@pytest.mark.parametrize("path", ["/auth/login/email", "/api/auth/callback/email"])
def test_any_other_value_signs_nobody_in(site: Site, path: str, value: str) -> None:
    visitor = site.new_visitor()
    body = {"email": MINJI, "password": PASSWORD, "rememberMe": value.encode("utf-8", "surrogateescape")}
    response = visitor.post(path, data={"csrfToken": visitor.csrf_token(), **body})
    assert response.status_code in (400, 422)
    assert not visitor.is_signed_in


def test_a_wrong_password_keeps_the_tick_on_the_page(site: Site) -> None:
    for ticked in ("1", ""):
        page = Page(site.new_visitor().sign_in(password="wrong-horse", rememberMe=ticked))
        (checkbox,) = page.find_all("input[@type='checkbox']")
        assert (page.status, checkbox.get("checked") is not None) == (401, bool(ticked))


def test_the_time_in_the_settings_counts_and_never_lengthens_a_session(clock: ManualClock) -> None:
    ages = {"session_short_age": 600, "session_absolute_age": 300}
    for settings, seconds in (({"session_short_age": 600}, 600), (ages, 300)):
        with running_site(clock=clock, remember_me="true", **settings) as site:  # type: ignore[arg-type]
            visitor, _ = sign_in(site)
            clock.advance(seconds - 20)
            assert visitor.get("/auth/verify").status_code == 204
            clock.advance(40)
            assert visitor.get("/auth/verify").status_code == 401


# --- What keeps the choice


@pytest.mark.parametrize("ticked", ["1", ""])
def test_a_changed_user_and_refreshed_tokens_keep_the_choice(clock: ManualClock, ticked: str) -> None:
    check = assert_long if ticked else assert_short
    with (
        rotating_backend() as backend,
        running_site(
            backend_url=backend.url, clock=clock, remember_me="true", **{**SETTINGS, "session_revalidate": 300}
        ) as site,
    ):
        visitor, response = sign_in(site, rememberMe=ticked)
        check(response)
        for name in ("another name", "a third one"):
            backend.user["name"] = name
            clock.advance(LIFE + 30)
            response = visitor.get("/api/auth/session")
            assert response.json()["user"]["name"] == name
            check(response)
        assert len(backend.refreshes) == 2


@pytest.mark.parametrize("ticked", ["1", ""])
def test_a_new_key_keeps_the_choice(ticked: str, clock: ManualClock) -> None:
    new_key = "another-secret-that-is-long-enough-0123"
    with scripted_backend() as backend:
        with running_site(backend_url=backend.url, remember_me="true", clock=clock) as site:
            visitor, _ = sign_in(site, rememberMe=ticked)
        keys: dict[str, Any] = {"secret_key": new_key, "secret_key_fallbacks": SECRET}
        with running_site(backend_url=backend.url, remember_me="true", clock=clock, **keys) as site:
            moved = site.new_visitor()
            moved.cookies.update(visitor.cookies)
            response = moved.get("/api/auth/session")
            assert response.json()["user"]["id"] == USER["id"]
            (assert_long if ticked else assert_short)(response)
            assert ("short" in claims_of(moved, new_key)) is not bool(ticked)


@pytest.mark.parametrize("ticked", ["1", ""])
def test_a_confirmed_sign_in_keeps_the_choice(site: Site, ticked: str) -> None:
    visitor, _ = sign_in(site, rememberMe=ticked)
    response = visitor.submit("/auth/login/confirm", {"password": PASSWORD, "rememberMe": "" if ticked else "1"})
    assert response.status_code == 303
    (assert_long if ticked else assert_short)(response)


@pytest.mark.parametrize("ticked", ["1", ""])
def test_a_second_factor_keeps_the_choice(site: Site, ticked: str) -> None:
    visitor = site.new_visitor()
    assert SESSION not in str(set_cookies(visitor.sign_in("nextstep@example.com", rememberMe=ticked)))
    response = visitor.submit("/auth/login/verify", {"code": CODE})
    assert response.status_code == 303
    (assert_long if ticked else assert_short)(response)


def test_sessions_that_began_before_stay_as_they_are(clock: ManualClock) -> None:
    with scripted_backend() as backend:
        with running_site(backend_url=backend.url, clock=clock) as site:
            visitor, _ = sign_in(site)
        with running_site(backend_url=backend.url, clock=clock, remember_me="true") as site:
            moved = site.new_visitor()
            moved.cookies.update(visitor.cookies)
            clock.advance(SHORT + 60)
            assert moved.is_signed_in


# --- next-auth's JSON


@pytest.mark.parametrize(
    ("value", "is_short"), [(True, False), ("true", False), (1, False), (False, True), (None, True)]
)
def test_the_json_sign_in_takes_the_choice(site: Site, value: object, *, is_short: bool) -> None:
    visitor = site.new_visitor()
    fields = {"csrfToken": visitor.csrf_token(), "email": MINJI, "password": PASSWORD, "json": "true"}
    response = visitor.post("/api/auth/callback/email", json={**fields, "rememberMe": value})
    assert response.status_code == 200
    (assert_short if is_short else assert_long)(response)


def test_the_json_sign_in_without_the_field_is_short(site: Site) -> None:
    visitor = site.new_visitor()
    response = visitor.submit("/api/auth/callback/email", {"email": MINJI, "password": PASSWORD, "json": "true"})
    assert response.status_code == 200
    assert_short(response)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", json.dumps({"rememberMe": {"a": 1}}).encode()])
def test_a_body_with_a_page_request_does_not_matter(site: Site, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    assert site.new_visitor().get("/auth/login/email", data=body, headers=headers).status_code == 200


# --- With a provider


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with running_issuer() as running:
        yield running


@pytest.fixture
def social_site(issuer: Issuer, clock: ManualClock) -> Iterator[Site]:
    issuer.reset()
    issuer.clock = clock
    with (
        scripted_backend() as backend,
        running_site(backend_url=backend.url, clock=clock, remember_me="true", **issuer.site_settings()) as site,
    ):
        yield site


def test_the_checkbox_is_in_the_form_that_the_providers_buttons_send(social_site: Site) -> None:
    page = social_site.new_visitor().get_page("/auth/login/email?callbackUrl=/billing")
    (form,) = page.find_all("form[@id='sign-in']")
    assert form.find(".//input[@type='checkbox']") is not None
    buttons = page.find_all("button[@formaction]")
    assert buttons
    assert {button.get("form") for button in buttons} == {"sign-in"}
    assert "/api/auth/signin/oidc" in {button.get("formaction") for button in buttons}
    # The Enter key presses the first button of a form in the order of the page (HTML, 4.10.21.2).
    own = itertools.chain(form.iter("button"), buttons)
    assert next(button for button in own if button.get("type") != "button").get("formaction") is None
    in_order = [each for each in page.document.iter("button") if each.get("type") != "button"]
    assert in_order.index(form.find("button[@class='button-primary']")) < in_order.index(buttons[0])


@pytest.mark.parametrize("ticked", ["1", ""])
@pytest.mark.parametrize("provider", ["oidc", "apple"])
def test_the_choice_goes_to_the_provider_and_back(
    social_site: Site, issuer: Issuer, provider: str, ticked: str
) -> None:
    visitor = social_site.new_visitor()
    fields = {"rememberMe": ticked, "email": MINJI, "password": "typed-and-not-sent"}
    params = start_sign_in(visitor, issuer, provider, **fields)
    apple = provider == "apple"
    response = post_callback(visitor, params) if apple else send_callback(visitor, params, provider)
    (assert_long if ticked else assert_short)(response)


def test_a_second_click_at_the_provider_has_the_same_choice(social_site: Site, issuer: Issuer) -> None:
    for ticked in ("1", ""):
        visitor = social_site.new_visitor()
        params = start_sign_in(visitor, issuer, rememberMe=ticked)
        copy = social_site.new_visitor()
        copy.cookies.update(visitor.cookies)
        for each in (visitor, copy):
            (assert_long if ticked else assert_short)(send_callback(each, params))


def test_a_shorter_time_in_the_settings_counts_for_sessions_that_exist(clock: ManualClock) -> None:
    with scripted_backend() as backend:
        with running_site(backend_url=backend.url, clock=clock, remember_me="true") as site:
            visitor, _ = sign_in(site)
        with running_site(backend_url=backend.url, clock=clock, remember_me="true", session_short_age=600) as site:
            moved = site.new_visitor()
            moved.cookies.update(visitor.cookies)
            assert moved.get("/auth/verify").status_code == 204
            clock.advance(620)
            assert moved.get("/auth/verify").status_code == 401
            assert not moved.is_signed_in
