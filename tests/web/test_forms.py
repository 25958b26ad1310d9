"""The sign-in form for each value of `LOGIN_IDENTIFIER`: what it asks for, what it takes, and what it says."""

import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from dev.backend import PASSWORD
from tests.support.login_page import LOGIN
from tests.support.site import MINJI, Page, Site, SiteMaker, Visitor, serve_in_thread

CALLBACK = "/api/auth/callback/email"
KINDS = ["email", "username", "phone", "any"]
FIELDS = {"email": "email", "username": "username", "phone": "phone", "any": "identifier"}
MINJIS = {"email": MINJI, "username": "minji", "phone": "010-5555-1001", "any": "minji"}
NOT_EMAIL = {"en": "email", "ko": "이메일", "ja": "メ\u30fcル"}


@pytest.fixture
def site_for(shared_site: SiteMaker) -> Callable[[str], Site]:
    return lambda kind: shared_site(login_identifier=kind)


def post_form(visitor: Visitor, fields: dict[str, str]) -> requests.Response:
    return visitor.submit(LOGIN, fields)


def post_json(visitor: Visitor, fields: dict[str, str]) -> requests.Response:
    return visitor.post(LOGIN, json={"csrfToken": visitor.csrf_token(), **fields})


def sign_in_by_next_auth(visitor: Visitor, fields: dict[str, str]) -> requests.Response:
    return visitor.submit(CALLBACK, {"json": "true", **fields})


def sign_in_by_next_auth_json(visitor: Visitor, fields: dict[str, str]) -> requests.Response:
    return visitor.post(CALLBACK, json={"csrfToken": visitor.csrf_token(), "json": "true", **fields})


DOORS = [post_form, post_json, sign_in_by_next_auth, sign_in_by_next_auth_json]


@pytest.mark.parametrize(
    ("kind", "labels", "attributes"),
    [
        (
            "email",
            ["Email address", "이메일", "メ\u30fcルアドレス"],
            {"type": "email", "inputmode": "email", "dir": "ltr"},
        ),
        (
            "username",
            ["Username", "아이디", "ユ\u30fcザ\u30fc名"],
            {"type": "text", "autocorrect": "off", "dir": "auto"},
        ),
        (
            "phone",
            ["Phone number", "휴대전화 번호", "電話番号"],
            {"type": "text", "inputmode": "tel", "autocorrect": "off", "dir": "ltr"},
        ),
        (
            "any",
            ["Email or username", "이메일 또는 아이디", "メ\u30fcルアドレスまたはユ\u30fcザ\u30fc名"],
            {"type": "text", "inputmode": "email", "autocorrect": "off", "dir": "ltr"},
        ),
    ],
)
def test_the_first_field_has_its_label_and_keyboard_and_is_the_user_name_for_password_managers(
    site_for: Callable[[str], Site], kind: str, labels: list[str], attributes: dict[str, str]
) -> None:
    name = FIELDS[kind]
    for language, label in zip(("en", "ko", "ja"), labels, strict=True):
        page = site_for(kind).new_visitor(**{"Accept-Language": language}).get_page(LOGIN)
        assert page.texts(f"label[@for='{name}']") == [label]
        first, password = page.find_all("input[@required]")
        assert {key: value for key, value in first.attrib.items() if key not in ("required", "autofocus")} == {
            "id": name,
            "name": name,
            "value": "",
            "autocomplete": "username",
            "autocapitalize": "none",
            "spellcheck": "false",
            **attributes,
        }
        assert "autofocus" in first.attrib
        assert (password.get("name"), password.get("autocomplete")) == ("password", "current-password")


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_a_person_signs_in_with_the_identifier_at_every_door(
    site_for: Callable[[str], Site], kind: str, door: Callable[..., requests.Response]
) -> None:
    for name in (FIELDS[kind], "identifier", "email"):
        visitor = site_for(kind).new_visitor()
        assert door(visitor, {name: MINJIS[kind], "password": PASSWORD}).status_code in (200, 303)
        assert visitor.get_session()["user"]["email"] == MINJI


