"""The account page and `update()`: which names people may save."""

import unicodedata
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.support.forge import COOKIE, encrypt, make_claims
from tests.support.site import Page, Site, SiteMaker, Visitor, running_site

DOORS = ("page", "update")


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A site without profile path would refuse the form of the account page, so the stand-in backend saves names."""
    with running_site() as running:
        yield running


@pytest.fixture
def member(site: Site) -> Visitor:
    visitor = site.new_visitor()
    visitor.sign_in()
    save(visitor, "page", name="김민지", nick_name="minji")
    return visitor


def save(visitor: Visitor, door: str, **names: Any) -> requests.Response:
    if door == "page":
        return visitor.submit("/account", names)
    return visitor.post("/api/auth/session", json={"csrfToken": visitor.csrf_token(), "data": names})


def names_of(visitor: Visitor) -> tuple[Any, Any]:
    user = visitor.get_session()["user"]
    return user["name"], user["nick_name"]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "names",
    [
        {"name": ""},
        {"name": "   "},
        {"name": "\u3164"},
        {"name": "\u2800\u200b", "nick_name": "x"},
        {"name": "\u00a0"},
        {"name": "a\u2028b"},
        {"nick_name": "a\nb"},
        {"name": "n" * 201},
        {},
    ],
    ids=ascii,
)
def test_an_invalid_name_is_refused_with_422_and_changes_nothing(member: Visitor, door: str, names: Any) -> None:
    response = save(member, door, **names)
    assert response.status_code == 422
    assert names_of(member) == ("김민지", "minji")
    if door == "page":
        assert Page(response).message
    else:
        assert response.json() == {}


def test_null_is_no_name(member: Visitor) -> None:
    assert save(member, "update", name=None).status_code == 422
    assert names_of(member) == ("김민지", "minji")


def test_the_form_asks_for_a_name_that_can_be_seen(member: Visitor) -> None:
    page = Page(save(member, "page", name="\u3164", nick_name="minji"))
    assert "Enter your name." in page.message
    assert page.input_value("nick_name") == "minji"


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("blank", ["", "  ", "\u3164"], ids=ascii)
def test_a_blank_nickname_removes_the_nickname(member: Visitor, door: str, blank: str) -> None:
    assert save(member, door, nick_name=blank).status_code in (200, 303)
    assert names_of(member) == ("김민지", None)


@pytest.mark.parametrize("door", DOORS)
def test_a_name_that_is_not_sent_stays(member: Visitor, door: str) -> None:
    assert save(member, door, name="김새봄").status_code in (200, 303)
    assert names_of(member) == ("김새봄", "minji")


@pytest.mark.parametrize("door", DOORS)
def test_names_are_sent_and_shown_in_nfc(site: Site, member: Visitor, door: str) -> None:
    assert site.backend
    assert save(member, door, name=unicodedata.normalize("NFD", "김민지é")).status_code in (200, 303)
    assert names_of(member)[0] == "김민지é"
    assert site.backend.extensions["user_store"].users["minji@example.com"]["name"] == "김민지é"


def test_a_name_of_the_backend_without_anything_visible_is_not_shown(make_site: SiteMaker) -> None:
    site = make_site()
    assert site.backend
    site.backend.extensions["user_store"].users["minji@example.com"].update(name="\u3164", nick_name="\u2800")
    visitor = site.new_visitor()
    visitor.sign_in()
    assert names_of(visitor) == (None, None)
    assert visitor.get("/auth/verify").headers["X-Auth-User-Name"] == ""
    assert "minji@example.com" in visitor.get_page("/").text
    assert visitor.get_page("/account").input_value("name") in (None, "")


def test_a_message_of_several_forms_is_shown_once(make_site: SiteMaker) -> None:
    """A second click, or a page that was closed before it was shown."""
    visitor = make_site().new_visitor()
    visitor.sign_in()
    for name in ("A", "B", "C"):
        assert visitor.submit("/account", {"name": name}).status_code == 303
    assert visitor.get_page("/account").status_messages == ["Your changes are saved."]


@pytest.mark.parametrize("path", ["/favicon.ico", "/auth/static/missing.png", "/account", "/"])
def test_a_request_of_a_script_or_an_image_does_not_use_up_the_message(make_site: SiteMaker, path: str) -> None:
    visitor = make_site().new_visitor()
    visitor.sign_in()
    visitor.submit("/account", {"name": "A"})
    for destination, mode in {"image": "no-cors", "empty": "cors"}.items():
        visitor.get(path, headers={"Sec-Fetch-Dest": destination, "Sec-Fetch-Mode": mode})
    navigation = {"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"}
    assert visitor.get_page("/account", headers=navigation).status_messages == ["Your changes are saved."]


def test_a_session_that_nextauth_has_started_is_confirmed_before_it_ends_another_one(make_site: SiteMaker) -> None:
    """NextAuth renews `iat`, so nobody knows when the person has signed in."""
    visitor = make_site(session_revalidate=0).new_visitor()
    visitor.cookies.set(COOKIE, encrypt(make_claims()), domain="localhost.local", path="/")
    location = visitor.submit("/account/sessions/end", {"session": "0" * 16}).headers["Location"]
    assert urlsplit(location).path == "/auth/login/confirm"
