"""Each file of `backends/` against its recorded exchanges: `dev/exchanges/` describes their format."""

import base64
import json
import re
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any
from urllib.parse import parse_qsl

import pytest

import backends
import errors
from backends import validation
from backends.base import PLACEHOLDERS, SOCIAL_TOKENS, Method
from dev import exchanges
from dev.exchanges import Exchanges
from providers.base import Identity, Registration
from services.backend.account_calls import AccountCalls
from services.backend.client import BackendClient, Revocation, StepRequired
from services.backend.link_calls import LinkCalls, LinkedAccount
from services.backend.next_step import Step
from services.backend.passkey_calls import Passkey, PasskeyCalls
from services.backend.results import Login
from services.backend.tokens import Tokens
from services.backend.user import User
from services.clock import Clock
from services.http.client import HttpClient
from tests.support.commands import ROOT
from tests.support.faulty_backend import FaultyBackend, RecordedRequest, faulty_backend, http_response, keep_alive
from tests.support.site import SiteMaker, a_context, make_settings

PRESETS = [name for name in backends.names() if name != "custom"]
CREDENTIALS = {"identifier": "minji@example.com", "password": "가 \"&'=+%;{token}"}
MAX_LINES = 80


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyBackend]:
    with faulty_backend() as running:
        yield running


class Replay:
    """A client of one kind of backend, and a server that answers from its recorded exchanges."""

    def __init__(self, name: str, server: FaultyBackend, http: HttpClient) -> None:
        server.reset()
        self.name = name
        self.recorded = exchanges.load(name)
        self._server = server
        settings: dict[str, Any] = {"backend_url": "{url}", "backend_logout_path": None, "backend_profile_path": None}
        settings |= {setting.lower(): value for setting, value in self.recorded.settings.items()}
        settings["backend_next_step_urls"] = "https://verify.example.com"
        self.settings: dict[str, Any] = {"backend": name, **exchanges.fill(settings, {"url": server.url})}
        has_passkeys = "true" if "passkey" in self.recorded.calls else None
        self.client = BackendClient(make_settings(passkeys=has_passkeys, **self.settings), http, Clock())
        self.values = {**values_of(self.recorded), "origin": server.url}
        has_refresh_token = exchanges.has_name(self.recorded.calls["login"].answers["right"], "refresh_token")
        self.tokens = Tokens(self.values["token"], self.values["refresh_token"] if has_refresh_token else None)

    def answer(self, call: str, case: str) -> None:
        """Let the server answer this call as in this case."""
        exchange = self.recorded.calls[call]
        answer = exchanges.fill_answer(exchange.answers[case], self.values)
        lines = [f"{name}: {value}" for name, value in answer.all_headers]
        head = "\r\n".join(
            [f"HTTP/1.1 {answer.status} Whatever", f"Content-Length: {len(answer.body)}", *lines, "", ""]
        )
        path = exchanges.fill_request(exchange.request, self.values).path
        self._server.responses[path] = keep_alive(head.encode() + answer.body)

    def sent(self, index: int = -1) -> RecordedRequest:
        return self._server.calls[index]

    def assert_sent(self, call: str, index: int = -1, without: Collection[str] = ()) -> None:
        """Check that a request, by default the last, was the recorded one, and had no other credentials.

        without: members of its JSON that do not matter.
        """
        expected, sent = (
            exchanges.fill_request(self.recorded.calls[call].request, self.values),
            self._server.calls[index],
        )
        assert (sent.method, sent.path) == (expected.method, expected.path)
        assert {name: sent.headers[name] for name in expected.headers} == expected.headers
        assert ("Authorization" in sent.headers, "Cookie" in sent.headers) == (
            "Authorization" in expected.headers,
            "Cookie" in expected.headers,
        )
        if expected.form is not None:
            assert sent.headers["Content-Type"] == "application/x-www-form-urlencoded"
            assert dict(parse_qsl(sent.body.decode(), strict_parsing=True)) == expected.form
        else:
            body = sent.json
            assert expected.json == (
                {name: value for name, value in body.items() if name not in without} if isinstance(body, dict) else body
            )


