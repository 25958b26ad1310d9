"""A stand-in backend with its users in memory. It answers with the recorded exchanges of `dev/exchanges/`.

Each failure that a user can meet has an account, if the backend tells it from a wrong password.

Beside the cases that `dev/exchanges/` documents, it answers with these, where they are recorded: `invalid` (a required
field is missing or too long), `created` (social sign-in of a new user) and `no_user` (a valid token without a user).
"""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from flask import Flask, request
from werkzeug.wrappers import Response

import backends
from backends.base import ACCOUNT_CALLS, LINK_CALLS, NEXT_STEP_CALLS, PASSKEY_CALLS
from dev import exchanges
from dev.exchanges import Answer, Call
from dev.failures import ask_for_fields, ask_for_next_step
from dev.next_steps import CODE, EXPIRED_CODE, PAGE_PATH, RECOVERY_CODE, NextSteps
from dev.passkeys import Passkeys
from dev.social_login import SocialLogin
from dev.user_store import Tokens, UserKey, UserStore

PASSWORD = "correct-horse"
TAKEN_PHONE = "01000000000"
"""The number that is refused in a sign-up after a provider."""
MAX_NAME_LENGTH = 30
MIN_PASSWORD_LENGTH = 8
_NAMES = ("user_id", "name", "email", "nick_name")
_SLOW_SECONDS = 3


@dataclass(frozen=True)
class Account:
    email: str
    name: str
    nick_name: str | None
    description: str
    """What happens when this user signs in."""
    case: str = "right"
    """The answer to the sign-in: a case of the recorded exchanges, or of `_FAILURES`."""

    @property
    def username(self) -> str:
        return self.email.partition("@")[0]

    @property
    def phone(self) -> str:
        return f"010-5555-{1001 + ACCOUNTS.index(self)}"

    def identifiers(self, kind: str) -> tuple[str, ...]:
        """What this user may sign in with. kind: the value of `LOGIN_IDENTIFIER`."""
        kinds = ("email", "username", "phone") if kind == "any" else (kind,)
        return tuple(str(getattr(self, name)) for name in kinds)


ACCOUNTS = (
    Account("minji@example.com", "김민지", "민지", "signs in"),
    Account("jun@example.com", "Jun Park", None, "signs in, has no nickname"),
    Account("unverified@example.com", "Una", None, "address not verified", "unverified"),
    Account("locked@example.com", "Lock", None, "account locked", "locked"),
    Account("throttled@example.com", "Thea", None, "too many attempts", "throttled"),
    Account("down@example.com", "Dan", None, "backend down", "down"),
    Account("html@example.com", "Hanna", None, "an HTML page instead of JSON", "html"),
    Account("slow@example.com", "Sloan", None, f"signs in after {_SLOW_SECONDS} seconds"),
    Account("nouser@example.com", "Noa", None, "good password, then no user"),
    Account(
        "nextstep@example.com",
        "Sten",
        None,
        f"second factor: {CODE} (no longer valid: {EXPIRED_CODE}; recovery code: {RECOVERY_CODE})",
        "next_step",
    ),
    Account("identity@example.com", "Ida", None, "has to visit another page first", "redirect"),
    Account("settings@example.com", "Mika", None, "settings of the site refused", "configuration"),
)
_STEPS = {"next_step": False, "redirect": True}
"""Cases of accounts with a next step -> whether it is on another page."""
_SLOW, _NO_USER = "slow@example.com", "nouser@example.com"

_HTML = "<!doctype html><title>Welcome</title><h1>It works</h1>"
_FAILURES = {
    "down": Answer(status=503, headers={"Retry-After": "60"}, json={"message": "Service Unavailable"}),
    "html": Answer(status=200, headers={"Content-Type": "text/html; charset=utf-8"}, text=_HTML),
}
"""Answers to a sign-in that are the same at any backend."""
_NOT_RECORDED = {
    "invalid_token": Answer(status=401, json={"message": "Invalid token"}),
    "taken": Answer(status=409, json={"message": "This email address already signs in another way."}),
    "configuration": Answer(status=400, json={"message": "The request differs from the recorded one."}),
    "not_found": Answer(status=404, json={"message": "The route could not be found."}),
}


