"""Apple notifies the site of changes to accounts: sessions end, and the backend is told."""

import hmac
import json
import logging
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from joserfc.jwk import OctKey
from joserfc.util import urlsafe_b64decode, urlsafe_b64encode

from services.oauth.notification import MAX_AGE_SECONDS
from tests.support.faulty_backend import NO_LIMITS, FaultyBackend, hang, http_response
from tests.support.issuer import (
    CLIENT_ID,
    CLIENT_SECRET,
    ISSUERS,
    KEY_PATHS,
    Issuer,
    Json,
    as_objects,
    assert_no_secrets_logged,
    assert_signed_in,
    base64url,
    clear_document_cache,
    post_callback,
    public_jwk,
    reset_servers,
    rsa_key,
    sign_in_via_provider,
    sign_jwt,
    start_sign_in,
    unsigned_jwt,
)
from tests.support.redis_server import redis_server
from tests.support.site import ManualClock, Site, Visitor, running_site
from tests.support.social_fixtures import backend, clock, issuer  # noqa: F401  # fixtures

ADDRESS = "/api/auth/notifications/apple"
EVENTS_PATH = "/provider-events"
EVENTS_TOKEN = "The-backend-knows-this-one-and-nobody-else"
METRICS_TOKEN = "Pr0metheus-asks-with-this-one-only"
RELAY = "ab12cd34ef@privaterelay.appleid.com"
TYPES = ("consent-revoked", "account-delete", "email-disabled", "email-enabled")


def settings(issuer: Issuer) -> dict[str, Any]:
    return {
        **issuer.site_settings(),
        **NO_LIMITS,
        "backend_provider_event_path": EVENTS_PATH,
        "backend_events_token": EVENTS_TOKEN,
        "metrics_token": METRICS_TOKEN,
        "apple_notification_audience": "com.example.app, com.example.other",
        "backend_timeout": 2,
    }


@pytest.fixture(scope="module")
def site(backend: FaultyBackend, issuer: Issuer, clock: ManualClock) -> Iterator[Site]:
    with running_site(backend.url, clock=clock, **settings(issuer)) as running:
        yield running


