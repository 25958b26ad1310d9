"""`<ID>_AUTO_LOGIN`: the sign-in page, opened inside a provider's app, tries to sign the person in without a page."""

import logging
from collections.abc import Iterator
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

import config
import providers
from tests.support.faulty_backend import NO_LIMITS
from tests.support.logs import captured_log
from tests.support.site import SECRET, cookie_names
from tests.support.social_backend import Browser, SocialSetup, social_setup

KAKAOTALK = (
    "Mozilla/5.0 (Linux; Android 15; SM-S921N Build/AP3A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0"
    " Chrome/140.0 Mobile Safari/537.36;KAKAOTALK 2511280"
)
SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Version/19.0 Safari/604.1"
LOGIN = "/auth/login/email"
COOKIE = "munjigi.auto-login"


@pytest.fixture(scope="module")
def everywhere() -> Iterator[SocialSetup]:
    with social_setup("kakao", "naver", "line", kakao_auto_login="true", **NO_LIMITS) as running:
        yield running


@pytest.fixture
def here(everywhere: SocialSetup) -> SocialSetup:
    everywhere.providers.calls.clear()
    everywhere.backend.calls.clear()
    return everywhere


@pytest.fixture
def visitor(here: SocialSetup) -> Browser:
    return Browser(here.site.url, **{"User-Agent": KAKAOTALK})


def tried(response: requests.Response) -> str | None:
    """The address at the provider to which this answer leads; None if it is the sign-in page."""
    if response.status_code == 200:
        assert "<form" in response.text
        return None
    assert response.status_code == 303
    return response.headers["Location"]


def begin(visitor: Browser, path: str = f"{LOGIN}?callbackUrl=/account") -> str:
    url = tried(visitor.get(path))
    assert url
    return url


def page_for(here: SocialSetup, path: str) -> str:
    """The address of the sign-in page, without an error, for this target."""
    return f"{here.site.url}{LOGIN}?{urlencode({'callbackUrl': here.site.url + path})}"


def state_of(url: str) -> str:
    return parse_qs(urlsplit(url).query)["state"][0]


def test_who_has_signed_in_here_before_is_signed_in_without_a_page(here: SocialSetup, visitor: Browser) -> None:
    response = visitor.get(f"{LOGIN}?callbackUrl=/account")
    assert "no-store" in response.headers["Cache-Control"]
    url = str(tried(response))
    params = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert url.startswith(f"{here.providers.url}/kakao/oauth/authorize?")
    assert params["prompt"] == "none"
    assert params["code_challenge_method"] == "S256"
    assert len(params["state"]) >= 43
    finished = visitor.send_callback("kakao", here.providers.approve(url))
    assert (finished.status_code, finished.headers["Location"]) == (303, f"{here.site.url}/account")
    assert visitor.user_name == "하늘"
    assert not visitor.cookies_starting_with(COOKIE)


@pytest.mark.parametrize(
    "error",
    [
        "consent_required", "login_required", "interaction_required", "account_selection_required", "access_denied",
        "server_error", "invalid_request", "auto_login_failed", "KOE205", "", "x" * 3000, "<script>", "오류",
    ],
)  # fmt: skip
def test_everybody_else_gets_the_sign_in_page_without_a_word_and_is_not_asked_again(
    here: SocialSetup, visitor: Browser, error: str
) -> None:
    url = begin(visitor)
    with captured_log(level=logging.WARNING) as log:
        response = visitor.send_callback("kakao", {"error": error, "state": state_of(url)})
    assert not log.getvalue()
    assert response.status_code == 303
    assert response.headers["Location"] == page_for(here, "/account")
    page = visitor.get_page(response.headers["Location"])
    assert page.status == 200
    assert not page.message
    assert tried(visitor.get(LOGIN)) is None
    assert not here.providers.calls
    assert not here.backend.calls
    assert not visitor.attempt_cookies


def test_a_code_that_the_provider_or_the_backend_refuses_leads_to_the_page_too(
    here: SocialSetup, visitor: Browser
) -> None:
    answer = {"code": "made-up", "state": state_of(begin(visitor))}
    response = visitor.send_callback("kakao", answer)
    assert response.headers["Location"] == page_for(here, "/account")
    assert not visitor.get_page(response.headers["Location"]).message
    assert not visitor.is_signed_in


def test_the_button_shows_errors_as_always(here: SocialSetup, visitor: Browser) -> None:
    visitor.send_callback("kakao", {"error": "consent_required", "state": state_of(begin(visitor))})
    url = visitor.start_sign_in("kakao")
    assert "prompt" not in parse_qs(urlsplit(url).query)
    response = visitor.send_callback("kakao", {"error": "consent_required", "state": state_of(url)})
    assert "error=OAuthCallback" in response.headers["Location"]


def test_a_sign_out_is_not_undone_by_the_next_visit(here: SocialSetup, visitor: Browser) -> None:
    visitor.send_callback("kakao", here.providers.approve(begin(visitor)))
    assert visitor.is_signed_in
    visitor.submit("/auth/logout", {"callbackUrl": "/"})
    (cookie,) = [each for each in visitor.cookies if each.name == COOKIE]
    assert cookie.expires is not None
    visitor.get("/")
    for _ in range(2):
        assert tried(visitor.get(LOGIN)) is None
    url = visitor.start_sign_in("kakao")
    visitor.send_callback("kakao", here.providers.approve(url))
    assert visitor.is_signed_in
    assert not visitor.cookies_starting_with(COOKIE)