def accounts(protocol: str) -> list[tuple[Account, str]]:
    """Return the accounts that make a difference at this backend, each with its description."""
    answers = {**exchanges.load(protocol).calls["login"].answers, **_FAILURES}
    return [
        (
            account,
            account.description if account.case in ("right", "html", *_STEPS) else f"{account.description} ({status})",
        )
        for account in ACCOUNTS
        if account.case in answers
        for status in [answers[account.case].status]
    ]


def create_backend(
    delay: float = 0.0,
    protocol: str = "laravel",
    social_login: SocialLogin | None = None,
    now: Callable[[], float] = time.time,
    site_url: str = "http://localhost:8080",
) -> Flask:
    """Create the backend as a Flask application that waits `delay` seconds before each response.

    protocol: whose recorded exchanges it answers with. Without `social_login`, it knows no provider.
    site_url: of the site, to which the page of a next step leads back.
    """
    backend = _Backend(protocol, social_login, now, site_url)
    site = Flask("munjigi-stand-in-backend", static_folder=None, template_folder=None)
    site.extensions |= {"user_store": backend.users, "mails": backend.mails, "next_steps": backend.next_steps}
    site.add_url_rule(PAGE_PATH, view_func=backend.next_steps.page, endpoint="next_step_page")
    site.extensions["stand_in_settings"] = backend.settings
    site.before_request(lambda: time.sleep(delay))
    for path, calls in backend.calls_by_path().items():
        site.add_url_rule(
            path.replace("{", "<").replace("}", ">"),
            endpoint=path,
            view_func=backend.view(calls),
            methods={call.request.method for call in calls.values()},
        )
    return site


@dataclass(frozen=True)
class Mail:
    """A mail that the backend would have sent."""

    to: str
    subject: str
    path: str
    """What its link has behind `SITE_URL`."""
    code: str


