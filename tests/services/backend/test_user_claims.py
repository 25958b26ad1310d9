"""`USER_CLAIMS`: further fields of the backend's user, for the session JSON and forward auth."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest

import config
import settings_readers
from config import SettingsError
from services.backend.user_claims import MAX_CLAIMS_BYTES, read_claims
from tests.support.forge import encrypt, make_claims
from tests.support.rotating_backend import LIFE, SETTINGS, rotating_backend
from tests.support.scripted import USER, ScriptedBackend, scripted_backend
from tests.support.site import SECRET, ManualClock, Site, cookie_names, running_site

ROLES = ["admin", "editor, chief", "관리"]


@pytest.fixture
def backend() -> Iterator[ScriptedBackend]:
    with scripted_backend() as running:
        running.user = {**USER, "roles": ROLES, "plan": "pro", "department": {"name": "객실"}, "salary": 7_654_321}
        yield running


def run(backend: ScriptedBackend, names: str = "roles plan dept=department.name", **settings: Any) -> Any:
    return running_site(backend_url=backend.url, user_claims=names, **settings)


def headers(site: Site, visitor: Any) -> dict[str, str]:
    response = visitor.get("/auth/verify")
    return {name[12:]: value for name, value in response.headers.items() if name.startswith("X-Auth-User-")}


def test_claims_are_in_the_session_json_and_in_headers_and_nothing_else_is(backend: ScriptedBackend) -> None:
    with run(backend) as site:
        visitor = site.new_visitor()
        visitor.sign_in()
        session = visitor.get_session()
        assert session["user"] == {**USER, "roles": ROLES, "plan": "pro", "dept": "객실"}
        told = headers(site, visitor)
        assert set(told) == {"Id", "Email", "Name", "Roles", "Plan", "Dept"}
        assert [unquote(item) for item in told["Roles"].split(",")] == ROLES
        assert (told["Plan"], unquote(told["Dept"])) == ("pro", "객실")


@pytest.mark.parametrize(
    ("value", "header"),
    [
        (None, ""),
        ("", ""),
        ([], ""),
        (True, "true"),
        (17, "17"),
        (1.5, "1.5"),
        (2**60, str(2**60)),
        (2**64, str(2**64)),
        ({"a": [1]}, "%7B%22a%22%3A%5B1%5D%7D"),
        ([{"name": "x"}], "%5B%7B%22name%22%3A%22x%22%7D%5D"),
        ("a\r\nX-Auth-User-Id: 1", "aX-Auth-User-Id%3A%201"),
        (["a\n", None, False], "a,,false"),
        ("\ud800x", "x"),
    ],
    ids=ascii,
)
def test_every_value_is_a_safe_header(backend: ScriptedBackend, value: object, header: str) -> None:
    backend.user["plan"] = value
    with run(backend) as site:
        visitor = site.new_visitor()
        assert visitor.sign_in().status_code == 303
        assert headers(site, visitor)["Plan"] == header


def test_a_claim_that_is_missing_is_an_empty_header(backend: ScriptedBackend) -> None:
    backend.user = dict(USER)
    with run(backend, "roles department.name") as site:
        visitor = site.new_visitor()
        visitor.sign_in()
        told = headers(site, visitor)
        assert (told["Roles"], told["Department-Name"]) == ("", "")
        assert visitor.get_session()["user"] == USER


NESTED: Any = "deep"
for _ in range(50):
    NESTED = [NESTED]


@pytest.mark.parametrize(
    "value",
    ["가" * 1000, "x" * 100_000, [f"role-{number}" for number in range(10_000)], {"k" * 3000: 1}, 10**4000, NESTED],
    ids=["Korean", "long", "many", "a key", "a number", "nested"],
)
def test_an_oversized_claim_is_left_out_and_the_person_is_signed_in(
    backend: ScriptedBackend, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    backend.user |= {"roles": value}
    with run(backend) as site:
        visitor = site.new_visitor()
        assert visitor.sign_in().status_code == 303
        assert visitor.get_session()["user"] == {**USER, "plan": "pro", "dept": "객실"}
    (line,) = {record.getMessage() for record in caplog.records if "claim left out" in record.getMessage()}
    assert "name=roles" in line
    assert len(line) < 150


def test_claims_yield_to_a_token_that_fills_the_cookies(backend: ScriptedBackend) -> None:
    backend.token, backend.user["roles"] = "t" * 8000, ["r" * 1900]
    with run(backend) as site:
        visitor = site.new_visitor()
        assert visitor.sign_in().status_code == 303
        assert visitor.get_session()["user"] == USER
        assert headers(site, visitor)["Roles"] == ""
        visitor.post("/api/auth/session", json={"csrfToken": visitor.csrf_token()})
        assert visitor.get_session()["user"] == USER, "all doors agree after the next answer of the backend, too"
        assert headers(site, visitor)["Roles"] == ""


@pytest.mark.parametrize("door", ["/api/auth/session", "/auth/verify"])
def test_claims_yield_to_new_tokens_that_fill_the_cookies(door: str) -> None:
    clock = ManualClock()
    with rotating_backend() as backend:
        backend.user["roles"] = ["r" * 1900]
        with running_site(backend_url=backend.url, clock=clock, user_claims="roles", **SETTINGS) as site:
            visitor = site.new_visitor()
            visitor.sign_in()
            assert "roles" in visitor.get_session()["user"]
            backend.user["roles"] = ["s" * 1900]
            visitor.post("/api/auth/session", json={"csrfToken": visitor.csrf_token()})
            backend.padding = 7000
            clock.advance(LIFE)
            visitor.get(door)
            assert visitor.get_session()["user"] == USER
            assert headers(site, visitor)["Roles"] == ""
            assert cookie_names(visitor.get("/api/auth/session")) == set(), "nothing is left to be written"
            clock.advance(LIFE)
            assert visitor.get_session()["user"] == USER, "the new refresh token was kept"
            assert len(backend.refreshes) == 2


def test_all_claims_together_are_bounded() -> None:
    wanted = settings_readers.user_claims(" ".join(f"c{number}" for number in range(10)))
    claims = read_claims({f"c{number}": "x" * 500 for number in range(10)}, wanted)
    assert list(claims) == ["c0", "c1", "c2", "c3"]
    assert sum(len(json.dumps({name: value})) for name, value in claims.items()) <= MAX_CLAIMS_BYTES


def test_numbers_that_are_not_json_are_left_out() -> None:
    user = {"a": float("inf"), "b": [float("nan")], "c": 1}
    assert read_claims(user, settings_readers.user_claims("a b c")) == {"c": 1}


def test_a_change_of_a_claim_is_seen_at_every_door(backend: ScriptedBackend) -> None:
    clock = ManualClock()
    with run(backend, clock=clock) as site:
        visitor = site.new_visitor()
        visitor.sign_in()
        backend.user["roles"] = ["guest"]
        assert headers(site, visitor)["Roles"].startswith("admin")
        clock.advance(301)
        assert headers(site, visitor)["Roles"] == "guest"
        assert visitor.get_session()["user"]["roles"] == ["guest"]
        del backend.user["roles"]
        clock.advance(301)
        assert "roles" not in visitor.get_session()["user"]
        assert headers(site, visitor)["Roles"] == ""


@pytest.mark.parametrize("data", [{"roles": ["root"]}, {"name": "N", "plan": "x"}, {"user": {"roles": ["root"]}}])
def test_a_page_cannot_set_a_claim_by_update(backend: ScriptedBackend, data: dict[str, Any]) -> None:
    with run(backend) as site:
        visitor = site.new_visitor()
        visitor.sign_in()
        visitor.post("/api/auth/session", json={"csrfToken": visitor.csrf_token(), "data": data})
        assert visitor.get_session()["user"]["roles"] == ROLES
        assert visitor.get_session()["user"]["plan"] == "pro"


def test_a_changed_name_keeps_the_claims(backend: ScriptedBackend) -> None:
    with run(backend) as site:
        visitor = site.new_visitor()
        visitor.sign_in()
        visitor.post("/api/auth/session", json={"csrfToken": visitor.csrf_token(), "data": {"name": "새 이름"}})
        assert visitor.get_session()["user"]["roles"] == ROLES


@pytest.mark.parametrize("own", [True, False], ids=["a token of the site", "a token of NextAuth"])
def test_claims_in_the_user_of_a_token_are_not_trusted(backend: ScriptedBackend, own: bool) -> None:
    """A NextAuth app that shares the key may let its pages change `user` by `update()`."""
    claims = make_claims(user={**USER, "roles": ["root"]}, sub=str(USER["id"]), email=USER["email"], name=USER["name"])
    claims |= {"sid": "a-session", "checked_at": claims["iat"]} if own else {"user_claims": {"roles": ["root"]}}
    if not own:
        claims = {name: value for name, value in claims.items() if name not in ("sid", "auth_time", "checked_at")}
    backend.user_status = 503
    with run(backend) as site:
        visitor = site.new_visitor(Cookie=f"next-auth.session-token={encrypt(claims)}")
        if own:
            assert visitor.get_session()["user"] == USER
            assert headers(site, visitor)["Roles"] == ""
        else:  # no session until the backend has confirmed its user
            assert visitor.get_session() == {}


def test_a_claim_that_is_no_longer_in_the_settings_is_not_shown(backend: ScriptedBackend) -> None:
    with run(backend) as site:
        visitor = site.new_visitor()
        visitor.sign_in()
        cookie = visitor.cookies["next-auth.session-token"]
    with run(backend, "plan") as site:
        visitor = site.new_visitor(Cookie=f"next-auth.session-token={cookie}")
        assert visitor.get_session()["user"] == {**USER, "plan": "pro"}


def test_claims_are_not_in_the_log(backend: ScriptedBackend, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    clock = ManualClock()
    with run(backend, clock=clock) as site:
        visitor = site.new_visitor()
        visitor.sign_in()
        backend.user["plan"] = "secret-plan"
        clock.advance(301)
        visitor.get_session()
    assert "secret-plan" not in caplog.text
    assert "editor, chief" not in caplog.text


# --- The setting


@pytest.mark.parametrize(
    ("text", "header_names"),
    [
        ("roles", ["X-Auth-User-Roles"]),
        ("roles, plan", ["X-Auth-User-Roles", "X-Auth-User-Plan"]),
        ("department.name", ["X-Auth-User-Department-Name"]),
        ("first_role=roles.0", ["X-Auth-User-First-Role"]),
        ("memberLevel", ["X-Auth-User-MemberLevel"]),
    ],
)
def test_the_header_of_a_claim_has_its_name(text: str, header_names: list[str]) -> None:
    assert [claim.header for claim in settings_readers.user_claims(text)] == header_names


@pytest.mark.parametrize(
    "wrong",
    [
        "id", "name", "nick_name", "email", "image", "Email", "NICK-NAME", "nick.name", "sub", "iss", "exp", "sid",
        "auth_time", "roles roles", "a.b a_b", "Roles roles", "역할", "a:b", "a=", "=a", "a=b=c", "a..b", "_a", "a-",
        "__proto__", "a\x00b", "x" * 65, "a/b", "a=header:X", " ".join(f"c{number}" for number in range(11)),
    ],
    ids=ascii,
)  # fmt: skip
def test_a_name_that_cannot_be_a_claim_is_refused_at_the_start(wrong: str) -> None:
    environ = {"SITE_URL": "https://a.example", "SECRET_KEY": SECRET, "BACKEND_URL": "https://b.example"}
    with pytest.raises(SettingsError) as caught:
        config.load({**environ, "USER_CLAIMS": wrong})
    assert "USER_CLAIMS must" in str(caught.value)
