"""The e-mail sign-in from the login page to the account and out again, over real sockets, with nothing patched."""

import pytest

from dev.backend import PASSWORD
from tests.support.site import MINJI, Page, Site, SiteMaker, Visitor, cookie_names, set_cookies


def admitted(site: Site) -> list[object]:
    """Return the accounts whose tokens the stand-in backend accepts."""
    assert site.backend
    return list(site.backend.extensions["user_store"].tokens.values())


def test_a_person_signs_in_and_sees_their_name(visitor: Visitor) -> None:
    assert visitor.get_page("/").heading == "Not signed in"
    response = visitor.sign_in()
    assert response.status_code == 303
    assert response.headers["Location"] == f"{visitor.url}/"
    assert visitor.get_page("/").heading == "Signed in as 민지"
    assert MINJI in visitor.get_page("/account").text


def test_the_session_json_contains_the_user_and_no_token(visitor: Visitor) -> None:
    visitor.sign_in()
    session = visitor.get_session()
    assert session["user"] == {"id": 1, "name": "김민지", "nick_name": "민지", "email": MINJI}
    assert set(session) == {"user", "expires"}


def test_an_anonymous_visitor_has_no_session(visitor: Visitor) -> None:
    response = visitor.get("/api/auth/session")
    assert response.json() == {}
    assert set_cookies(response) == []


def test_signing_in_redirects_to_the_requested_page(visitor: Visitor) -> None:
    asked = visitor.get("/account")
    assert asked.status_code == 303
    page = visitor.get_page(asked.headers["Location"])
    response = visitor.sign_in(callbackUrl=page.input_value("callbackUrl") or "")
    assert response.headers["Location"] == f"{visitor.url}/account"


def test_a_signed_in_person_is_redirected_from_the_login_page(visitor: Visitor) -> None:
    visitor.sign_in()
    response = visitor.get("/auth/login/email?callbackUrl=/account?x=1")
    assert response.status_code == 303
    assert response.headers["Location"] == f"{visitor.url}/account?x=1"


def test_a_wrong_password_keeps_the_address_that_was_typed(visitor: Visitor) -> None:
    page = Page(visitor.sign_in(password="wrong", callbackUrl="/account"))
    assert page.status == 401
    assert "is incorrect" in page.message
    assert page.title.startswith("Error: ")
    assert page.input_value("email") == MINJI
    assert page.input_value("password") == ""
    assert page.input_value("callbackUrl") == f"{visitor.url}/account"
    assert not visitor.is_signed_in


def test_an_unknown_address_looks_exactly_like_a_wrong_password(site: Site) -> None:
    pages = []
    for email in (MINJI, "nobody@example.com"):
        visitor = site.new_visitor()
        response = visitor.sign_in(email, "wrong")
        hidden = response.text.replace(email, "ADDRESS")
        for changing in (Page(response).input_value("csrfToken") or "", response.headers["X-Request-Id"]):
            hidden = hidden.replace(changing, "RANDOM")
        pages.append((response.status_code, hidden, sorted(response.headers)))
    assert pages[0] == pages[1]


@pytest.mark.parametrize(
    ("email", "status", "words"),
    [
        ("unverified@example.com", 403, "not verified"),
        ("locked@example.com", 401, "may be locked"),
        ("throttled@example.com", 429, "Try again in 57 seconds"),
        ("down@example.com", 503, "is not responding"),
        ("html@example.com", 502, "is not responding"),
        ("nouser@example.com", 502, "is not responding"),
    ],
)
def test_each_failed_sign_in_says_what_happened(visitor: Visitor, email: str, status: int, words: str) -> None:
    response = visitor.sign_in(email)
    page = Page(response)
    assert page.status == status
    assert words in page.message
    assert page.input_value("email") == email
    assert "next-auth.session-token" not in cookie_names(response)
    assert not visitor.is_signed_in
    assert visitor.sign_in().status_code == 303


