"""A page that a browser fetches in advance changes nothing: what the person does afterwards works as without it."""

from collections.abc import Iterator

import pytest

from tests.support.site import Site, Visitor, set_cookies
from tests.support.social_backend import SocialSetup, new_browser, social_setup

HEADERS = [
    {"Sec-Purpose": "prefetch"},
    {"Sec-Purpose": "prefetch;prerender"},
    {"Sec-Purpose": "prefetch;anonymous-client-ip"},
    {"Purpose": "prefetch"},
    {"Purpose": "Prefetch"},
    {"X-Purpose": "preview"},
    {"X-Moz": "prefetch"},
]
each_header = pytest.mark.parametrize("headers", HEADERS, ids=lambda headers: " ".join(*headers.items()))


@pytest.fixture(scope="module")
def social() -> Iterator[SocialSetup]:
    with social_setup("kakao", "apple") as running:
        yield running


@each_header
def test_a_prefetch_of_a_callback_does_not_use_it_up(social: SocialSetup, headers: dict[str, str]) -> None:
    browser = new_browser(social.site)
    answer = social.providers.approve(browser.start_sign_in("kakao"))
    before = len(social.providers.token_requests("kakao"))
    response = browser.get("/api/auth/callback/kakao", params=answer, headers=headers)
    assert (response.status_code, set_cookies(response)) == (403, [])
    assert len(social.providers.token_requests("kakao")) == before
    assert not browser.user_name
    response = browser.send_callback("kakao", answer)
    assert (response.status_code, response.headers["Location"]) == (303, f"{social.site.url}/")
    assert browser.user_name


def test_a_prefetch_of_the_page_after_a_callback_by_post_is_refused(social: SocialSetup) -> None:
    browser = new_browser(social.site)
    assert browser.get("/api/auth/callback/apple?state=x", headers={"Sec-Purpose": "prefetch"}).status_code == 403


@each_header
def test_a_prefetched_page_does_not_take_the_message_of_the_next_page(
    site: Site, visitor: Visitor, headers: dict[str, str]
) -> None:
    visitor.sign_in()
    visitor.submit("/auth/logout", {})
    assert visitor.get_page("/", headers=headers).status_messages == []
    assert visitor.head("/").status_code == 200
    assert visitor.get_page("/").status_messages == ["You are signed out."]
    assert visitor.get_page("/").status_messages == []


@each_header
def test_a_prefetched_language_link_does_not_change_the_language(visitor: Visitor, headers: dict[str, str]) -> None:
    assert visitor.get_page("/auth/login/email?lang=ja", headers=headers).document.get("lang") == "ja"
    assert visitor.get_page("/auth/login/email").document.get("lang") == "en"
    assert visitor.get_page("/auth/login/email?lang=ja").document.get("lang") == "ja"
    assert visitor.get_page("/auth/login/email").document.get("lang") == "ja"


@each_header
def test_a_prefetched_page_signs_nobody_out(visitor: Visitor, headers: dict[str, str]) -> None:
    visitor.sign_in()
    for path in ("/", "/account", "/auth/login/email", "/auth/logout", "/api/auth/signout", "/api/auth/session"):
        assert visitor.get(path, headers=headers).status_code < 400
    assert visitor.is_signed_in
