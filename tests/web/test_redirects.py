"""Where a form leads: a redirect to a page of this site, a page in between to any other target."""

import pytest

from dev.backend import PASSWORD
from tests.support.redirects import destination
from tests.support.scripted import scripted_backend
from tests.support.site import MINJI, Page, SiteMaker, Visitor, running_site

CREDENTIALS = {"email": MINJI, "password": PASSWORD}
OWN_PAGES = ["/", "/account", "/account?tab=1#names", "/?x=1"]
OTHER_TARGETS = ["/rooms", "/rooms?a=1&b=%22#c", "/api/auth/signin", "/auth/../rooms", "/account/", "/health/live"]
FORMS = {
    "sign-in": ("/auth/login/email", CREDENTIALS, 303, "You are signed in."),
    "sign-out": ("/auth/logout", {}, 303, "You are signed out."),
    "sign-out everywhere": ("/auth/logout", {"everywhere": "1"}, 303, "You are signed out on all devices."),
    "next-auth sign-in": ("/api/auth/callback/email", CREDENTIALS, 302, "You are signed in."),
    "next-auth sign-out": ("/api/auth/signout", {}, 302, "You are signed out."),
}
each_form = pytest.mark.parametrize(("path", "fields", "status", "message"), FORMS.values(), ids=list(FORMS))


@each_form
def test_a_page_of_this_site_gets_a_redirect(
    visitor: Visitor, path: str, fields: dict[str, str], status: int, message: str
) -> None:
    visitor.sign_in()
    for target in OWN_PAGES:
        response = visitor.submit(path, {**fields, "callbackUrl": target})
        assert (response.status_code, response.headers["Location"]) == (status, visitor.url + target)


@each_form
def test_any_other_target_is_reached_through_a_page(
    visitor: Visitor, path: str, fields: dict[str, str], status: int, message: str
) -> None:
    for target in OTHER_TARGETS:
        visitor.sign_in()
        response = visitor.submit(path, {**fields, "callbackUrl": target})
        page = Page(response)
        assert (page.status, page.heading) == (200, "Taking you to the next page")
        assert destination(response) == visitor.url + target
        assert page.texts("a[@class='button button-primary']") == ["Continue"]
        assert page.status_messages == [message]
        assert response.headers["Cache-Control"] == "no-store"
        assert "form-action 'self'" in response.headers["Content-Security-Policy"]
    assert visitor.get_page("/").status_messages == [], "the message is shown once"


def test_below_a_path_the_root_of_the_host_is_no_page_of_this_site(shared_site: SiteMaker) -> None:
    site = shared_site(path="/login-site")
    origin, visitor = site.url, site.new_visitor()
    for target, status in {"/": 200, "/account": 200, "/login-site/": 303, "/login-site/account": 303}.items():
        token = visitor.get("/login-site/api/auth/csrf").json()["csrfToken"]
        fields = {"csrfToken": token, **CREDENTIALS, "callbackUrl": target}
        response = visitor.post("/login-site/auth/login/email", data=fields)
        assert (response.status_code, destination(response)) == (status, origin + target)


def test_the_page_in_between_is_in_the_language_of_the_visitor(visitor: Visitor) -> None:
    fields = {**CREDENTIALS, "callbackUrl": "/rooms"}
    pages = [
        Page(visitor.submit("/auth/login/email", fields, headers={"Accept-Language": language}))
        for language in ("ko", "ja")
    ]
    assert [page.heading for page in pages] == ["다음 페이지로 이동하고 있어요", "次のページに移動しています"]
    assert [page.status_messages for page in pages] == [["로그인했어요."], ["ログインしました。"]]


@pytest.mark.parametrize("path", ["/auth/logout", "/api/auth/signout"])
def test_the_page_waits_for_a_click_if_the_backend_could_not_end_the_session(
    path: str,
) -> None:
    with scripted_backend() as backend, running_site(backend.url) as site:
        visitor = site.new_visitor()
        visitor.sign_in()
        backend.logout_status = 500
        response = visitor.submit(path, {"callbackUrl": "/rooms"})
    page = Page(response)
    assert page.status_messages[0].startswith("You are signed out on this device, but")
    assert "refresh" not in response.text
    assert page.find_all("a[@class='button button-primary']")[0].get("href") == f"{site.url}/rooms"