@pytest.mark.parametrize(
    "typed", [MINJI, "minji", "010-5555-1001", "+82 10-5555-1001", "\uff4d\uff49\uff4e\uff4a\uff49"]
)
def test_any_takes_an_address_a_user_name_and_a_telephone_number(site_for: Callable[[str], Site], typed: str) -> None:
    visitor = site_for("any").new_visitor()
    assert post_form(visitor, {"identifier": typed, "password": PASSWORD}).status_code == 303
    assert visitor.get_session()["user"]["email"] == MINJI


def test_the_name_of_the_field_counts_before_the_other_names(site_for: Callable[[str], Site]) -> None:
    site = site_for("username")
    fields = {"username": "minji", "email": "jun@example.com", "password": PASSWORD}
    for door in DOORS:
        visitor = site.new_visitor()
        door(visitor, fields)
        assert visitor.get_session()["user"]["email"] == MINJI
        visitor = site.new_visitor()
        door(visitor, {**fields, "username": ""})
        assert visitor.get_session()["user"]["email"] == "jun@example.com"


INVALID = [
    ("username", "", "Enter your username."),
    ("username", " \u200b\u3164 ", "Enter your username."),
    ("username", "u" * 256, "This username is too long. Use 255 characters or fewer."),
    ("username", "mi\nnji", "Remove line breaks and control characters."),
    ("username", "mi\x00nji", "Remove line breaks and control characters."),
    ("username", "mi\u2028nji", "Remove line breaks and control characters."),
    ("phone", "", "Enter your phone number."),
    ("phone", "\u200b", "Enter your phone number."),
    ("phone", "minji", "Enter a phone number in the right format"),
    ("phone", MINJI, "Enter a phone number in the right format"),
    ("phone", "010-1234-567o", "Enter a phone number in the right format"),
    ("phone", "010-1234-5678 ext. 5", "Enter a phone number in the right format"),
    ("phone", "010-1234-5678, 010-8765-4321", "Enter a phone number in the right format"),
    ("phone", "010+12345678", "Enter a phone number in the right format"),
    ("phone", "++821012345678", "Enter a phone number in the right format"),
    ("phone", "+82 10 1234 5678 9012 3", "Enter a phone number in the right format"),
    ("phone", "1" * 16, "Enter a phone number in the right format"),
    ("phone", "1" * 5000, "Enter a phone number in the right format"),
    ("phone", "123", "Enter a phone number in the right format"),
    ("phone", "-", "Enter a phone number in the right format"),
    ("phone", "+", "Enter a phone number in the right format"),
    ("phone", "\u4e00\u4e8c\u4e09\u56db", "Enter a phone number in the right format"),
    ("phone", "010\x0012345678", "Enter a phone number in the right format"),
    ("any", "", "Enter your email address or username."),
    ("any", "\ufeff", "Enter your email address or username."),
    ("any", "u" * 256, "This email address or username is too long. Use 255 characters or fewer."),
    ("any", "minji\tkim", "Remove line breaks and control characters."),
]


@pytest.mark.parametrize(("kind", "typed", "message"), INVALID, ids=lambda value: ascii(value)[:40])
def test_an_invalid_identifier_is_explained_at_its_field_and_stays_there(
    site_for: Callable[[str], Site], kind: str, typed: str, message: str
) -> None:
    name = FIELDS[kind]
    visitor = site_for(kind).new_visitor()
    page = Page(post_form(visitor, {name: typed, "password": PASSWORD}))
    assert page.status == 422
    assert message in page.message
    assert [link.get("href") for link in page.find_all("div[@role='alert']//a")] == [f"#{name}"]
    assert message in page.texts(f"p[@id='{name}-error']")[0]
    assert page.find_all(f"input[@id='{name}']")[0].get("aria-describedby") == f"{name}-error"
    response = sign_in_by_next_auth(visitor, {name: typed, "password": PASSWORD})
    assert response.status_code == 401
    assert parse_qs(urlsplit(response.json()["url"]).query)["error"] == ["CredentialsSignin"]
    assert not visitor.is_signed_in