def values_of(recorded: Exchanges) -> dict[str, Any]:
    now = int(time.time())
    expires_at = now + (recorded.life or 0)
    tokens = {"token": token(recorded, "1"), "new_token": token(recorded, "2")}
    refresh = {"refresh_token": "r" * 40, "new_refresh_token": "n" * 40}
    more = {"expires_at": expires_at, "in_40_seconds": now + 40, "social_token": "a+b/c=", "provider": "google"}
    more |= {"access_token": "a" * 30, "id_token": "e30.e30.x"}
    more |= {"challenge": "c" * 40, "ticket": "t" * 20, "method": "sms", "trust_token": "b" * 40}
    more |= {"step_url": "https://verify.example.com/start?id=1", "origin": "http://127.0.0.1"}
    more |= {"passkey": 7, "device": "Chrome, Linux", "created_at": now - 0.5}
    more |= {"phone": "01012345678", "account": "account-1", "providers": ["google"]}
    more |= {"options_challenge": "o" * 43, "user_handle": "MQ", "credential": {"id": "YQ", "type": "public-key"}}
    more |= {"new_password": "새 \"&'=+%;{code}", "code": "c.0-d_e", "uid": "MQ"}
    more |= {"site_url": make_settings().site_url}
    return {**CREDENTIALS, **tokens, **refresh, **more, **recorded.user}


def token(recorded: Exchanges, text: str) -> str:
    """A token, and if the backend issues JWTs, one that expires when it says."""
    claims = base64.urlsafe_b64encode(
        json.dumps({"jti": text, "exp": int(time.time()) + (recorded.life or 0)}).encode()
    )
    return f"e30.{claims.decode().rstrip('=')}.{text}" if recorded.jwt else f"17|{text * 40}"


@pytest.fixture
def replay(request: pytest.FixtureRequest, server: FaultyBackend, http: HttpClient) -> Replay:
    return Replay(request.param, server, http)


def having(call: str, case: str = "right") -> pytest.MarkDecorator:
    """Parametrize `replay` with the backends whose exchanges have this case."""
    names = [name for name in exchanges.ids() if case in getattr(exchanges.load(name).calls.get(call), "answers", {})]
    assert names
    return pytest.mark.parametrize("replay", names, indirect=True)


def cases(call: str, *kinds: str) -> pytest.MarkDecorator:
    pairs = [
        pytest.param(name, case, id=f"{name}-{case}")
        for name in exchanges.ids()
        for case in getattr(exchanges.load(name).calls.get(call), "answers", {})
        if case in kinds
    ]
    assert len(pairs) > 5
    return pytest.mark.parametrize(("replay", "case"), pairs, indirect=["replay"])


PASSKEY_REFUSALS = {
    ("passkey", "wrong"): errors.PasskeyRejected,
    ("passkey", "over"): errors.AttemptExpired,
    ("confirm_password", "wrong"): errors.WrongPassword,
    ("passkey_register_options", "sign_in_again"): errors.RecentSignInRequired,
    ("passkey_register", "sign_in_again"): errors.RecentSignInRequired,
    ("passkey_register", "wrong"): errors.PasskeyNotAdded,
    ("passkey_remove", "sign_in_again"): errors.RecentSignInRequired,
}


def cases_of(*calls: str) -> pytest.MarkDecorator:
    """Parametrize `replay`, `call` and `case` with the refusals of these calls."""
    rows = [
        pytest.param(name, call, case, id=f"{name}-{call}-{case}")
        for name in exchanges.ids()
        for call, case in PASSKEY_REFUSALS
        if call in calls and case in getattr(exchanges.load(name).calls.get(call), "answers", {})
    ]
    assert len(rows) > 5
    return pytest.mark.parametrize(("replay", "call", "case"), rows, indirect=["replay"])


# --- The files


def test_each_backend_has_its_recorded_exchanges() -> None:
    assert exchanges.ids() == PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_the_parts_of_a_backend_fit_together(name: str) -> None:
    assert list(validation.problems(backends.find(name))) == []
    assert backends.find(name).id == name


