"""A browser may send a cookie twice: of another path of this host, or of the parent domain. A valid copy counts.

Such a copy cannot be deleted, and it may come first (RFC 6265, 5.4), so it must not stop anybody. The session cookie is
tested in tests/services/sessions/test_cookie.py.
"""

from collections.abc import Iterator

import pytest

import app
from tests.support.site import MINJI, ManualClock, Page, Site, Visitor, make_settings, running_site
from tests.support.social_backend import SocialSetup, new_browser, social_setup

OTHER_SECRET = "another-Q7x1vN0tA-secret-of-another-site"
JUNK = ("", "x", "a.b.c", '"', "%00", "é", "eyJjc3JmVG9rZW4iOiJ4In0.aaaa.bbbb", "x" * 3000)
each_order = pytest.mark.parametrize("is_first", [True, False], ids=["before ours", "after ours"])


def cookie_header(visitor: Visitor, name: str, copy: str, *, is_first: bool) -> str:
    """The cookies of this visitor, with another copy of one of them."""
    own = [(cookie.name, cookie.value or "") for cookie in visitor.cookies]
    assert any(each.startswith(name) for each, _ in own)
    full_name = next(each for each, _ in own if each.startswith(name))
    pairs = [(full_name, copy), *own] if is_first else [*own, (full_name, copy)]
    return "; ".join(f"{each}={value}" for each, value in pairs)


def copies_of_another_site() -> list[str]:
    """Visitor cookies that another site has signed, which runs the same program with another key."""
    client = app.create_app(make_settings(secret_key=OTHER_SECRET)).test_client()
    client.get("/api/auth/csrf")
    cookie = client.get_cookie("munjigi.visitor")
    assert cookie
    return [cookie.value]


@each_order
def test_a_form_is_accepted_beside_another_visitor_cookie(site: Site, is_first: bool) -> None:
    for copy in (*JUNK, *copies_of_another_site()):
        visitor = site.new_visitor()
        fields = {"csrfToken": visitor.csrf_token(), "email": MINJI, "password": "correct-horse"}
        headers = {"Cookie": cookie_header(visitor, "munjigi.visitor", copy, is_first=is_first).encode()}
        assert visitor.post("/auth/login/email", data=fields, headers=headers).status_code == 303, copy


@each_order
def test_of_two_valid_visitor_cookies_the_one_that_was_written_last_counts(is_first: bool) -> None:
    """A copy from before the sign-in, at a path that the site had earlier."""
    clock = ManualClock()
    with running_site(clock=clock) as site:
        old = site.new_visitor()
        old.csrf_token()
        (copy,) = [cookie.value or "" for cookie in old.cookies]
        clock.advance(3600)
        visitor = site.new_visitor()
        visitor.sign_in()
        headers = {"Cookie": cookie_header(visitor, "munjigi.visitor", copy, is_first=is_first)}
        token = visitor.get("/api/auth/csrf", headers=headers).json()["csrfToken"]
        response = visitor.post("/auth/logout", data={"csrfToken": token}, headers=headers)
        assert response.status_code == 303
        page = Page(visitor.get("/", headers={"Cookie": f"munjigi.visitor={copy}; {cookie_header_of(visitor)}"}))
        assert page.status_messages == ["You are signed out."]


def cookie_header_of(visitor: Visitor) -> str:
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in visitor.cookies)


@each_order
def test_a_device_cookie_counts_beside_another_one(is_first: bool) -> None:
    with running_site(login_limit_per_account="2/hour") as site:
        owner = site.new_visitor()
        assert owner.sign_in().status_code == 303
        for _ in range(2):
            site.new_visitor().sign_in(password="wrong")
        assert site.new_visitor().sign_in().status_code == 429
        fields = {"csrfToken": owner.csrf_token(), "email": MINJI, "password": "correct-horse"}
        headers = {"Cookie": cookie_header(owner, "munjigi.device", "x.y.z", is_first=is_first)}
        assert owner.post("/auth/login/email", data=fields, headers=headers).status_code == 303


@pytest.fixture(scope="module")
def social() -> Iterator[SocialSetup]:
    with social_setup("kakao") as running:
        yield running


@each_order
def test_a_callback_is_accepted_beside_another_attempt_cookie(social: SocialSetup, is_first: bool) -> None:
    for copy in JUNK:
        browser = new_browser(social.site)
        answer = social.providers.approve(browser.start_sign_in("kakao"))
        headers = {"Cookie": cookie_header(browser, "munjigi.attempt.", copy, is_first=is_first).encode()}
        response = browser.get("/api/auth/callback/kakao", params=answer, headers=headers)
        assert response.headers["Location"] == f"{social.site.url}/", copy


@each_order
def test_the_provider_that_was_used_last_is_marked_beside_another_copy(social: SocialSetup, is_first: bool) -> None:
    browser = new_browser(social.site)
    browser.send_callback("kakao", social.providers.approve(browser.start_sign_in("kakao")))
    browser.submit("/auth/logout", {})
    headers = {"Cookie": cookie_header(browser, "munjigi.last-provider", "nobody", is_first=is_first)}
    assert 'id="last-used"' in browser.get("/auth/login/email", headers=headers).text


@each_order
def test_a_redirect_loop_is_stopped_beside_another_copy_of_its_cookie(site: Site, is_first: bool) -> None:
    visitor = site.new_visitor()
    visitor.sign_in()
    statuses: list[int] = []
    headers: dict[str, str] = {}
    for _ in range(4):
        statuses.append(visitor.get("/auth/login/email?callbackUrl=/hop", headers=headers).status_code)
        headers = {"Cookie": cookie_header(visitor, "munjigi.redirects", "1.x", is_first=is_first)}
    assert (statuses[0], statuses[-1]) == (303, 403)