class _Backend:
    def __init__(
        self, protocol: str, social_login: SocialLogin | None, now: Callable[[], float], site_url: str
    ) -> None:
        self._protocol = protocol
        self._recorded = exchanges.load(protocol)
        self._social_login = social_login or SocialLogin({}, {})
        self.next_steps, self.sign_ups = NextSteps(site_url), NextSteps(site_url)
        self._passkeys = Passkeys()
        self.users = UserStore(
            {account.email: self._user(number, account) for number, account in enumerate(ACCOUNTS, 1)},
            self._recorded.life,
            self._recorded.jwt,
            now,
        )
        self.mails: list[Mail] = []
        self.settings = {"verifies_addresses": True}
        """What a test can change: whether those who sign up have to verify their address."""
        self._passwords = {account.email: PASSWORD for account in ACCOUNTS}
        self._unverified: set[str] = set()
        """Those who signed up. `_verified` are those of `ACCOUNTS` whose case does not apply any more."""
        self._verified: set[str] = set()
        self._codes: dict[tuple[str, str], str] = {}
        """Call and code -> email address. A code can be used once."""

    def _user(self, number: int, account: Account) -> dict[str, Any]:
        names = {"name": account.name, "nick_name": account.nick_name}
        return {"id": self._user_id(number), **names, "email": account.email}

    def _user_id(self, number: int) -> int | str:
        """Return an id of the recorded kind, which ends with this number."""
        recorded = self._recorded.user["user_id"]
        return number if isinstance(recorded, int) else recorded[: -len(str(number))] + str(number)

    def _new_user_id(self) -> int | str:
        return self._user_id(len({user["id"] for user in self.users.users.values()}) + 1)

    def calls_by_path(self) -> dict[str, dict[str, Call]]:
        """Return the calls by name, by their path.

        `refresh` comes before `user`, which it can be the same as; so do the calls of a next step before `login`.
        """
        calls: dict[str, dict[str, Call]] = {}
        more = ("social_register", *ACCOUNT_CALLS, *LINK_CALLS, *PASSKEY_CALLS)
        for name in (*NEXT_STEP_CALLS, "login", "social", "refresh", "user", "logout", "profile", *more):
            call = self._recorded.calls.get(name)
            if call:
                calls.setdefault(call.request.path.partition("?")[0], {})[name] = call
        return calls

    def view(self, calls: Mapping[str, Call]) -> Callable[..., Response]:
        """Return a view that answers as the first of these calls whose request is the one that was sent."""
        handlers = {
            "login": self._login,
            "social": self._social,
            "social_register": self._social_register,
            "refresh": self._refresh,
            "user": self._current_user,
            "logout": self._logout,
            "profile": self._save_profile,
            "register": self._register,
            "forgot": self._forgot,
            "reset": self._reset,
            "verify_email": self._verify_email,
            "resend_verification": self._resend_verification,
            "change_password": self._change_password,
            "verify": self._verify,
            "verify_recovery_code": self._verify_recovery_code,
            "resend": self._resend,
            "link": self._link,
            "unlink": self._unlink,
            "links": self._links,
            "passkey_options": self._passkey_options,
            "passkey": self._passkey,
            "confirm_password": self._confirm_password,
            "passkey_register_options": self._passkey_register_options,
            "passkey_register": self._passkey_register,
            "passkey_list": self._passkey_list,
            "passkey_remove": self._passkey_remove,
        }

        def respond(**path_values: str) -> Response:
            for name, call in calls.items():
                is_shared = name == "verify_recovery_code" or (name == "verify" and "login" in calls)
                if is_shared and len(calls) > 1 and not _has_value(call, "{code}"):
                    continue
                change = calls.get("change_password")
                if name == "profile" and change and _has_value(change, "{new_password}"):
                    continue
                if call.request.method == request.method and (values := _read_request(call.request)) is not None:
                    return _response(handlers[name](values | path_values))
            return _response(self._answer("login", "configuration"))

        return respond

    # --- The calls. `values`: what the request has in the places of the recorded names

    def _login(self, values: Mapping[str, Any]) -> Answer | Response:
        identifier, password = values.get("identifier") or _other_identifier(), values.get("password")
        if not isinstance(identifier, str) or not isinstance(password, str):
            return self._answer("login", "invalid", "wrong")
        account = _find_account(identifier)
        if account and account.case in _STEPS and self._has("login", account.case):
            return self._login_with_next_step(account, password)
        if account and account.case != "right" and account.email not in self._verified:
            return _FAILURES.get(account.case) or self._answer("login", account.case, "wrong")
        email = account.email if account else self._email_of(identifier)
        if password != self._passwords.get(email or ""):
            return self._answer("login", "wrong")
        if email in self._unverified:
            return self._answer("login", "unverified", "wrong")
        if email == _SLOW:
            time.sleep(_SLOW_SECONDS)
        return self._answer("login", "right", **self._token_values(self.users.issue_tokens(str(email))))

    def _login_with_next_step(self, account: Account, password: str) -> Answer:
        if password != self._passwords.get(account.email):
            return self._answer("login", "wrong")
        if self.next_steps.trusted.get(request.headers.get("X-Trust-Token", "")) == account.email:
            return self._answer("login", "right", **self._token_values(self.users.issue_tokens(account.email)))
        values = self.next_steps.start(account.email, wants_page=_STEPS[account.case])
        return self._answer("login", account.case, **values)

    def _social(self, values: Mapping[str, Any]) -> Answer | Response:  # noqa: PLR0911, C901  # one for each refusal
        provider = self._social_login.provider_id(values.get("provider"))
        if provider is None:
            return self._answer("social", "not_found")
        body = request.get_json(silent=True)
        body = body if isinstance(body, dict) else {}
        token = self._social_login.token(provider, values)
        email, unsigned_name = body.get("email", ""), body.get("unsigned_name")
        if not token or not isinstance(email, str):
            return self._answer("social", "invalid", "invalid_token")
        account = self._social_login.account(provider, token)
        if account is None:
            return self._answer("social", "invalid_token")
        failure = self._social_login.failure(provider, token)
        if failure and failure.respond:
            return failure.respond()
        email = account.email or email or None
        if failure and failure.transform is ask_for_next_step:
            values = self.next_steps.start("nextstep@example.com")
            return self._answer("login", "next_step", "wrong", **values)
        identity = (provider, account.subject)
        wants_fields = failure and failure.transform is ask_for_fields and self._has("social", "fields")
        if wants_fields and identity not in self.users.users:
            return self._answer("social", "fields", **self.sign_ups.start(identity))
        if email in self.users.users and identity not in self.users.users:
            return self._answer("social", "taken")
        names = {"name": account.name or (unsigned_name and str(unsigned_name)), "nick_name": account.nickname}
        user_id = self._new_user_id()
        is_new = self.users.add_user(identity, user_id, **names, email=email)
        answer_values = self._token_values(self.users.issue_tokens(identity))
        if failure and failure.transform:
            answer_values["token"] = failure.transform(answer_values["token"])
        return self._answer("social", "created" if is_new else "right", "right", **answer_values)

    def _social_register(self, values: Mapping[str, Any]) -> Answer:
        """Create the account of a challenge that `social` has answered with."""
        identity = self.sign_ups.user_key(values.get("challenge"))
        if identity is None:
            return self._answer("social_register", "over")
        if str(values.get("phone", "")) == TAKEN_PHONE:
            return self._answer("social_register", "refused")
        if values.get("email") in self.users.users:
            return self._answer("social_register", "taken")
        self.sign_ups.end(values.get("challenge"))
        user_id, email = self._new_user_id(), values.get("email")
        self.users.add_user(identity, user_id, name=values.get("name"), nick_name=None, email=email)
        return self._answer("social_register", "right", **self._token_values(self.users.issue_tokens(identity)))

    # --- Connected providers: one user has several keys

    def _link(self, values: Mapping[str, Any]) -> Answer:
        user = self.users.user(values.get("token"))
        if user is None:
            return self._answer("user", "dead_token")
        provider = self._social_login.provider_id(values.get("provider"))
        account = self._social_login.account(provider, self._social_login.token(provider, values)) if provider else None
        if provider is None or account is None:
            return self._answer("link", "refused", "right")
        identity = (provider, account.subject)
        if self.users.users.setdefault(identity, user) is not user:
            return self._answer("link", "linked")
        return self._answer("link", "right")

    def _unlink(self, values: Mapping[str, Any]) -> Answer:
        user = self.users.user(values.get("token"))
        if user is None:
            return self._answer("user", "dead_token")
        name = str(values.get("provider") or values.get("account"))
        keys = self._keys_of(user)
        linked = [key for key in keys if not isinstance(key, str) and self._social_login.backend_name(key[0]) == name]
        if len(keys) == len(linked):
            return self._answer("unlink", "last_way")
        for key in linked:
            del self.users.users[key]
        return self._answer("unlink", "right")

    def _links(self, values: Mapping[str, Any]) -> Answer:
        user = self.users.user(values.get("token"))
        if user is None:
            return self._answer("user", "dead_token")
        names = [self._social_login.backend_name(key[0]) for key in self._keys_of(user) if not isinstance(key, str)]
        answer = self._recorded.calls["links"].answers["right"]
        if isinstance(answer.json, list):  # an object for each
            items = [{**_user_values(user), "provider": name, "account": name} for name in names]
            return replace(answer, json=[exchanges.fill(answer.json[0], each) for each in items])
        return self._answer("links", "right", providers=names, **_user_values(user))

    def _keys_of(self, user: Mapping[str, Any]) -> list[UserKey]:
        return [key for key, each in list(self.users.users.items()) if each is user]

    def _refresh(self, values: Mapping[str, Any]) -> Answer:
        call = self._recorded.calls["refresh"]
        if exchanges.has_name(call.request, "refresh_token"):
            rotate = exchanges.has_name(call.answers["right"], "new_refresh_token")
            tokens = self.users.refresh(values.get("refresh_token"), rotate=rotate)
        else:
            tokens = self.users.renew(values.get("token"), once=self._recorded.renews_once)
        if tokens is None:
            return self._answer("refresh", "refused")
        return self._answer("refresh", "right", **self._token_values(tokens))

    def _current_user(self, values: Mapping[str, Any]) -> Answer:
        user = self.users.user(values.get("token"))
        if user is None:
            return self._answer("user", "dead_token")
        if user["email"] == _NO_USER:
            return self._answer("user", "no_user", "right", **_user_values(user))
        return self._answer("user", "right", **{**values, **_user_values(user)})

    def _logout(self, values: Mapping[str, Any]) -> Answer:
        token, refresh_token = values.get("token"), values.get("refresh_token")
        headers = self._recorded.calls["logout"].request.headers
        if any("{token}" in text for text in headers.values()) and self.users.user(token) is None:
            return self._answer("user", "dead_token")
        for one in (refresh_token, token):
            self.users.end_session(one, keep_access_tokens=self._recorded.survives_logout)
        return self._answer("logout", "right")

    def _save_profile(self, values: Mapping[str, Any]) -> Answer:
        user = self.users.user(values.get("token"))
        if user is None:
            return self._answer("user", "dead_token")
        if len(str(values.get("name") or "")) > MAX_NAME_LENGTH and self._has("profile", "invalid"):
            return self._answer("profile", "invalid")
        template = self._recorded.calls["profile"].request
        user.update({name: values.get(name) for name in ("name", "nick_name") if exchanges.has_name(template, name)})
        return self._answer("profile", "right", **_user_values(user))

    def _verify(self, values: Mapping[str, Any]) -> Answer | Response:
        if "challenge" not in values:  # identified by the credentials
            account = _find_account(str(values.get("identifier")))
            if account is None or values.get("password") != PASSWORD:
                return self._answer("login", "wrong")
            values = {**values, **self.next_steps.start(account.email)}
        return self._finish("verify", values, CODE)

    def _verify_recovery_code(self, values: Mapping[str, Any]) -> Answer | Response:
        return self._finish("verify_recovery_code", values, RECOVERY_CODE)

    def _finish(self, call: str, values: Mapping[str, Any], right_code: str) -> Answer | Response:
        case, user_key = self.next_steps.finish(values.get("challenge"), values.get("code"), right_code)
        if case != "right":
            return self._answer(call if self._has(call, case) else "verify", case, "wrong")
        body = request.get_json(silent=True) or {}
        trusted = {"trust_token": self.next_steps.trust(user_key)} if body.get("trust") is True else {}
        tokens = self._token_values(self.users.issue_tokens(user_key))
        return self._answer(call, "right", **{"trust_token": None, **trusted, **tokens})

    def _resend(self, values: Mapping[str, Any]) -> Answer:
        is_waiting = self.next_steps.is_waiting(values.get("challenge"))
        return self._answer("resend", "right" if is_waiting else "over", "right")

    # --- The calls of forms about an account

    def _register(self, values: Mapping[str, Any]) -> Answer:
        identifier, password = str(values.get("identifier", "")), str(values.get("password", ""))
        email = str(values.get("email") or identifier).lower()
        if self._email_of(identifier) or email in self._passwords:
            return self._answer("register", "taken", "right", **dict.fromkeys(_NAMES))
        if len(password) < MIN_PASSWORD_LENGTH and self._has("register", "weak"):
            return self._answer("register", "weak")
        names = {"name": values.get("name") or identifier.partition("@")[0], "nick_name": values.get("nick_name")}
        user = {"id": self._new_user_id(), **names, "email": email}
        self.users.users[email], self._passwords[email] = user, password
        if "verify_email" in self._recorded.calls and self.settings["verifies_addresses"]:
            self._unverified.add(email)
            self._send("verify_email", email, "Verify your email address")
        has_token = exchanges.has_name(self._recorded.calls["register"].answers["right"], "token")
        values = self._token_values(self.users.issue_tokens(email)) if has_token else _user_values(user)
        return self._answer("register", "right", **values)

    def _forgot(self, values: Mapping[str, Any]) -> Answer:
        email = self._email_of(str(values.get("identifier") or values.get("email", "")))
        if email is None:
            return self._answer("forgot", "unknown", "right")
        self._send("reset", email, "Choose a new password")
        return self._answer("forgot", "right", email=email)

    def _reset(self, values: Mapping[str, Any]) -> Answer:
        code, password = str(values.get("code")), str(values.get("new_password", ""))
        email = self._codes.get(("reset", code))
        if email is None or (values.get("identifier") and self._email_of(str(values["identifier"])) != email):
            return self._answer("reset", "bad_code")
        if len(password) < MIN_PASSWORD_LENGTH and self._has("reset", "weak"):
            return self._answer("reset", "weak")
        del self._codes["reset", code]
        self._passwords[email] = password
        if not exchanges.has_name(self._recorded.calls["reset"].answers["right"], "token"):
            return self._answer("reset", "right", email=email)
        return self._answer("reset", "right", **self._token_values(self.users.issue_tokens(email)))

    def _verify_email(self, values: Mapping[str, Any]) -> Answer:
        email = self._codes.pop(("verify_email", str(values.get("code"))), None)
        if email is None:
            return self._answer("verify_email", "bad_code")
        self._unverified.discard(email)
        self._verified.add(email)
        return self._answer("verify_email", "right", **_user_values(self.users.users[email]))

    def _resend_verification(self, values: Mapping[str, Any]) -> Answer:
        email = self._email_of(str(values.get("identifier") or values.get("email", "")))
        account = _find_account(email or "")
        is_waiting = account and account.case == "unverified" and email not in self._verified
        if email is None or not (is_waiting or email in self._unverified):
            return self._answer("resend_verification", "unknown", "right")
        self._send("verify_email", email, "Verify your email address")
        return self._answer("resend_verification", "right", email=email)

    def _change_password(self, values: Mapping[str, Any]) -> Answer:
        user = self.users.user(values.get("token"))
        if user is None:
            return self._answer("user", "dead_token")
        email, password = str(user["email"]), str(values.get("new_password", ""))
        wants_current = self._has("change_password", "wrong")
        if wants_current and values.get("password") != self._passwords.get(email):
            return self._answer("change_password", "wrong")
        if len(password) < MIN_PASSWORD_LENGTH and self._has("change_password", "weak"):
            return self._answer("change_password", "weak")
        self._passwords[email] = password
        if not exchanges.has_name(self._recorded.calls["change_password"].answers["right"], "token"):
            return self._answer("change_password", "right", **_user_values(user))
        return self._answer("change_password", "right", **self._token_values(self.users.issue_tokens(email)))

    def _passkey_options(self, _: Mapping[str, Any]) -> Answer:
        return self._answer("passkey_options", "right", **self._passkeys.ask(None))

    def _passkey(self, values: Mapping[str, Any]) -> Answer:
        case, user_key = self._passkeys.sign_in(values.get("challenge"), values.get("credential"))
        if case != "right":
            return self._answer("passkey", case, "wrong")
        return self._answer("passkey", "right", **self._token_values(self.users.issue_tokens(user_key)))

    def _confirm_password(self, values: Mapping[str, Any]) -> Answer:
        user = self.users.user(values.get("token"))
        if user is None:
            return self._answer("user", "dead_token")
        if values.get("password") != self._passwords.get(str(user["email"])):
            return self._answer("confirm_password", "wrong")
        self._passkeys.confirmed.add(str(values.get("token")))
        return self._answer("confirm_password", "right", **_user_values(user))

    def _passkey_register_options(self, values: Mapping[str, Any]) -> Answer:
        user, token = self.users.user(values.get("token")), str(values.get("token"))
        if user is None:
            return self._answer("user", "dead_token")
        if "confirm_password" in self._recorded.calls and token not in self._passkeys.confirmed:
            return self._answer("passkey_register_options", "sign_in_again", **_user_values(user))
        options = self._passkeys.ask(user["email"])
        return self._answer("passkey_register_options", "right", **options, **_user_values(user))

    def _passkey_register(self, values: Mapping[str, Any]) -> Answer:
        user = self.users.user(values.get("token"))
        if user is None:
            return self._answer("user", "dead_token")
        device = values.get("device")
        is_new = self._passkeys.register(
            user["email"],
            values.get("challenge"),
            values.get("credential"),
            device=device,
            created_at=self.users.now(),
        )
        values = {**_user_values(user), "device": device}
        return self._answer("passkey_register", "right" if is_new else "wrong", **values)

    def _passkey_list(self, values: Mapping[str, Any]) -> Answer:
        user = self.users.user(values.get("token"))
        if user is None:
            return self._answer("user", "dead_token")
        answer = self._recorded.calls["passkey_list"].answers["right"]
        template = answer.json if isinstance(answer.json, list) else answer.json["data"]
        passkeys = self._passkeys.listed(user["email"])
        items = [exchanges.fill(template[0], {**about, **_user_values(user)}) for about in passkeys]
        return replace(answer, json=items if template is answer.json else {**answer.json, "data": items})

    def _passkey_remove(self, values: Mapping[str, Any]) -> Answer:
        user, token = self.users.user(values.get("token")), str(values.get("token"))
        if user is None:
            return self._answer("user", "dead_token")
        if "confirm_password" in self._recorded.calls and token not in self._passkeys.confirmed:
            return self._answer("passkey_remove", "sign_in_again", **_user_values(user))
        self._passkeys.remove(user["email"], values.get("passkey"))
        return self._answer("passkey_remove", "right")

    def _send(self, call: str, email: str, subject: str) -> None:
        """Keep a mail with a link to the page of this call, or with a code where the backend sends one."""
        code = secrets.token_urlsafe(24)
        request = self._recorded.calls[call].request
        backend = backends.find(self._protocol)
        values = {"code": code, "uid": "MQ", "identifier": email}
        placeholder_names = {name for name in values if exchanges.has_name(request, name)}
        names = {name: backend.mail_link_parameters[name].partition("|")[0] for name in sorted(placeholder_names)}
        path = {"reset": "/auth/password/reset", "verify_email": "/auth/email/verify"}[call]
        self._codes[call, code] = email
        query = urlencode({parameter: values[name] for name, parameter in names.items()})
        self.mails.append(Mail(email, subject, f"{path}?{query}", code))

    def _email_of(self, identifier: str) -> str | None:
        """Return the email address of the account with this identifier, also of one that somebody has created."""
        text = identifier.strip().lower()
        account = _find_account(text)
        if account:
            return account.email
        return next((str(key) for key in self._passwords if text in (key, key.partition("@")[0])), None)

    # --- Their answers

    def _has(self, call: str, case: str) -> bool:
        return case in self._recorded.calls[call].answers

    def _answer(self, call: str, case: str, or_else: str = "", **values: Any) -> Answer:
        """Return the recorded answer in this case, or if there is none, the one in the case `or_else`."""
        case = case if self._has(call, case) or not or_else else or_else
        answer = self._recorded.calls[call].answers.get(case) or _NOT_RECORDED[case]
        now = int(self.users.now())
        times = {"expires_at": now + (self.users.life or 0), "in_40_seconds": now + 40}
        return exchanges.fill_answer(answer, times | values)

    def _token_values(self, tokens: Tokens) -> dict[str, Any]:
        return {
            "token": tokens.access,
            "new_token": tokens.access,
            "refresh_token": tokens.refresh,
            "new_refresh_token": tokens.refresh,
            **_user_values(self.users.users[tokens.user_key]),
        }