@pytest.mark.parametrize("name", backends.names())
def test_a_backend_is_a_short_file(name: str) -> None:
    path = ROOT / "backends" / f"{name.replace('-', '_')}.py"
    assert len(path.read_text("utf-8").splitlines()) <= MAX_LINES


@pytest.mark.parametrize("name", PRESETS)
def test_each_call_of_a_backend_has_a_recorded_request(name: str) -> None:
    recorded = exchanges.load(name)
    never_recorded = {"nestjs": {"refresh"}}
    assert {*backends.find(name).calls} - {*recorded.calls} <= never_recorded.get(name, set())
    assert recorded.proof in ("recorded", "sources")
    assert recorded.software


@pytest.mark.parametrize("name", PRESETS)
def test_recorded_exchanges_use_names_that_are_documented(name: str) -> None:
    recorded = exchanges.load(name)
    used = {word for call in recorded.calls.values() for word in re.findall(r"\{(\w+)\}", str(call))}
    assert used <= set(values_of(recorded))
    documented = set(re.findall(r"`\{(\w+)\}`", exchanges.__doc__ or "")) | {
        *re.findall(r"`(\w+)`", exchanges.__doc__ or "")
    }
    assert used <= documented


# --- Signing in


def sign_in(replay: Replay) -> Login:
    return replay.client.login(CREDENTIALS["identifier"], CREDENTIALS["password"], a_context())


@having("login")
def test_the_right_password_gives_the_tokens(replay: Replay) -> None:
    replay.answer("login", "right")
    tokens = sign_in(replay).tokens
    replay.assert_sent("login")
    assert (tokens.access, tokens.refresh) == (replay.tokens.access, replay.tokens.refresh)
    if replay.recorded.life is None:
        assert tokens.expires_at is None
    else:
        assert tokens.expires_at == pytest.approx(time.time() + replay.recorded.life, abs=300)


REFUSALS = {
    "wrong": errors.CredentialsSignin,
    "locked": errors.CredentialsSignin,
    "unverified": errors.EmailNotVerified,
    "throttled": errors.TooManyAttempts,
    "next_step": errors.SecondFactorRequired,
    "redirect": errors.SecondFactorRequired,
    "setup": errors.SecondFactorRequired,
    "configuration": errors.Configuration,
}


STEP_REFUSALS = {"wrong": errors.WrongCode, "expired": errors.CodeExpired, "over": errors.AttemptExpired}


@cases("login", *REFUSALS)
def test_each_refusal_of_a_login_has_its_meaning(replay: Replay, case: str) -> None:
    replay.answer("login", case)
    with pytest.raises(errors.SiteError) as refusal:
        sign_in(replay)
    can_continue = case in ("next_step", "redirect") and "verify" in replay.recorded.calls
    assert type(refusal.value) is (StepRequired if can_continue else REFUSALS[case])
    replay.assert_sent("login")


# --- Further fields of a new account


SIGN_UP_REFUSALS = {
    "refused": errors.InvalidFields,
    "taken": errors.OAuthAccountNotLinked,
    "over": errors.AttemptExpired,
}


def sign_up(replay: Replay) -> Login:
    """Send the fields that the answer to the social call wants."""
    replay.answer("social", "fields")
    identity = the_identity(replay)
    with pytest.raises(StepRequired) as required:
        replay.client.social_login("google", identity, with_email=False, context=a_context())
    step = required.value.step
    assert (step.challenge, step.fields) == (replay.values["challenge"], ("name", "email", "phone"))
    return replay.client.social_register(step, {name: replay.values[name] for name in step.fields}, {}, a_context())


@having("social_register")
def test_the_further_fields_of_a_new_account_give_the_tokens(replay: Replay) -> None:
    replay.answer("social_register", "right")
    assert sign_up(replay).tokens.access == replay.tokens.access
    replay.assert_sent("social_register")