def test_a_session_that_was_ended_elsewhere_does_not_come_back_by_itself(here: SocialSetup, visitor: Browser) -> None:
    visitor.send_callback("kakao", here.providers.approve(begin(visitor)))
    other = Browser(here.site.url, **{"User-Agent": KAKAOTALK})
    other.cookies.update(visitor.cookies)
    other.submit("/auth/logout", {"callbackUrl": "/"})
    assert tried(visitor.get(LOGIN)) is None
    assert not visitor.is_signed_in


@pytest.mark.parametrize(
    "path",
    [f"{LOGIN}?error=Cancelled", f"{LOGIN}?error=SessionExpired", f"{LOGIN}?error=OAuthCallback&callbackUrl=/account"],
)
def test_a_page_with_a_message_is_shown(visitor: Browser, path: str) -> None:
    assert tried(visitor.get(path)) is None
    assert visitor.get_page(path).message


@pytest.mark.parametrize(
    "headers",
    [
        {"User-Agent": SAFARI},
        {"User-Agent": ""},
        {"User-Agent": "facebookexternalhit/1.1; kakaotalk-scrap/1.0; +https://devtalk.kakao.com/t/topic"},
        {"User-Agent": f"{SAFARI} NAVER(inapp; search; 2000)"},
        {"User-Agent": f"{SAFARI} Line/15.1.0"},
        {"User-Agent": "x" * 2000 + " KAKAOTALK"},
        {"Sec-Purpose": "prefetch"},
        {"Purpose": "prefetch"},
        {"Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Mode": "no-cors"},
    ],
)
def test_other_browsers_and_requests_that_nobody_sees_get_the_page(visitor: Browser, headers: dict[str, str]) -> None:
    response = visitor.get(LOGIN, headers=headers)
    assert tried(response) is None
    assert COOKIE not in cookie_names(response)
    assert tried(visitor.get(LOGIN))


def test_a_head_request_and_other_pages_start_nothing(visitor: Browser) -> None:
    assert visitor.head(LOGIN, allow_redirects=False).status_code == 200
    for path in ("/", "/auth/logout", "/api/auth/session", "/auth/verify"):
        assert "oauth/authorize" not in visitor.get(path).headers.get("Location", "")
    assert not visitor.attempt_cookies


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/x" * 3000, "%00"]
)
def test_a_hostile_return_address_does_not_leave_the_site(here: SocialSetup, visitor: Browser, target: str) -> None:
    response = visitor.get(LOGIN, params={"callbackUrl": target})
    assert "evil.example" not in response.headers["Location"]
    failed = visitor.send_callback("kakao", {"error": "consent_required", "state": state_of(str(tried(response)))})
    assert failed.headers["Location"].startswith(f"{here.site.url}{LOGIN}")
    assert "evil.example" not in failed.headers["Location"]


@pytest.mark.parametrize("value", ["", "tried", "signed-out", "x" * 3000, "a=b"])
def test_any_value_of_the_cookie_keeps_the_page(visitor: Browser, value: str) -> None:
    assert tried(visitor.get(LOGIN, headers={"Cookie": f"{COOKIE}={value}"})) is None


def test_a_callback_of_somebody_elses_automatic_sign_in_signs_nobody_in(here: SocialSetup, visitor: Browser) -> None:
    victim = Browser(here.site.url, **{"User-Agent": KAKAOTALK})
    answer = here.providers.approve(begin(visitor))
    begin(victim)
    assert "error=AttemptExpired" in victim.send_callback("kakao", answer).headers["Location"]
    assert not victim.is_signed_in


def test_a_second_click_of_the_callback_is_one_sign_in(here: SocialSetup, visitor: Browser) -> None:
    answer = here.providers.approve(begin(visitor))
    assert visitor.send_callback("kakao", answer).status_code == 303
    assert visitor.send_callback("kakao", answer).headers["Location"] == f"{here.site.url}/account"
    assert len(here.providers.token_requests("kakao")) == 1


def test_it_is_off_without_the_setting_and_sets_no_cookie() -> None:
    with social_setup("kakao", **NO_LIMITS) as running:
        visitor = Browser(running.site.url, **{"User-Agent": KAKAOTALK})
        assert tried(visitor.get(LOGIN)) is None
        visitor.send_callback("kakao", running.providers.approve(visitor.start_sign_in("kakao")))
        visitor.submit("/auth/logout", {"callbackUrl": "/"})
        assert not visitor.cookies_starting_with(COOKIE)


def test_beyond_the_limit_the_page_is_shown(here: SocialSetup) -> None:
    with social_setup("kakao", kakao_auto_login="true", login_limit_per_ip="1/hour") as running:
        first, second = (Browser(running.site.url, **{"User-Agent": KAKAOTALK}) for _ in range(2))
        assert tried(first.get(LOGIN))
        assert tried(second.get(LOGIN)) is None


@pytest.mark.parametrize("name", providers.names())
def test_only_a_provider_with_an_app_can_have_the_setting(name: str) -> None:
    provider = providers.find(name)
    assert bool(provider.auto_login_params) <= bool(provider.in_app_browser)
    assert ("AUTO_LOGIN" in provider.all_settings) == bool(provider.auto_login_params)


def test_a_value_that_is_neither_true_nor_false_is_refused() -> None:
    base = {"SITE_URL": "https://login.example.com", "SECRET_KEY": SECRET, "BACKEND_URL": "https://api.example.com"}
    environ = {**base, "PROVIDERS": "kakao", "KAKAO_CLIENT_ID": "x", "KAKAO_AUTO_LOGIN": "ja"}
    with pytest.raises(config.SettingsError, match="KAKAO_AUTO_LOGIN must be true or false"):
        config.load(environ)
