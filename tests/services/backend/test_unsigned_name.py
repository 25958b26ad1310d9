"""The name that Apple sends through the browser reaches the backend, marked as unsigned, bounded and cleaned."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

import backends
from backends.base import placeholders_of
from providers.base import Identity
from services.backend.client import BackendClient
from services.backend.user import validate_identity
from services.http.client import HttpClient
from tests.support.faulty_backend import NO_LIMITS, faulty_backend, http_response
from tests.support.scripted_provider import load_sample
from tests.support.site import ManualClock, a_context, make_settings
from tests.support.social_backend import Browser, SocialSetup, social_setup

FIELD = "unsigned_name"
HANEUL = {"name": {"firstName": "하늘", "lastName": "김"}}


@pytest.fixture(scope="module")
def everywhere() -> Iterator[SocialSetup]:
    with social_setup("apple", "line", **NO_LIMITS) as running:
        yield running


@pytest.fixture
def here(everywhere: SocialSetup) -> SocialSetup:
    everywhere.providers.calls.clear()
    everywhere.backend.calls.clear()
    return everywhere


def sent(here: SocialSetup, user: str | None, provider: str = "apple") -> Any:
    """Sign in with this form field, and return the body of the social call."""
    visitor = Browser(here.site.url)
    answer = here.providers.approve(visitor.start_sign_in(provider), load_sample(provider))
    response = visitor.send_callback(provider, {**answer, **({} if user is None else {"user": user})})
    assert response.status_code == 303
    assert visitor.is_signed_in
    ((_, body),) = here.backend.social_logins
    return body


def test_the_name_of_the_first_consent_goes_to_the_backend(here: SocialSetup) -> None:
    assert sent(here, json.dumps(HANEUL))[FIELD] == "김하늘"


def test_a_later_sign_in_has_no_name(here: SocialSetup) -> None:
    assert FIELD not in sent(here, None)


def test_the_name_of_a_provider_that_signs_it_is_not_sent(here: SocialSetup) -> None:
    """The backend reads it with the token; a form field of a callback by query is no name either."""
    assert [*sent(here, json.dumps(HANEUL), "line")] == ["social_token"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ({"firstName": "Haneul", "lastName": "Kim"}, "Haneul Kim"),
        ({"firstName": "김", "lastName": ""}, "김"),
        ({"lastName": "Kim"}, "Kim"),
        ({"firstName": "太郎", "lastName": "山田"}, "山田太郎"),
        ({"firstName": "<script>alert(1)</script>"}, "<script>alert(1)</script>"),
        ({"firstName": "a\u0000b\nc\u007fd"}, "abcd"),
        ({"firstName": "x", "middleName": "y", "email": "victim@example.com"}, "x"),
    ],
)
def test_a_name_is_cleaned(here: SocialSetup, name: object, expected: str) -> None:
    assert sent(here, json.dumps({"name": name}))[FIELD].replace(" ", "") == expected.replace(" ", "")


@pytest.mark.parametrize("size", [201, 3_000, 6_000])
def test_a_long_name_is_cut(here: SocialSetup, size: int) -> None:
    name = sent(here, json.dumps({"name": {"firstName": "가" * size}}, ensure_ascii=size < 3_000))[FIELD]
    assert set(name) <= {"가", "…"}
    assert 100 <= len(name) <= 201


@pytest.mark.parametrize(
    "user",
    [
        "", "null", "7", '"김하늘"', "[]", "{}", '{"name": null}', '{"name": "김하늘"}', '{"name": [1]}', "{", "\x00",
        '{"name": {"firstName": 7, "lastName": {"x": 1}}}', '{"name": {"firstName": "  ", "lastName": "\\u200b"}}',
        '{"name": {"firstName": true}}', "[" * 20_000, '{"name": {"firstName": ' + "9" * 9_000 + "}}",
        '{"name": {"firstName": NaN}}', '{"email": "victim@example.com"}', "a=b&c=d", "김하늘",
    ],
)  # fmt: skip
def test_a_form_field_without_a_name_adds_nothing(here: SocialSetup, user: str) -> None:
    assert sorted(sent(here, user)) == ["email", "social_token"]


def test_half_of_a_character_breaks_nothing(here: SocialSetup) -> None:
    body = sent(here, '{"name": {"firstName": "a\\ud800", "lastName": "\\udc00b"}}')
    assert body.get(FIELD, "").encode()


def test_a_repeated_form_field_is_refused(here: SocialSetup) -> None:
    visitor = Browser(here.site.url)
    answer = here.providers.approve(visitor.start_sign_in("apple"))
    pairs = [*answer.items(), ("user", json.dumps(HANEUL)), ("user", "{}")]
    assert "error=OAuthCallback" in visitor.send_callback("apple", pairs).headers["Location"]
    assert here.backend.social_logins == []


# --- Backends


def test_only_the_protocol_that_documents_the_field_has_it() -> None:
    """A backend that refuses unknown fields must not get one that it does not know."""
    having = [
        name for name in backends.names() if (call := backends.find(name).social) and FIELD in placeholders_of(call)
    ]
    assert having == ["laravel"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("token={social_token} name={unsigned_name}", {"token": "t", "name": "김하늘"}),
        ("token={social_token}", {"token": "t"}),
    ],
)
def test_any_other_backend_gets_it_by_a_setting(body: str, expected: dict[str, str]) -> None:
    with faulty_backend() as server:
        server.responses["/social"] = http_response({"token": "x"})
        settings = make_settings(
            backend_url=server.url,
            backend="custom",
            backend_login="POST /login",
            backend_token="token",
            backend_user="GET /me",
            backend_user_fields="id=id",
            backend_social="POST /social",
            backend_social_body=body,
        )
        client = BackendClient(settings, HttpClient("test", max_concurrency=1), ManualClock())
        identity = validate_identity(Identity(subject="1", name="김하늘", name_is_unsigned=True), "apple")
        client.social_login("apple", replace(identity, social_token="t"), with_email=False, context=a_context())
        assert json.loads(server.requests_to("/social")[-1].body) == expected