@pytest.mark.parametrize(("replay", "case"), [("laravel", case) for case in SIGN_UP_REFUSALS], indirect=["replay"])
def test_each_refusal_of_further_fields_has_its_meaning(replay: Replay, case: str) -> None:
    replay.answer("social_register", case)
    with pytest.raises(errors.SiteError) as refusal:
        sign_up(replay)
    assert type(refusal.value) is SIGN_UP_REFUSALS[case]


# --- Refusals without JSON


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (http_response(status=401), errors.CredentialsSignin),
        (http_response(status=403), errors.CredentialsSignin),
        (http_response(b"Bad credentials", 400), errors.CredentialsSignin),
        (http_response({"message": "Email not verified"}, 403), errors.EmailNotVerified),
        (http_response(b"<html>Forbidden</html>", 403), errors.Configuration),
    ],
)
@pytest.mark.parametrize("name", ["spring", "spring-cookie", "spring-header"])
def test_spring_refuses_a_password_without_json(
    name: str, answer: bytes, error: type[errors.SiteError], server: FaultyBackend, http: HttpClient
) -> None:
    replay = Replay(name, server, http)
    server.responses[replay.recorded.calls["login"].request.path] = keep_alive(answer)
    with pytest.raises(errors.SiteError) as refusal:
        replay.client.login(CREDENTIALS["identifier"], CREDENTIALS["password"], a_context())
    assert type(refusal.value) is error


# --- The next step


def required_step(replay: Replay, case: str = "next_step") -> Step:
    replay.answer("login", case)
    with pytest.raises(StepRequired) as required:
        sign_in(replay)
    step = required.value.step
    replay.values["method"] = next(iter(step.methods))
    if "ticket" in str(replay.recorded.calls["verify"].request):
        replay.answer("resend", "right")
        step = replay.client.resend(step, next(iter(step.methods)), a_context(), CREDENTIALS)
    return step


def verify(replay: Replay, step: Step, method: str) -> Login:
    values = {**CREDENTIALS}
    return replay.client.verify(step, method, replay.values["code"], a_context(), trust=True, values=values)


@having("verify")
def test_the_code_of_a_next_step_gives_the_tokens(replay: Replay) -> None:
    step = required_step(replay)
    method = next(iter(step.methods))
    replay.values["method"] = method
    replay.answer("verify", "right")
    login = verify(replay, step, method)
    assert login.tokens.access == replay.tokens.access
    sent = replay.sent()
    trust = {name: value for name, value in (sent.json if isinstance(sent.json, dict) else {}).items() if value is True}
    replay.assert_sent("verify", without=trust)
    assert bool(trust) is replay.client.can_trust


@cases("verify", *STEP_REFUSALS)
def test_each_refusal_of_a_code_has_its_meaning(replay: Replay, case: str) -> None:
    step = required_step(replay)
    method = next(iter(step.methods))
    replay.values["method"] = method
    replay.answer("verify", case)
    with pytest.raises(errors.SiteError) as refusal:
        verify(replay, step, method)
    if isinstance(refusal.value, StepRequired):  # the same step again
        assert (case, refusal.value.step) == ("wrong", step)
    else:
        assert type(refusal.value) is STEP_REFUSALS[case]


@having("verify_recovery_code")
def test_a_recovery_code_gives_the_tokens(replay: Replay) -> None:
    step = required_step(replay)
    method = next(name for name, method in step.methods.items() if method is Method.RECOVERY)
    replay.answer("verify_recovery_code", "right")
    assert verify(replay, step, method).tokens.access == replay.tokens.access


@having("resend")
def test_another_code_is_asked_for(replay: Replay) -> None:
    step = required_step(replay)
    method = replay.values["method"]
    replay.answer("resend", "right")
    replay.client.resend(step, method, a_context(), CREDENTIALS)
    replay.assert_sent("resend")