def _has_value(call: Call, template: str) -> bool:
    """Whether this request has a field in which this call has only this template."""
    body = request.get_json(silent=True)
    names = [name for name, text in (call.request.json or call.request.form or {}).items() if text == template]
    return any(name in (body if isinstance(body, dict) else request.form) for name in names)


def _user_values(user: Mapping[str, Any]) -> dict[str, Any]:
    if user["email"] == _NO_USER:
        user = dict.fromkeys(user)
    first_name, _, last_name = (user["name"] or "").partition(" ")
    names = {"first_name": first_name, "last_name": last_name}
    return {
        "user_id": user["id"],
        "name": user["name"],
        "nick_name": user["nick_name"],
        "email": user["email"],
        **names,
    }


def _find_account(identifier: str) -> Account | None:
    """Return the account with this email address, user name or telephone number, or None."""
    text = identifier.strip().lower()
    for account in ACCOUNTS:
        if text in (account.email, account.username) or text.replace("-", "") == account.phone.replace("-", ""):
            return account
    return None


def _other_identifier() -> Any:
    """Return the identifier of a request that has it in another place than the recorded one."""
    body = request.get_json(silent=True)
    body = body if isinstance(body, dict) else request.form
    return next((body[name] for name in ("email", "username", "phone", "identifier") if body.get(name)), None)


def _read_request(template: exchanges.Request) -> dict[str, Any] | None:
    """Return what the request has in the places of the names in the template, None if its constants differ."""
    query = dict(parse_qsl(template.path.partition("?")[2]))
    parts = [
        exchanges.read(query, request.args),
        exchanges.read(template.headers, {name: request.headers.get(name) for name in template.headers}),
        exchanges.read(template.json or {}, request.get_json(silent=True)),
        exchanges.read(template.form or {}, request.form),
    ]
    return None if None in parts else {name: value for part in parts if part for name, value in part.items()}


def _response(answer: Answer | Response) -> Response:
    if isinstance(answer, Response):
        return answer
    response = Response(answer.body, answer.status)
    del response.headers["Content-Type"]  # an empty body has none
    response.headers.extend(answer.all_headers)
    return response
