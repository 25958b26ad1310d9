"""The requests of the `laravel` protocol, byte for byte: nothing may change for the backends that speak it.

`tests/services/backend/test_client.py` says how each of their answers is read.
"""

from collections.abc import Iterator

import pytest

from providers.base import Identity
from tests.support.faulty_backend import (
    NO_LIMITS,
    TOKEN,
    FaultyBackend,
    RecordedRequest,
    faulty_backend,
    http_response,
    keep_alive,
    login_body,
)
from tests.support.site import Site, a_context, running_site


@pytest.fixture(scope="module")
def backend() -> Iterator[FaultyBackend]:
    with faulty_backend() as running:
        yield running


@pytest.fixture(scope="module")
def site(backend: FaultyBackend) -> Iterator[Site]:
    with running_site(backend.url, **NO_LIMITS) as running:
        yield running


@pytest.fixture(autouse=True)
def healthy(backend: FaultyBackend) -> None:
    backend.reset()


VARYING = ("Host", "User-Agent", "X-Request-Id", "X-Forwarded-For")
"""Headers whose value depends on the run."""
COMMON = ["User-Agent", "Accept-Encoding: identity", "Accept: application/json", "Content-Type: application/json"]
COMMON += ["Accept-Language: en", "X-Request-Id", "X-Forwarded-For"]
BEARER = f"Authorization: Bearer {TOKEN}"


def lines(request: RecordedRequest) -> list[str]:
    """The request in the order of its bytes."""
    headers = [name if name in VARYING else f"{name}: {value}" for name, value in request.headers.items()]
    return [f"{request.method} {request.path}", *headers, request.body.decode()]


def test_every_call_of_a_session_is_sent_as_before(backend: FaultyBackend, site: Site) -> None:
    visitor = site.new_visitor()
    visitor.sign_in(password="가 \"'+&=%25")
    visitor.submit("/account", {"name": "김새봄", "nick_name": ""})
    visitor.submit("/account", {"name": "Kim", "nick_name": "Sae"})
    visitor.submit("/auth/logout", {})
    login = '{"email": "minji@example.com", "password": "\\uac00 \\"\'+&=%25"}'
    names = '{"name": "\\uae40\\uc0c8\\ubd04", "nick_name": null}'
    other_names = '{"name": "Kim", "nick_name": "Sae"}'
    assert [lines(call) for call in backend.calls] == [
        ["POST /login", "Host", *COMMON, f"Content-Length: {len(login)}", login],
        ["POST /user", "Host", *COMMON, BEARER, "Content-Length: 0", ""],
        ["PATCH /profile", "Host", *COMMON, BEARER, f"Content-Length: {len(names)}", names],
        ["PATCH /profile", "Host", *COMMON, BEARER, f"Content-Length: {len(other_names)}", other_names],
        ["POST /logout", "Host", *COMMON, BEARER, "Content-Length: 0", ""],
    ]


@pytest.mark.parametrize(
    ("with_email", "verified", "body"),
    [
        (True, True, '{"social_token": "a+b/c=", "email": "minji@example.com"}'),
        (True, False, '{"social_token": "a+b/c="}'),
        (False, True, '{"social_token": "a+b/c="}'),
    ],
)
def test_the_social_call_is_sent_as_before(
    backend: FaultyBackend, site: Site, with_email: bool, verified: bool, body: str
) -> None:
    backend.responses["/login/social/callback/kakao"] = keep_alive(http_response(login_body()))
    identity = Identity(subject="1", email="minji@example.com", email_verified=verified, social_token="a+b/c=")
    site.app.extensions["munjigi"].backend.social_login("kakao", identity, with_email, a_context())
    assert [lines(call) for call in backend.calls] == [
        ["POST /login/social/callback/kakao", "Host", *COMMON, f"Content-Length: {len(body)}", body]
    ]