@pytest.mark.parametrize(
    ("replay", "least", "most"),
    [("laravel", 57, 57), ("better-auth", 10, 10), ("strapi", 1, 40), ("allauth", 60, 60)],
    indirect=["replay"],
)
def test_the_time_to_wait_is_read_under_its_name(replay: Replay, least: int, most: int) -> None:
    replay.answer("login", "throttled")
    with pytest.raises(errors.TooManyAttempts) as refusal:
        sign_in(replay)
    assert least <= (refusal.value.retry_after or 0) <= most


def the_identity(replay: Replay) -> Identity:
    tokens: dict[str, Any] = {name: replay.values[name] for name in SOCIAL_TOKENS}
    return Identity(subject="1", **tokens)


@having("social")
def test_a_providers_token_is_exchanged(replay: Replay) -> None:
    replay.answer("social", "right")
    identity = the_identity(replay)
    login = replay.client.social_login("google", identity, with_email=False, context=a_context())
    replay.assert_sent("social")
    assert login.tokens.access == replay.tokens.access


# --- The user


def assert_is_the_user(replay: Replay, user: Any) -> None:
    expected = replay.recorded.user
    assert (user.id, user.name, user.nick_name, user.email) == (
        expected["user_id"],
        expected["name"],
        expected["nick_name"],
        expected["email"],
    )


@having("user")
def test_the_user_is_read_with_the_token(replay: Replay) -> None:
    replay.answer("user", "right")
    assert_is_the_user(replay, replay.client.user(replay.tokens.access, a_context()))
    replay.assert_sent("user")


@having("user", "dead_token")
def test_a_dead_token_ends_the_session(replay: Replay) -> None:
    replay.answer("user", "dead_token")
    with pytest.raises(errors.SessionExpired):
        replay.client.user(replay.tokens.access, a_context())


def saved_in_answer(replay: Replay) -> bool:
    """Whether the answer to a saved profile has the user, so that it need not be read again."""
    return (
        exchanges.has_name(replay.recorded.calls["profile"].answers["right"], "user_id") and replay.name != "firebase"
    )


@having("profile")
def test_names_are_saved(replay: Replay) -> None:
    for call in ("user", "profile"):
        replay.answer(call, "right")
    user = replay.client.user(replay.tokens.access, a_context())
    saved = replay.client.save_profile(replay.tokens.access, user, user.name, user.nick_name, a_context())
    assert_is_the_user(replay, saved)
    replay.assert_sent("profile", -1 if saved_in_answer(replay) else -2)


# --- Refreshing and signing out


@having("refresh")
def test_a_refresh_gives_new_tokens(replay: Replay) -> None:
    replay.answer("refresh", "right")
    assert replay.client.can_refresh(has_refresh_token=replay.tokens.refresh is not None)
    tokens = replay.client.refresh(replay.tokens, a_context())
    replay.assert_sent("refresh")
    rotates = exchanges.has_name(replay.recorded.calls["refresh"].answers["right"], "new_refresh_token")
    assert tokens.access == replay.values["new_token"]
    assert tokens.refresh == (replay.values["new_refresh_token"] if rotates else replay.tokens.refresh)


@having("refresh", "refused")
def test_a_refused_refresh_ends_the_session(replay: Replay) -> None:
    replay.answer("refresh", "refused")
    with pytest.raises(errors.SessionExpired):
        replay.client.refresh(replay.tokens, a_context())


@having("logout")
def test_after_a_logout_it_is_known_whether_the_token_is_dead(replay: Replay) -> None:
    replay.answer("logout", "right")
    revocation = replay.client.logout(replay.tokens, a_context())
    replay.assert_sent("logout")
    assert revocation is (Revocation.ACCEPTED if replay.recorded.survives_logout else Revocation.REVOKED)


def sending_refresh_token() -> pytest.MarkDecorator:
    """Parametrize `replay` with the backends whose logout needs the refresh token."""
    names = [
        name
        for name in exchanges.ids()
        if (call := exchanges.load(name).calls.get("logout")) and exchanges.has_name(call.request, "refresh_token")
    ]
    assert {"directus", "dj-rest-auth", "spring-cookie", "spring-header"} <= {*names}
    return pytest.mark.parametrize("replay", names, indirect=True)


