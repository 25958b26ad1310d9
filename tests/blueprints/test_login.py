"""The sign-in page for somebody who is signed in."""

import logging
from urllib.parse import urljoin

import pytest
import requests

from tests.support.redirects import destination
from tests.support.site import Page, Visitor, cookie_names

LOGIN = "/auth/login/email"
COUNT = "munjigi.redirects"


def browse(visitor: Visitor, start: str, refused: str, sign_in_page: str = LOGIN, limit: int = 16) -> requests.Response:
    """Follow redirects as a browser does. An app refuses the path `refused` as next-auth's `withAuth` does."""
    url = urljoin(visitor.url, start)
    for _ in range(limit):
        if url.removeprefix(visitor.url).partition("?")[0] == refused:
            query = requests.models.PreparedRequest()
            query.prepare_url(urljoin(visitor.url, sign_in_page), {"callbackUrl": url.removeprefix(visitor.url)})
            url = str(query.url)
            continue
        response = visitor.get(url)
        if "Location" not in response.headers:
            return response
        url = urljoin(url, response.headers["Location"])
    raise AssertionError("too many redirects")


@pytest.mark.parametrize("sign_in_page", ["/api/auth/signin", LOGIN])
@pytest.mark.parametrize("start", ["/admin", "/admin?tab=1&x=%ED%95%9C"])
def test_an_app_that_refuses_a_signed_in_user_ends_at_a_page_that_names_the_user(
    visitor: Visitor, start: str, sign_in_page: str
) -> None:
    arrived = visitor.sign_in(callbackUrl=start)
    page = Page(browse(visitor, destination(arrived), "/admin", sign_in_page))
    assert (page.status, page.heading) == (403, "This account cannot open that page")
    assert "You are signed in as 민지. minji@example.com" in page.texts("p")
    assert page.texts("form/button") == ["Sign in with another account"]
    assert page.find_all("main//a")[0].get("href") == visitor.url + start
    assert visitor.is_signed_in


def test_from_that_page_a_person_signs_in_with_another_account_and_arrives(visitor: Visitor) -> None:
    visitor.sign_in()
    page = Page(browse(visitor, "/admin?tab=1", "/admin"))
    form = page.find_all("main//form")[0]
    fields = {field.get("name"): field.get("value") for field in form.findall(".//input")}
    signed_out = visitor.post(form.get("action"), data=fields)
    assert signed_out.status_code == 303
    login_page = visitor.get_page(signed_out.headers["Location"])
    assert login_page.heading == "Sign in"
    callback_url = login_page.input_value("callbackUrl") or ""
    assert callback_url == f"{visitor.url}/admin?tab=1"
    assert destination(visitor.sign_in("jun@example.com", callbackUrl=callback_url)) == callback_url
    visitor.submit("/auth/logout", {})


def test_the_page_is_in_the_language_of_the_visitor(visitor: Visitor) -> None:
    visitor.sign_in()
    browse(visitor, "/admin", "/admin")
    pages = [
        visitor.get_page(f"{LOGIN}?callbackUrl=/admin", headers={"Accept-Language": language})
        for language in ("ko", "ja")
    ]
    assert [page.heading for page in pages] == [
        "이 계정으로는 열 수 없어요",
        "このアカウントではそのページを開けません",
    ]


def test_two_visits_in_a_row_are_redirected_and_other_targets_start_again(visitor: Visitor) -> None:
    visitor.sign_in()
    for target in ("/rooms", "/rooms?b=1", "/other", "/other", "/rooms", "/account", "/rooms"):
        response = visitor.get(f"{LOGIN}?callbackUrl={target}")
        assert (response.status_code, response.headers["Location"]) == (303, visitor.url + target)


def test_the_count_ends_after_seconds_and_grants_nothing(visitor: Visitor) -> None:
    visitor.sign_in()
    response = visitor.get(f"{LOGIN}?callbackUrl=/rooms")
    assert "Max-Age=10; HttpOnly; Path=/; SameSite=Lax" in response.headers["Set-Cookie"]
    for value in ("2", "2.", "9.0", "-1.x", "٣.x", "x" * 4000, "2.0000000000000000"):
        headers = {"Cookie": f"{COUNT}={value}; {visitor_cookies(visitor)}".encode()}
        assert (
            requests.get(
                f"{visitor.url}{LOGIN}?callbackUrl=/rooms", headers=headers, allow_redirects=False, timeout=30
            ).headers["Location"]
            == f"{visitor.url}/rooms"
        )


def visitor_cookies(visitor: Visitor) -> str:
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in visitor.cookies if cookie.name != COUNT)


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Mode": "cors"}, {"Sec-Purpose": "prefetch", "Sec-Fetch-Mode": "navigate"}]
)
def test_requests_that_are_no_navigation_do_not_count(visitor: Visitor, headers: dict[str, str]) -> None:
    visitor.sign_in()
    for _ in range(5):
        response = visitor.get(f"{LOGIN}?callbackUrl=/rooms", headers=headers)
        assert (response.status_code, COUNT in cookie_names(response)) == (303, False)


def test_visits_without_a_callback_url_do_not_count(visitor: Visitor) -> None:
    visitor.sign_in()
    for _ in range(5):
        response = visitor.get(LOGIN)
        assert (response.status_code, response.headers["Location"]) == (303, f"{visitor.url}/")


def test_a_visitor_without_a_session_always_gets_the_sign_in_page(visitor: Visitor) -> None:
    for _ in range(5):
        assert visitor.get_page(f"{LOGIN}?callbackUrl=/rooms").heading == "Sign in"
    assert COUNT not in visitor.cookies


def test_a_loop_is_logged_for_the_operator(visitor: Visitor, caplog: pytest.LogCaptureFixture) -> None:
    visitor.sign_in()
    with caplog.at_level(logging.INFO, "munjigi.login"):
        browse(visitor, "/admin?secret=1", "/admin")
    assert caplog.messages == ["an app does not admit a signed-in user: path=/admin"]


@pytest.mark.parametrize("code", ["AttemptExpired", "SessionRequired", "SessionExpired"])
def test_errors_about_a_missing_session_are_not_shown_to_somebody_who_is_signed_in(visitor: Visitor, code: str) -> None:
    address = f"{LOGIN}?error={code}&callbackUrl=/account"
    assert visitor.get_page(address).message
    visitor.sign_in()
    response = visitor.get(address)
    assert (response.status_code, response.headers["Location"]) == (303, f"{visitor.url}/account")


@pytest.mark.parametrize("code", ["AccessDenied", "BackendUnavailable", "Cancelled", "OAuthCallback"])
def test_other_errors_are_shown_to_somebody_who_is_signed_in(visitor: Visitor, code: str) -> None:
    visitor.sign_in()
    assert visitor.get_page(f"{LOGIN}?error={code}").message