def test_a_server_error_shows_the_request_id_of_the_header(visitor: Visitor) -> None:
    response = visitor.sign_in("down@example.com")
    assert response.headers["X-Request-Id"] in Page(response).message
    assert response.headers["Retry-After"] == "60"


def test_a_backend_token_without_a_user_is_revoked(site: Site, visitor: Visitor) -> None:
    assert site.backend
    visitor.sign_in("nouser@example.com")
    assert "nouser@example.com" not in admitted(site)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"email": "", "password": PASSWORD}, "Enter your email address."),
        ({"email": "minji", "password": PASSWORD}, "like name@example.com"),
        ({"email": f"{'m' * 250}@example.com", "password": PASSWORD}, "too long"),
        ({"email": MINJI, "password": ""}, "Enter your password."),
        ({"email": MINJI, "password": "x" * 1025}, "This password is too long."),
        ({}, "Enter your email address."),
    ],
)
def test_an_incomplete_form_is_explained_at_its_fields(visitor: Visitor, fields: dict[str, str], words: str) -> None:
    page = Page(visitor.submit("/auth/login/email", fields))
    assert page.status == 422
    assert words in page.message
    for link in page.find_all("div[@role='alert']//a"):
        assert page.find_all(f"input[@id='{link.get('href')[1:]}']")


def test_a_full_width_at_sign_in_the_address_is_accepted(visitor: Visitor) -> None:
    assert visitor.sign_in(" minji\N{FULLWIDTH COMMERCIAL AT}example.com ").status_code == 303


def test_a_person_changes_their_name(make_site: SiteMaker) -> None:
    visitor = make_site().new_visitor()
    visitor.sign_in()
    response = visitor.submit("/account", {"name": " 김새봄 ", "nick_name": ""})
    assert response.status_code == 303
    page = visitor.get_page("/account")
    assert page.status_messages == ["Your changes are saved."]
    assert page.input_value("name") == "김새봄"
    assert visitor.get_session()["user"] == {"id": 1, "name": "김새봄", "nick_name": None, "email": MINJI}


def test_a_name_that_the_backend_refuses_is_explained_and_stays_in_the_form(visitor: Visitor) -> None:
    visitor.sign_in()
    page = Page(visitor.submit("/account", {"name": "n" * 31, "nick_name": "nick"}))
    assert page.status == 422
    assert "must not be greater than 30 characters" in page.message
    assert page.input_value("name") == "n" * 31
    assert visitor.get_session()["user"]["name"] == "김민지"


def test_without_a_profile_path_the_account_page_is_read_only(make_site: SiteMaker) -> None:
    visitor = make_site(backend_profile_path=None).new_visitor()
    visitor.sign_in()
    assert visitor.get_page("/account").input_value("name") is None
    assert visitor.submit("/account", {"name": "x", "nick_name": ""}).status_code == 405


def test_signing_out_asks_for_confirmation_then_ends_the_session_here_and_at_the_backend(
    site: Site, visitor: Visitor
) -> None:
    assert site.backend
    visitor.sign_in("jun@example.com")
    assert "jun@example.com" in admitted(site)
    assert visitor.get_page("/auth/logout").heading == "Do you want to sign out?"
    assert visitor.is_signed_in
    response = visitor.submit("/auth/logout", {})
    assert response.status_code == 303
    assert not visitor.is_signed_in
    assert "jun@example.com" not in admitted(site)
    page = visitor.get_page(response.headers["Location"])
    assert page.heading == "Not signed in"
    assert page.status_messages == ["You are signed out."]


def test_signing_in_as_another_user_revokes_the_first_token(make_site: SiteMaker) -> None:
    site = make_site()
    assert site.backend
    visitor = site.new_visitor()
    visitor.sign_in()
    visitor.sign_in("jun@example.com")
    assert visitor.get_session()["user"]["id"] == 2
    assert admitted(site) == ["jun@example.com"]