@sending_refresh_token()
def test_a_sign_out_on_the_page_sends_the_refresh_token_of_the_sign_in(replay: Replay, make_site: SiteMaker) -> None:
    for call in ("login", "user", "logout"):
        replay.answer(call, "right")
    visitor = make_site(**replay.settings).new_visitor()
    assert visitor.sign_in(CREDENTIALS["identifier"], CREDENTIALS["password"]).status_code == 303
    assert visitor.submit("/auth/logout", {}).status_code == 303
    assert not visitor.is_signed_in
    replay.assert_sent("logout")


def test_the_refresh_token_is_revoked_before_the_access_token(server: FaultyBackend, http: HttpClient) -> None:
    """RFC 7009, 2.1: a server need not end the refresh token with the access token."""
    replay = Replay("oauth2", server, http)
    replay.answer("logout", "right")
    assert replay.client.logout(replay.tokens, a_context()) is Revocation.REVOKED
    sent = [dict(parse_qsl(replay.sent(index).body.decode()))["token"] for index in (0, 1)]
    assert sent == [replay.tokens.refresh, replay.tokens.access]
    replay.client.logout(Tokens("access"), a_context())
    assert dict(parse_qsl(replay.sent(2).body.decode()))["token"] == "access"
    assert len(server.calls) == 3


@having("logout", "refused")
def test_a_refused_logout_is_known(replay: Replay) -> None:
    replay.answer("logout", "refused")
    assert replay.client.logout(replay.tokens, a_context()) is Revocation.FAILED


# --- Sign-up, new passwords, verification


@pytest.fixture
def account_calls(replay: Replay) -> AccountCalls:
    return AccountCalls(make_settings(**replay.settings), replay.client, Clock())


def account_values(replay: Replay, call: str) -> dict[str, Any]:
    """What the forms of the site have for this call."""
    names = {*PLACEHOLDERS[call]} - {"site_url", "locale"}
    return {name: replay.values[name] for name in names if replay.values.get(name) is not None}


@having("register")
def test_a_sign_up_is_sent_and_its_answer_understood(replay: Replay, account_calls: AccountCalls) -> None:
    replay.answer("register", "right")
    call, values = replay.recorded.calls["register"], account_values(replay, "register")
    if call.answers["right"].status == 401:
        with pytest.raises(errors.EmailNotVerified):
            account_calls.register(values, {}, a_context())
    else:
        login = account_calls.register(values, {}, a_context())
        assert (login is not None) is exchanges.has_name(call.answers["right"], "token")
        assert login is None or login.tokens.access == replay.tokens.access
    replay.assert_sent("register")


ACCOUNT_REFUSALS = {
    ("register", "taken"): (errors.InvalidFields, {"email"}),
    ("register", "weak"): (errors.InvalidFields, {"password", "new_password"}),
    ("reset", "bad_code"): (errors.InvalidCode, {""}),
    ("reset", "weak"): (errors.InvalidFields, {"new_password"}),
    ("verify_email", "bad_code"): (errors.InvalidCode, {""}),
    ("change_password", "wrong"): (errors.InvalidFields, {"password"}),
    ("change_password", "weak"): (errors.InvalidFields, {"new_password"}),
}
"""Call and case -> what it is, and for fields those of which one has the message."""


def account_refusals() -> pytest.MarkDecorator:
    rows = [
        pytest.param(name, call, case, id=f"{name}-{call}-{case}")
        for name in exchanges.ids()
        for call, case in ACCOUNT_REFUSALS
        if case in getattr(exchanges.load(name).calls.get(call), "answers", {})
    ]
    assert len(rows) > 15
    return pytest.mark.parametrize(("replay", "call", "case"), rows, indirect=["replay"])


@account_refusals()
def test_each_refusal_about_an_account_has_its_place(
    replay: Replay, account_calls: AccountCalls, call: str, case: str
) -> None:
    error, fields = ACCOUNT_REFUSALS[call, case]
    replay.answer(call, case)
    values = account_values(replay, call)
    with pytest.raises(error) as refusal:
        account_calls.register(values, {}, a_context()) if call == "register" else getattr(account_calls, call)(
            values, a_context()
        )
    assert len({*getattr(refusal.value, "fields", {"": ""})} & fields) == 1
    replay.assert_sent(call)