@pytest.fixture(autouse=True)
def well(
    issuer: Issuer, backend: FaultyBackend, site: Site, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    clock.reset()
    reset_servers(issuer, backend, site)
    backend.responses[EVENTS_PATH] = http_response(status=204, Content_Length=None)
    issuer.subject = f"000313.{uuid.uuid4().hex}.1218"
    caplog.set_level(logging.INFO, "munjigi")
    yield
    assert_no_secrets_logged(caplog)
    assert RELAY not in caplog.text


def event(issuer: Issuer, kind: str = "consent-revoked", **changes: object) -> Json:
    fields = {"type": kind, "sub": issuer.subject, "event_time": int(issuer.clock.time() * 1000), **changes}
    return {name: value for name, value in fields.items() if value is not ...}


def claims(issuer: Issuer, events: object = None, **changes: object) -> Json:
    """Return the claims of a valid notification with these changes; `...` removes a claim."""
    now = int(issuer.clock.time())
    fields = {
        "iss": ISSUERS["apple"],
        "aud": CLIENT_ID,
        "iat": now,
        "exp": now + 86400,
        "jti": uuid.uuid4().hex,
        "events": json.dumps(event(issuer)) if events is None else events,
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not ...}


def notification(issuer: Issuer, kind: str = "consent-revoked", **changes: object) -> str:
    return sign_jwt(claims(issuer, json.dumps(event(issuer, kind, **changes))))


def send(site: Site, token: object, address: str = ADDRESS) -> requests.Response:
    """Send a notification, as Apple does: without cookies."""
    return site.new_visitor().post(address, json={"payload": token})


def signed_in(site: Site, issuer: Issuer, **more: object) -> Visitor:
    visitor = site.new_visitor()
    issuer.extra_claims = {"sub": issuer.subject, **more}
    response = post_callback(visitor, start_sign_in(visitor, issuer, "apple"))
    for cookie in response.cookies:
        visitor.cookies.set(cookie.name, str(cookie.value))
    assert_signed_in(visitor, response)
    return visitor


def passed_on(backend: FaultyBackend) -> list[Json]:
    return [json.loads(call.body) for call in backend.requests_to(EVENTS_PATH)]


def expect_accepted(answer: requests.Response) -> None:
    assert (answer.status_code, answer.content) == (200, b""), answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers


def expect_refused(answer: requests.Response) -> None:
    assert answer.status_code == 400, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json()["error"] == "invalid_request"
    assert answer.json()["error_description"]


def expect_again_later(answer: requests.Response) -> None:
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")


# --- Sessions


@pytest.mark.parametrize("kind", ["consent-revoked", "account-delete", "account-deleted"])
def test_the_persons_sessions_end_everywhere(site: Site, issuer: Issuer, kind: str) -> None:
    phone, laptop = signed_in(site, issuer), signed_in(site, issuer)
    assert phone.get("/auth/verify").status_code == 204
    expect_accepted(send(site, notification(issuer, kind)))
    for visitor in (phone, laptop):
        assert not visitor.is_signed_in
        assert visitor.get("/auth/verify").status_code == 401
    assert "error=SessionExpired&callbackUrl=" in phone.get("/account").headers["Location"]


@pytest.mark.parametrize("kind", ["email-disabled", "email-enabled"])
def test_a_change_of_the_forwarding_of_mail_ends_no_session(site: Site, issuer: Issuer, kind: str) -> None:
    visitor = signed_in(site, issuer)
    expect_accepted(send(site, notification(issuer, kind, email=RELAY, is_private_email="true")))
    assert visitor.is_signed_in


def test_other_people_and_other_ways_to_sign_in_stay_signed_in(site: Site, issuer: Issuer) -> None:
    google, password = site.new_visitor(), site.new_visitor()
    issuer.extra_claims = {"sub": issuer.subject}
    assert_signed_in(google, sign_in_via_provider(google, issuer, "google"))
    password.sign_in()
    jun = signed_in(site, issuer, sub="another")
    expect_accepted(send(site, notification(issuer)))
    assert google.is_signed_in
    assert password.is_signed_in
    assert jun.is_signed_in


def test_who_consents_again_stays_signed_in(site: Site, issuer: Issuer, clock: ManualClock) -> None:
    for _ in range(3):
        visitor = signed_in(site, issuer)
        expect_accepted(send(site, notification(issuer)))
        assert not visitor.is_signed_in
    late = notification(issuer)
    clock.advance(30)
    again = signed_in(site, issuer)
    expect_accepted(send(site, late))
    assert again.is_signed_in


# --- The backend


def test_the_backend_gets_the_event(site: Site, issuer: Issuer, backend: FaultyBackend, clock: ManualClock) -> None:
    moment = 1_611_765_847_700
    clock.advance(1_611_765_860 - clock.time())
    for kind in TYPES:
        token = claims(issuer, json.dumps(event(issuer, kind, event_time=moment)))
        expect_accepted(send(site, sign_jwt(token)))
        assert passed_on(backend)[-1] == {
            "id": token["jti"],
            "provider": "apple",
            "type": kind,
            "subject": issuer.subject,
            "occurred_at": "2021-01-27T16:44:07.700Z",
        }
    call = backend.requests_to(EVENTS_PATH)[-1]
    assert call.method == "POST"
    assert call.headers["Authorization"] == f"Bearer {EVENTS_TOKEN}"
    assert call.headers["Content-Type"] == "application/json"
    assert call.headers["X-Request-Id"]


@pytest.mark.parametrize(("flag", "expected"), [("true", True), ("false", False), (True, True), (False, False)])
def test_the_backend_gets_the_address_and_whether_it_is_a_relay(
    site: Site, issuer: Issuer, backend: FaultyBackend, flag: object, expected: bool
) -> None:
    expect_accepted(send(site, notification(issuer, "email-disabled", email=RELAY, is_private_email=flag)))
    body = passed_on(backend)[-1]
    assert (body["email"], body["is_private_email"]) == (RELAY, expected)


def test_the_older_spelling_of_a_type_is_passed_on_as_the_newer_one(
    site: Site, issuer: Issuer, backend: FaultyBackend
) -> None:
    expect_accepted(send(site, notification(issuer, "account-deleted")))
    assert passed_on(backend)[-1]["type"] == "account-delete"


@pytest.mark.parametrize(
    "changes",
    [
        {"event_time": "soon"},
        {"event_time": -1},
        {"event_time": 10**400},
        {"event_time": 10**16},
        {"event_time": None},
        {"event_time": ...},
        {"email": "not an address", "is_private_email": []},
        {"email": 7, "is_private_email": "maybe"},
        {"email": "\ud800@example.com"},
    ],
    ids=str,
)
def test_a_field_that_is_not_valid_is_left_out(
    site: Site, issuer: Issuer, backend: FaultyBackend, changes: Json
) -> None:
    token = claims(issuer, json.dumps(event(issuer, **{"event_time": ..., **changes})))
    expect_accepted(send(site, sign_jwt(token)))
    body = passed_on(backend)[-1]
    assert set(body) == {"id", "provider", "type", "subject", "occurred_at"}
    assert body["occurred_at"] == datetime.fromtimestamp(token["iat"], UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def test_the_body_of_the_call_is_a_setting_and_can_have_the_signed_token(
    backend: FaultyBackend, issuer: Issuer
) -> None:
    backend.responses["/hooks/kim"] = http_response(status=200)
    more = {
        "backend_provider_event_path": "",
        "backend_provider_event": "PUT /hooks/kim",
        "backend_provider_event_body": "what={type} who={subject} proof={notification}",
        "backend_events_token": "",
        "clock": issuer.clock,
    }
    with running_site(backend.url, **{**settings(issuer), **more}) as here:
        token = notification(issuer)
        expect_accepted(send(here, token))
    (call,) = backend.requests_to("/hooks/kim")
    assert call.method == "PUT"
    assert call.json == {"what": "consent-revoked", "who": issuer.subject, "proof": token}
    assert "Authorization" not in call.headers


def test_without_a_path_the_backend_is_not_called_and_sessions_end_all_the_same(
    backend: FaultyBackend, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    more = {"backend_provider_event_path": "", "clock": issuer.clock}
    with running_site(backend.url, **{**settings(issuer), **more}) as here:
        visitor = signed_in(here, issuer)
        calls = len(backend.calls)
        expect_accepted(send(here, notification(issuer)))
        assert len(backend.calls) == calls
        assert not visitor.is_signed_in
    assert [each["outcome"] for each in events_in(caplog)] == ["not_passed_on"]


FAULTS = {
    "500": http_response({"message": "x"}, 500),
    "503": http_response(status=503),
    "404": http_response({"message": "Not Found"}, 404),
    "401": http_response({"message": "Unauthenticated."}, 401),
    "422": http_response({"errors": {"type": ["x"]}}, 422),
    "302": http_response(status=302, Location="https://login.example.com"),
    "a page of HTML": http_response(b"<html>sign in", Content_Type="text/html"),
    "garbage": b"\x00\xff",
    "no answer": hang,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_the_backend_has_not_taken_is_asked_for_again_and_works_then(
    site: Site, issuer: Issuer, backend: FaultyBackend, fault: str
) -> None:
    visitor, token = signed_in(site, issuer), notification(issuer)
    good, backend.responses[EVENTS_PATH] = backend.responses[EVENTS_PATH], FAULTS[fault]  # type: ignore[assignment]
    expect_again_later(send(site, token))
    assert not visitor.is_signed_in, "sessions do not wait for the backend"
    backend.responses[EVENTS_PATH] = good
    before = len(passed_on(backend))
    expect_accepted(send(site, token))
    assert len(passed_on(backend)) == before + 1
    expect_refused(send(site, token))
    assert len(passed_on(backend)) == before + 1


# --- Who may send one, and how


def test_a_notification_works_once(site: Site, issuer: Issuer, backend: FaultyBackend) -> None:
    token = notification(issuer)
    expect_accepted(send(site, token))
    visitor = signed_in(site, issuer)
    expect_refused(send(site, token))
    assert visitor.is_signed_in
    assert len(passed_on(backend)) == 1


@pytest.mark.external
def test_a_notification_works_once_at_all_processes(backend: FaultyBackend, issuer: Issuer, tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        more = {"redis_url": redis.url, "clock": issuer.clock}
        with (
            running_site(backend.url, **{**settings(issuer), **more}) as one,
            running_site(backend.url, **{**settings(issuer), **more}) as other,
        ):
            token = notification(issuer)
            expect_accepted(send(one, token))
            expect_refused(send(other, token))


@pytest.mark.parametrize("provider", ["google", "oidc", "github", "kakao", "email", "nobody", "..", "%FF", "apple%00"])
def test_a_provider_that_is_off_or_sends_none_has_no_such_address(site: Site, issuer: Issuer, provider: str) -> None:
    answer = send(site, notification(issuer), f"/api/auth/notifications/{provider}")
    assert answer.status_code in (404, 405)


def test_only_post_is_answered(site: Site) -> None:
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert site.new_visitor().request(method, ADDRESS).status_code == 405


ACCEPTED: dict[str, Callable[[Issuer], str]] = {
    "aud as a list": lambda issuer: sign_jwt(claims(issuer, aud=[CLIENT_ID])),
    "aud of an app in the same group": lambda issuer: sign_jwt(claims(issuer, aud="com.example.app")),
    "aud of another app in the same group": lambda issuer: sign_jwt(claims(issuer, aud="com.example.other")),
    "the issuer of 2025": lambda issuer: sign_jwt(claims(issuer, iss="https://account.apple.com")),
    "typ JWT": lambda issuer: sign_jwt(claims(issuer), typ="JWT"),
    "typ secevent+jwt": lambda issuer: sign_jwt(claims(issuer), typ="secevent+jwt"),
    "an unknown claim": lambda issuer: sign_jwt(claims(issuer, trace="x")),
    "issued a day ago": lambda issuer: sign_jwt(claims(issuer, iat=int(issuer.clock.time()) - MAX_AGE_SECONDS)),
    "issued in 50 s": lambda issuer: sign_jwt(claims(issuer, iat=int(issuer.clock.time()) + 50)),
    "expired 50 s ago": lambda issuer: sign_jwt(claims(issuer, exp=int(issuer.clock.time()) - 50)),
    "a further member of the event": lambda issuer: notification(issuer, transfer_sub="x"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_valid_notification_is_accepted(site: Site, issuer: Issuer, backend: FaultyBackend, name: str) -> None:
    expect_accepted(send(site, ACCEPTED[name](issuer)))
    assert [each["subject"] for each in passed_on(backend)] == [issuer.subject]


NO_IDS = as_objects("", 7, True, [], {}, "x" * 256, "\ud800")
NO_TIMES = as_objects(None, "1", True, -1, [], float("nan"), 2**53, ...)
NO_EVENTS = as_objects(None, "", "{", "x", "[]", "null", "7", '"x"', "[" * 30_000, "[" * 9_999 + "]" * 9_999, 7, [], {})
NO_PAYLOADS = as_objects(None, 7, True, [], {}, "", "x", "a.b.c", "..", "é.é.é", "\ud83d", "\x00")
REFUSED: dict[str, Callable[[Issuer], object]] = {
    "another key": lambda issuer: sign_jwt(claims(issuer), rsa_key("another")),
    "another key under its own kid": lambda issuer: sign_jwt(claims(issuer), rsa_key("another"), kid="another"),
    "alg none": lambda issuer: unsigned_jwt({"alg": "none"}, claims(issuer)),
    "alg None with a signature": lambda issuer: unsigned_jwt({"alg": "None", "kid": "k1"}, claims(issuer), "AA"),
    "HS256 with the client secret": lambda issuer: sign_jwt(
        claims(issuer), OctKey.import_key(CLIENT_SECRET), alg="HS256"
    ),
    "HS256 with the public key": lambda issuer: sign_with_public_key_as_secret(claims(issuer)),
    "RS512": lambda issuer: sign_jwt(claims(issuer), alg="RS512"),
    "no signature": lambda issuer: notification(issuer).rpartition(".")[0] + ".",
    "a changed claim": lambda issuer: with_claims(notification(issuer), sub="x"),
    "two parts": lambda issuer: notification(issuer).rpartition(".")[0],
    "five parts": lambda issuer: f"{notification(issuer)}.a.b",
    "typ of a logout token": lambda issuer: sign_jwt(claims(issuer), typ="logout+jwt"),
    "a critical header": lambda issuer: sign_jwt(claims(issuer), crit=["x"]),
    "aud of another client": lambda issuer: sign_jwt(claims(issuer, aud=f"{CLIENT_ID}1")),
    "aud of two": lambda issuer: sign_jwt(claims(issuer, aud=[CLIENT_ID, "another"])),
    "aud empty": lambda issuer: sign_jwt(claims(issuer, aud="")),
    "no aud": lambda issuer: sign_jwt(claims(issuer, aud=...)),
    "another issuer": lambda issuer: sign_jwt(claims(issuer, iss="https://appleid.apple.com.evil.example")),
    "iss with a slash": lambda issuer: sign_jwt(claims(issuer, iss="https://appleid.apple.com/")),
    "iss as a list": lambda issuer: sign_jwt(claims(issuer, iss=[ISSUERS["apple"]])),
    "no iss": lambda issuer: sign_jwt(claims(issuer, iss=...)),
    "expired": lambda issuer: sign_jwt(claims(issuer, exp=int(issuer.clock.time()) - 90)),
    "issued two days ago": lambda issuer: sign_jwt(claims(issuer, iat=int(issuer.clock.time()) - 2 * MAX_AGE_SECONDS)),
    "issued in two minutes": lambda issuer: sign_jwt(claims(issuer, iat=int(issuer.clock.time()) + 120)),
    "not valid yet": lambda issuer: sign_jwt(claims(issuer, nbf=int(issuer.clock.time()) + 120)),
    "an id_token": lambda issuer: sign_jwt({**claims(issuer, events=...), "sub": issuer.subject, "nonce": "x"}),
    "no jti": lambda issuer: sign_jwt(claims(issuer, jti=...)),
    "no events": lambda issuer: sign_jwt(claims(issuer, events=...)),
    "no type": lambda issuer: notification(issuer, type=...),
    "no sub": lambda issuer: notification(issuer, sub=...),
}
KINDS: dict[str, tuple[Sequence[object], Callable[[Issuer, Any], object]]] = {
    "type": (as_objects("", 7, [], {}), lambda issuer, value: notification(issuer, type=value)),
    "sub": (as_objects(*(each for each in NO_IDS if each != 7)), lambda issuer, value: notification(issuer, sub=value)),
    "jti": (NO_IDS, lambda issuer, value: sign_jwt(claims(issuer, jti=value))),
    "iat": (NO_TIMES, lambda issuer, value: sign_jwt(claims(issuer, iat=value))),
    "exp": (NO_TIMES, lambda issuer, value: sign_jwt(claims(issuer, exp=value))),
    "events": (NO_EVENTS, lambda issuer, value: sign_jwt({**claims(issuer), "events": value})),
    "payload": (NO_PAYLOADS, lambda _, value: value),
}


def sign_with_public_key_as_secret(claims: Json) -> str:
    """The algorithm confusion attack (RFC 8725, 2.1)."""
    signed = unsigned_jwt({"alg": "HS256", "kid": "k1"}, claims).rpartition(".")[0]
    mac = hmac.digest(rsa_key("k1").as_pem(private=False), signed.encode(), "sha256")
    return f"{signed}.{urlsafe_b64encode(mac).decode()}"


def with_claims(token: str, **more: object) -> str:
    head, body, signature = token.split(".")
    claims = json.loads(urlsafe_b64decode(body.encode()))
    return f"{head}.{base64url(json.dumps({**claims, **more}))}.{signature}"


@pytest.mark.parametrize("name", REFUSED)
def test_a_notification_that_is_not_valid_is_refused(
    site: Site, issuer: Issuer, backend: FaultyBackend, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    expect_refused(send(site, REFUSED[name](issuer)))
    assert passed_on(backend) == []
    assert events_in(caplog, "session_revoked") == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_notification_with_a_part_that_is_not_valid_is_refused(
    site: Site, issuer: Issuer, backend: FaultyBackend, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    values, make = KINDS[kind]
    for value in values:
        expect_refused(send(site, make(issuer, value)))
    assert passed_on(backend) == []
    assert events_in(caplog, "session_revoked") == []


def test_a_notification_that_is_refused_ends_no_session(site: Site, issuer: Issuer) -> None:
    visitor = signed_in(site, issuer)
    for name in ("another key", "alg none", "aud of another client", "another issuer", "expired"):
        expect_refused(send(site, REFUSED[name](issuer)))
    assert visitor.is_signed_in


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded", "text/plain", ""])
def test_a_request_without_a_notification_gets_400(site: Site, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    for body in (b"", b"x", b"{", b"[]", b"null", b'"a.b.c"', b"{}", b'{"token": "x"}', b"\xff\x00", b"[" * 60_000):
        expect_refused(site.new_visitor().post(ADDRESS, data=body, headers=headers))


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", "application/jwt", ""])
def test_a_valid_notification_of_another_content_type_gets_400(
    site: Site, issuer: Issuer, backend: FaultyBackend, content_type: str
) -> None:
    body = json.dumps({"payload": notification(issuer)})
    expect_refused(site.new_visitor().post(ADDRESS, data=body, headers={"Content-Type": content_type}))
    assert passed_on(backend) == []


def test_a_body_that_is_too_large_gets_413(site: Site) -> None:
    assert send(site, "x" * 70_000).status_code == 413


def test_made_up_notifications_cause_no_fetch_of_the_keys_each(site: Site, issuer: Issuer) -> None:
    for number in range(5):
        expect_refused(send(site, sign_jwt(claims(issuer), rsa_key("another"), kid=f"made-up-{number}")))
    assert len(issuer.requests_to(KEY_PATHS["apple"])) <= 2


def test_a_notification_that_is_signed_with_a_new_key_is_accepted(site: Site, issuer: Issuer) -> None:
    issuer.jwks = {"keys": [public_jwk(rsa_key("k2"))]}
    expect_accepted(send(site, sign_jwt(claims(issuer), rsa_key("k2"), kid="k2")))


def test_while_the_keys_cannot_be_fetched_the_notification_is_asked_for_again(
    site: Site, issuer: Issuer, backend: FaultyBackend
) -> None:
    token, response = notification(issuer), issuer.responses[KEY_PATHS["apple"]]
    issuer.responses[KEY_PATHS["apple"]] = http_response(status=503)
    expect_again_later(send(site, token))
    assert passed_on(backend) == []
    issuer.responses[KEY_PATHS["apple"]] = response
    clear_document_cache(site)
    expect_accepted(send(site, token))


# --- The log


def events_in(caplog: pytest.LogCaptureFixture, name: str = "provider_event") -> list[Json]:
    return [getattr(record, "fields", {}) for record in caplog.records if record.message == name]


def test_an_unknown_type_gets_200_and_is_logged(
    site: Site, issuer: Issuer, backend: FaultyBackend, caplog: pytest.LogCaptureFixture
) -> None:
    visitor = signed_in(site, issuer)
    expect_accepted(send(site, notification(issuer, "passkey-added\nmunjigi.audit signed_in")))
    assert "notification of an unknown type: provider=apple type='passkey-added\\nmunjigi.audit signed_in'" in (
        caplog.messages
    )
    assert visitor.is_signed_in
    assert passed_on(backend) == []


def test_the_log_says_what_came_and_why_a_notification_was_refused(
    site: Site, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    expect_accepted(send(site, notification(issuer)))
    expect_accepted(send(site, notification(issuer, "email-enabled", email=RELAY, is_private_email=True)))
    expect_refused(send(site, sign_jwt(claims(issuer, aud="com.example.unknown"))))
    assert [(each["provider"], each["type"], each["outcome"]) for each in events_in(caplog)] == [
        ("apple", "consent-revoked", "passed_on"),
        ("apple", "email-enabled", "passed_on"),
    ]
    assert [(each["by"], each["scope"]) for each in events_in(caplog, "session_revoked")] == [("apple", "user")]
    assert issuer.subject not in caplog.text
    refused = "notification refused: provider=apple reason=it is for another client, 'com.example.unknown'"
    assert refused in caplog.messages


def test_events_are_counted_by_what_became_of_them(site: Site, issuer: Issuer, backend: FaultyBackend) -> None:
    def counted(outcome: str) -> float:
        answer = site.new_visitor().get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
        labels = f'{{outcome="{outcome}",provider="apple",type="account-delete"}}'
        found = re.search(rf"^munjigi_provider_events_total{re.escape(labels)} (\S+)$", answer.text, re.MULTILINE)
        return float(found[1]) if found else 0

    before = counted("passed_on"), counted("failed")
    expect_accepted(send(site, notification(issuer, "account-delete")))
    backend.responses[EVENTS_PATH] = http_response(status=500)
    expect_again_later(send(site, notification(issuer, "account-delete")))
    assert (counted("passed_on"), counted("failed")) == (before[0] + 1, before[1] + 1)