@pytest.mark.parametrize(
    ("kind", "typed"),
    [
        ("username", "Minji"),
        ("username", "\u314b\u314b민지"),
        ("username", "<b>\"'&"),
        ("phone", "+82 (0)10-1234-5678"),
        ("phone", "010 1234 5678"),
        ("any", "nobody@한국.kr"),
        ("any", "010-1234-5678"),
    ],
)
def test_a_refused_sign_in_keeps_the_identifier_as_it_was_typed(
    site_for: Callable[[str], Site], kind: str, typed: str
) -> None:
    page = Page(post_form(site_for(kind).new_visitor(), {FIELDS[kind]: typed, "password": "wrong"}))
    assert page.status == 401
    assert page.input_value(FIELDS[kind]) == typed
    assert page.input_value("password") == ""


@pytest.mark.parametrize("language", ["en", "ko", "ja"])
@pytest.mark.parametrize("kind", ["username", "phone"])
def test_no_message_speaks_of_an_email_address_where_people_have_none(
    site_for: Callable[[str], Site], kind: str, language: str
) -> None:
    visitor = site_for(kind).new_visitor(**{"Accept-Language": language})
    typed = [("", ""), ("x" * 300, PASSWORD), (MINJIS[kind], "wrong")]
    pages = [Page(post_form(visitor, {FIELDS[kind]: name, "password": password})) for name, password in typed]
    pages.append(visitor.get_page(f"{LOGIN}?error=CredentialsSignin"))
    assert [page.status for page in pages] == [422, 422, 401, 200]
    for page in pages:
        assert page.message
        assert NOT_EMAIL[language] not in " ".join(page.texts("main")).lower()
    if kind == "phone":
        assert NOT_EMAIL[language] not in visitor.get_page(f"{LOGIN}?error=EmailNotVerified").message.lower()


def test_the_cached_page_of_one_site_is_not_that_of_another(site_for: Callable[[str], Site]) -> None:
    for _ in range(2):
        for kind in KINDS:
            page = site_for(kind).new_visitor().get_page(LOGIN)
            assert [field.get("name") for field in page.find_all("input[@required]")] == [FIELDS[kind], "password"]


@pytest.mark.parametrize(
    ("kind", "label"),
    [("email", "E-mail"), ("username", "Username"), ("phone", "Phone number"), ("any", "Email or username")],
)
def test_next_auth_lists_the_way_to_sign_in_under_its_name_and_the_same_id(
    site_for: Callable[[str], Site], kind: str, label: str
) -> None:
    visitor = site_for(kind).new_visitor()
    (listed,) = visitor.get("/api/auth/providers").json().values()
    assert (listed["id"], listed["name"], listed["type"]) == ("email", label, "credentials")
    started = visitor.submit("/api/auth/signin/email", {"json": "true", FIELDS[kind]: "x"}).json()
    assert started["url"] == f"{visitor.url}{LOGIN}"


def refuse_both_fields(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """A backend that wants another form of both fields, in its own names for them."""
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("422 Unprocessable", [("Content-Type", "application/json")])
    return [json.dumps({"errors": {"login": ["Names have 8 letters."], "secret": ["Too short."]}}).encode()]


@pytest.mark.parametrize("kind", KINDS)
def test_the_backends_message_for_the_identifier_is_at_the_first_field(make_site: SiteMaker, kind: str) -> None:
    with serve_in_thread("127.0.0.1", lambda _: refuse_both_fields) as port:
        body = "login={identifier} secret={password}"
        site = make_site(f"http://127.0.0.1:{port}", login_identifier=kind, backend_login_body=body)
        page = Page(post_form(site.new_visitor(), {FIELDS[kind]: MINJIS[kind], "password": PASSWORD}))
    assert page.status == 422
    assert page.texts(f"p[@id='{FIELDS[kind]}-error']") == ["Error: Names have 8 letters."]
    assert page.texts("p[@id='password-error']") == ["Error: Too short."]
    assert page.input_value(FIELDS[kind]) == MINJIS[kind]