@pytest.mark.parametrize("call", ["forgot", "resend_verification"])
@having("forgot")
def test_a_mail_is_asked_for_and_no_answer_is_an_error(replay: Replay, account_calls: AccountCalls, call: str) -> None:
    for case in getattr(replay.recorded.calls.get(call), "answers", {}):
        replay.answer(call, case)
        account_calls.send_mail(call, replay.values["identifier"], a_context())
        replay.assert_sent(call)


@pytest.mark.parametrize("replay", ["strapi"], indirect=True)
def test_a_redirect_to_a_page_of_something_else_verifies_nothing(
    replay: Replay, account_calls: AccountCalls, server: FaultyBackend
) -> None:
    request = exchanges.fill_request(replay.recorded.calls["verify_email"].request, replay.values)
    head = b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n"
    server.responses[request.path] = keep_alive(head + b"<html>")
    with pytest.raises(errors.BackendUnavailable):
        account_calls.verify_email(account_values(replay, "verify_email"), a_context())


@pytest.mark.parametrize("replay", ["directus"], indirect=True)
def test_who_has_a_new_password_gets_new_tokens_if_it_ends_the_old_ones(
    replay: Replay, make_site: SiteMaker, server: FaultyBackend
) -> None:
    for call in ("login", "user", "change_password"):
        replay.answer(call, "right")
    visitor = make_site(**replay.settings).new_visitor()
    visitor.sign_in(CREDENTIALS["identifier"], CREDENTIALS["password"])
    passwords = {"password": CREDENTIALS["password"], "new_password": "blue-whale-31"}
    assert visitor.submit("/account/password", passwords).status_code == 303
    sent = [call.json for call in server.calls if call.path == "/auth/login"]
    old, new = ({"email": CREDENTIALS["identifier"], "password": text} for text in passwords.values())
    assert sent == [old, old, new]
    assert visitor.is_signed_in


@pytest.mark.parametrize("call", ["reset", "verify_email", "change_password"])
@having("reset")
def test_a_code_and_a_new_password_are_sent(replay: Replay, account_calls: AccountCalls, call: str) -> None:
    if call not in replay.recorded.calls:
        return
    replay.answer(call, "right")
    getattr(account_calls, call)(account_values(replay, call), a_context())
    replay.assert_sent(call)


# --- Connected providers


def link_calls(replay: Replay) -> LinkCalls:
    return LinkCalls(make_settings(**replay.settings), replay.client)


def google(settings: dict[str, Any]) -> Registration:
    client = {"providers": "google", "google_client_id": "id", "google_client_secret": "a-secret-of-this-test-only"}
    return make_settings(**settings, **client).registrations[0]


@having("link")
def test_a_provider_is_connected_with_its_token(replay: Replay) -> None:
    replay.answer("link", "right")
    identity = the_identity(replay)
    user = User.from_json({"id": 1})
    link_calls(replay).link(replay.tokens.access, user, google(replay.settings), identity, a_context())
    replay.assert_sent("link")


@having("link", "linked")
def test_an_account_of_another_user_is_not_connected(replay: Replay) -> None:
    replay.answer("link", "linked")
    identity, user = Identity(subject="1", social_token="x"), User.from_json({"id": 1})
    with pytest.raises(errors.LinkedElsewhere):
        link_calls(replay).link(replay.tokens.access, user, google(replay.settings), identity, a_context())


@having("links")
def test_what_is_connected_is_read_and_disconnected(replay: Replay) -> None:
    calls, user = link_calls(replay), User.from_json({"id": 1})
    replay.answer("links", "right")
    linked = calls.list_accounts(replay.tokens.access, user, a_context())
    replay.assert_sent("links")
    assert linked is not None
    assert [each.provider for each in linked] == ["google"]
    replay.answer("unlink", "right")
    calls.unlink(replay.tokens.access, user, linked[0], a_context())
    replay.assert_sent("unlink")


@having("unlink", "last_way")
def test_the_last_way_to_sign_in_is_not_disconnected(replay: Replay) -> None:
    replay.answer("unlink", "last_way")
    with pytest.raises(errors.LastSignInMethod):
        link_calls(replay).unlink(
            replay.tokens.access, User.from_json({"id": 1}), LinkedAccount("google", "account-1"), a_context()
        )


# --- Passkeys


@pytest.fixture
def passkey_calls(replay: Replay) -> PasskeyCalls:
    return PasskeyCalls(make_settings(passkeys="true", **replay.settings), replay.client)


@having("passkey")
def test_a_passkey_signs_in_by_the_options_of_the_backend(replay: Replay, passkey_calls: PasskeyCalls) -> None:
    replay.answer("passkey_options", "right")
    options = passkey_calls.options(a_context())
    replay.assert_sent("passkey_options")
    assert (options.public_key["challenge"], options.challenge) == ("o" * 43, replay.values["challenge"])
    replay.answer("passkey", "right")
    login = replay.client.passkey_login(replay.values["credential"], options.challenge, a_context())
    assert login.tokens.access == replay.tokens.access
    replay.assert_sent("passkey")


@cases_of("passkey", "passkey_register", "passkey_register_options", "passkey_remove", "confirm_password")
def test_each_refusal_of_a_passkey_has_its_meaning(
    replay: Replay, passkey_calls: PasskeyCalls, call: str, case: str
) -> None:
    replay.answer(call, case)
    values = {name: replay.values[name] for name in ("token", "user_id", "identifier", "password", "device")}
    credential, challenge = replay.values["credential"], replay.values["challenge"]
    make: dict[str, Callable[[], object]] = {
        "passkey": lambda: replay.client.passkey_login(credential, challenge, a_context()),
        "confirm_password": lambda: passkey_calls.confirm_password(values, a_context()),
        "passkey_register_options": lambda: passkey_calls.register_options(values, a_context()),
        "passkey_register": lambda: passkey_calls.register(values, credential, challenge, a_context()),
        "passkey_remove": lambda: passkey_calls.remove(values, a_passkey(replay), a_context()),
    }
    with pytest.raises(PASSKEY_REFUSALS[call, case]):
        make[call]()
    replay.assert_sent(call)


@having("passkey_register")
def test_a_passkey_is_added_by_the_options_of_the_backend(replay: Replay, passkey_calls: PasskeyCalls) -> None:
    values = {name: replay.values[name] for name in ("token", "user_id", "identifier", "password", "device")}
    if passkey_calls.wants_password:
        replay.answer("confirm_password", "right")
        passkey_calls.confirm_password(values, a_context())
        replay.assert_sent("confirm_password")
    replay.answer("passkey_register_options", "right")
    options = passkey_calls.register_options(values, a_context())
    assert options.public_key["user"]["id"] == "MQ"
    replay.assert_sent("passkey_register_options")
    replay.answer("passkey_register", "right")
    passkey_calls.register(values, replay.values["credential"], options.challenge, a_context())
    replay.assert_sent("passkey_register")


def a_passkey(replay: Replay) -> Passkey:
    return Passkey(replay.values["passkey"], replay.values["device"], int(replay.values["created_at"]), None)


@having("passkey_list")
def test_the_passkeys_of_a_person_are_listed_and_removed(replay: Replay, passkey_calls: PasskeyCalls) -> None:
    values = {name: replay.values[name] for name in ("token", "user_id")}
    replay.answer("passkey_list", "right")
    listed = passkey_calls.list_passkeys(values, a_context())
    replay.assert_sent("passkey_list")
    assert [(each.id, each.name, each.used_at) for each in listed] == [(7, "Chrome, Linux", None)]
    replay.answer("passkey_remove", "right")
    passkey_calls.remove(values, listed[0], a_context())
    replay.assert_sent("passkey_remove")
