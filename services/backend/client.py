"""The client for the backend. It runs the calls that a file of `backends/` describes, for any kind of backend.

The meaning of each answer is documented in `docs/decisions/0005-what-a-backends-answer-means.md`.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

import errors
from backends.base import BEARER_HEADER, SIGN_UP_FIELDS, WITHOUT_ACCESS_TOKEN, Call, placeholders, placeholders_of
from config import Settings
from providers.base import Identity
from services.backend import answer_errors, next_step, results, templates
from services.backend.answer import Answer
from services.backend.next_step import Step
from services.backend.results import Login
from services.backend.tokens import Tokens
from services.backend.user import User
from services.clock import Clock
from services.http.client import HttpClient, UpstreamError
from services.request_context import RequestContext

log = logging.getLogger("munjigi.backend")

LOGOUT_TIMEOUT_SECONDS = 3.0
"""The timeout for revoking a token: the person waits for it, and is signed out in any case."""
_MIN_LOGOUT_TIMEOUT_SECONDS = 0.4
"""The timeout if the request has less time left than this."""


class Revocation(Enum):
    """The result of a logout at the backend."""

    REVOKED = "revoked"
    """The backend no longer accepts the token."""
    ACCEPTED = "accepted"
    """The backend has logged the session out, but its access tokens stay valid until they expire."""
    UNSUPPORTED = "unsupported"
    """The backend has no such call."""
    FAILED = "failed"


class StepRequired(errors.SecondFactorRequired):
    """The credentials are right, and the backend requires a next step that the site has a page for."""

    def __init__(self, step: Step, reason: str) -> None:
        super().__init__(reason)
        self.step = step


class BackendClient:
    def __init__(self, settings: Settings, http: HttpClient, clock: Clock) -> None:
        self._url = settings.backend_url
        self._backend = settings.backend
        self._constants = {"BACKEND_ORIGIN": _origin(settings.backend_url), **settings.backend_constants}
        if settings.backend_events_token:
            self._constants["BACKEND_EVENTS_TOKEN"] = settings.backend_events_token
        self._next_step_origins = settings.backend_next_step_urls
        self._claims = settings.user_claims
        self._shows_messages = settings.backend_show_messages
        self._with_token_header = frozenset(filter(self._sends_token_header, self._backend.calls))
        self._further_fields = {name: each.key for each in settings.register_fields for name in (each.key, each.name)}
        fields = answer_errors.form_fields(self._backend.calls.get("social_register"))
        own = {name: field for name, field in fields.items() if field in SIGN_UP_FIELDS}
        self._sign_up_fields = own | self._further_fields
        """The backend's name of a field -> its name in the form of `social_register`."""
        self._site_url = settings.site_url
        self._http = http
        self._clock = clock

    @property
    def can_reread_user(self) -> bool:
        """Whether the user of a token can be read at any time, and not only from the answer to the login."""
        return self._backend.user is not None

    @property
    def can_save_profile(self) -> bool:
        return self._backend.profile is not None

    def can_refresh(self, *, has_refresh_token: bool) -> bool:
        """See `Backend.can_refresh`."""
        return self._backend.can_refresh(has_refresh_token=has_refresh_token)

    @property
    def refresh_reuse_seconds(self) -> int:
        """See `Backend.refresh_reuse_seconds`."""
        return self._backend.refresh_reuse_seconds

    @property
    def can_resend(self) -> bool:
        """Whether the code of a next step can be sent again."""
        return self._backend.resend is not None

    @property
    def can_trust(self) -> bool:
        """Whether the backend can be told that this browser needs no second factor the next time."""
        return self._backend.next_step.trust

    @property
    def wants_password_again(self) -> bool:
        """Whether the password is sent again with the code of a next step."""
        calls = (self._backend.verify, self._backend.verify_recovery_code, self._backend.resend)
        return any("password" in placeholders(part) for call in calls if call for part in (call.body, call.headers))

    def login(self, identifier: str, password: str, context: RequestContext, trust_token: str | None = None) -> Login:
        """Exchange credentials for the backend's tokens. The request is sent once. Raises a `SiteError`.

        Raises `StepRequired` if the backend requires a next step. trust_token: from the trusted browser cookie.
        """
        values, call = {"identifier": identifier, "password": password}, self._backend.login
        if trust_token and call:
            values["trust_token"] = trust_token
            call = replace(call, headers={**call.headers, **self._backend.next_step.trust_headers})
        return self._sign_in("login", values, context, secret=password, call=call)

    def social_login(self, name: str, identity: Identity, with_email: bool, context: RequestContext) -> Login:
        """The same for a person whose identity a provider has proven.

        name: the backend's name of the provider. with_email: send the address too, if the provider has verified it. A
        name that is not in a signed token is sent as `unsigned_name`, if the call has that placeholder.
        """
        email = {"email": identity.email} if with_email and identity.email_verified else {}
        unsigned_name = {"unsigned_name": identity.name} if identity.name and identity.name_is_unsigned else {}
        values = {"provider": name, **social_tokens(identity), **email, **unsigned_name}
        return self._sign_in("social", values, context, secret=identity.social_token)

    def passkey_login(self, credential: Mapping[str, Any], challenge: str | None, context: RequestContext) -> Login:
        """The same for a person who has answered the options of `PasskeyCalls` with a passkey.

        credential: the browser's answer. challenge: the backend's id of the options.
        """
        values = passkey_values(self._backend.passkey, credential, challenge)
        return self._sign_in("passkey", values, context, secret=str(credential["id"]))

    @property
    def wants_social_token_again(self) -> bool:
        """Whether the provider's token has to be sent again with the fields of a new account."""
        call = self._backend.calls.get("social_register")
        return call is not None and "social_token" in placeholders_of(call)

    def social_register(
        self, step: Step, values: templates.Values, further: Mapping[str, object], context: RequestContext
    ) -> Login:
        """Create the account of a person whose identity a provider has proven. Sent once; raises a `SiteError`.

        values: of the placeholders of the call. further: values of `REGISTER_FIELDS`, by their names in the body.
        Raises `StepRequired` if further fields or a next step are required, `InvalidFields` with a message per field.
        """
        site = {"challenge": step.challenge, "site_url": self._site_url, "locale": context.locale}
        values = {name: value for name, value in {**site, **values}.items() if value is not None}
        answer = self.call("social_register", values, context, further=further)
        meaning = answer_errors.declared_meaning(self._backend, "social_register", answer)
        if answer_errors.has_fields_error(self._backend, answer, meaning):
            error = answer_errors.fields_error(self._backend, "social_register", answer, self._further_fields)
            if isinstance(error, errors.InvalidFields) and not set(self._sign_up_fields.values()) >= set(error.fields):
                raise errors.AttemptExpired(f"{error.reason}: errors for the challenge or the token")
            if error:
                raise error
        secret = str(values.get("social_token") or step.challenge)
        return self._login_of("social_register", answer, secret=secret, last_step=step)

    def verify(
        self, step: Step, method: str, code: str, context: RequestContext, *, trust: bool, values: templates.Values
    ) -> Login:
        """Send the code of a next step. The request is sent once. Raises a `SiteError`.

        method: its name. values: `identifier` and `password` of the sign-in, if they are known.
        """
        name, call = next_step.call_of(self._backend, step, method)
        values = {**_step_values(step, method), **values, **({"code": code} if code else {})}
        if self.can_trust:
            values["trust"] = trust
        return self._sign_in(name, values, context, secret=code or step.challenge or name, call=call, last_step=step)

    def resend(self, step: Step, method: str, context: RequestContext, values: templates.Values) -> Step:
        """Let the backend send a code. Returns the step as it is afterwards."""
        answer = self.call("resend", {**_step_values(step, method), **values}, context)
        answer_errors.check_resend(self._backend, answer)
        return next_step.after_resend(self._backend, answer, step)

    def sends_first(self, step: Step, method: str) -> bool:
        """Whether this method needs a code that the backend has not sent yet."""
        return self.can_resend and step.methods.get(method) in self._backend.next_step.resend_first

    def user_of(self, login: Login, context: RequestContext) -> User:
        """Return the user who has just signed in; raises a `SiteError`."""
        if self._backend.user_from_login:
            return results.user(self._backend, "user", login.answer, self._claims)
        return self.user(login.tokens.access, context)

    def user(self, access_token: str, context: RequestContext, within: float | None = None) -> User:
        """Return the user of a token; raises `SessionExpired` if the backend no longer accepts it.

        within: seconds, by default what is left of the request's deadline.
        """
        answer = self.call("user", {"token": access_token}, context, within=within, retry=True)
        return results.user(self._backend, "user", answer, self._claims)

    def save_profile(
        self, access_token: str, user: User, name: str | None, nick_name: str | None, context: RequestContext
    ) -> User | None:
        """Save both names. Returns the user as the backend has it afterwards; None if the backend cannot return it."""
        values = {"token": access_token, "user_id": user.id, "name": name, "nick_name": nick_name}
        answer = self.call("profile", values, context)
        answer_errors.check_profile(self._backend, answer)
        if results.has_user(self._backend, answer):
            saved_user = results.user(self._backend, "profile", answer, self._claims)
            return replace(saved_user, claims={**user.claims, **saved_user.claims})  # the answer may lack some
        return self.user(access_token, context) if self.can_reread_user else None

    def refresh(self, tokens: Tokens, context: RequestContext, within: float | None = None) -> Tokens:
        """Exchange tokens for new ones. The request is sent once: a backend may accept a refresh token only once.

        Raises `SessionExpired` if the backend refuses, and another `SiteError` if the outcome is not certain. Its
        `retry_after` is what the backend has asked for.
        """
        answer = self.call("refresh", _values(tokens), context, within=within)
        try:
            new = results.tokens(self._backend, "refresh", answer, self._clock.time())
        except errors.SiteError as error:
            error.may_be_refusal = answer_errors.may_be_refusal(self._backend, answer)
            error.retry_after = error.retry_after and answer_errors.retry_after(self._backend, answer)
            raise
        if new.refresh:
            return new
        refresh_expires_at = new.refresh_expires_at or tokens.refresh_expires_at
        return replace(new, refresh=tokens.refresh, refresh_expires_at=refresh_expires_at)

    @property
    def takes_provider_events(self) -> bool:
        return "provider_event" in self._backend.calls

    def send_provider_event(self, values: templates.Values, context: RequestContext) -> None:
        """Pass a provider's event to the backend. Raises a `SiteError` unless it answers 2xx.

        It may be sent more than once, with the same `event_id`.
        """
        answer = self.call("provider_event", values, context, retry=True)
        meaning = answer_errors.declared_meaning(self._backend, "provider_event", answer)
        if meaning is not None or not 200 <= answer.status < 300:
            raise answer_errors.call_error(self._backend, "provider_event", answer, meaning)

    def logout(self, tokens: Tokens, context: RequestContext) -> Revocation:
        """Revoke tokens. Never raises an error."""
        if self._backend.logout is None:
            return Revocation.UNSUPPORTED
        within = min(LOGOUT_TIMEOUT_SECONDS, max(context.deadline.seconds_left(), _MIN_LOGOUT_TIMEOUT_SECONDS))
        each = [_values(tokens)]
        if self._backend.logout_each_token and "refresh_token" not in placeholders_of(self._backend.logout):
            each = [{"token": token} for token in (tokens.refresh, tokens.access) if token]
        try:
            for values in each:
                answer = self.call("logout", values, context, within=within / len(each), retry=True)
                answer_errors.check_logout(self._backend, answer)
        except errors.SiteError as error:
            log.error("token not revoked: %s", error.reason)
            return Revocation.FAILED
        return Revocation.REVOKED if self._backend.logout_revokes else Revocation.ACCEPTED

    def _sign_in(
        self,
        name: str,
        values: templates.Values,
        context: RequestContext,
        *,
        secret: str,
        call: Call | None = None,
        last_step: Step | None = None,
    ) -> Login:
        answer = self.call(name, values, context, call=call)
        return self._login_of(name, answer, secret=secret, last_step=last_step)

    def _login_of(self, name: str, answer: Answer, *, secret: str, last_step: Step | None) -> Login:
        try:
            tokens = results.tokens(self._backend, name, answer, self._clock.time())
            return Login(tokens, answer, next_step.trust_token(self._backend, answer))
        except errors.SecondFactorRequired as error:
            if isinstance(error, errors.FieldsRequired):
                step = next_step.read_sign_up(self._backend, answer, self._sign_up_fields, last_step)
            else:
                step = next_step.read_step(self._backend, answer, self._next_step_origins, last_step)
            if step is None:
                raise
            raise StepRequired(step, error.reason) from None
        except errors.SiteError as error:
            if self._shows_messages:
                error.backend_message = answer_errors.refusal_message(self._backend, answer, error, secret)
            raise

    def call(
        self,
        name: str,
        values: templates.Values,
        context: RequestContext,
        *,
        within: float | None = None,
        retry: bool = False,
        further: Mapping[str, object] | None = None,
        call: Call | None = None,
    ) -> Answer:
        """Make the call with this name. Raises a `SiteError` if there is no answer.

        values: of the placeholders of its templates. within: the timeout in seconds. retry: as in `HttpClient.send`.
        further: members to add to the body; a dot in a name makes an object.
        call: replaces the call with this name.
        """
        call = call or getattr(self._backend, name)
        if call is None:
            raise errors.Configuration(f"the backend {self._backend.id} has no {name} call: set BACKEND_{name.upper()}")
        if within is None:
            within = context.deadline.seconds_left()
        values = {**self._constants, **values}
        try:
            path = templates.fill_path(call.path or "", values)
            headers = self._headers(name, call, values, context)
            body = None if call.body is None else templates.fill_body(call.body, values)
            if further:
                body = templates.with_members(body or {}, further)
            url = path if "://" in path else self._url + path
            content = {"form": body} if call.form else {"json": body}
            return Answer(self._http.send(call.method, url, headers, within=within, retry=retry, **content))
        except ValueError as error:
            raise errors.BackendUnavailable(f"the {name} path was not called: {error}") from None
        except UpstreamError as error:
            unavailable = errors.BackendUnavailable(f"{call.path}: {error.reason}", status=error.status)
            unavailable.was_sent, unavailable.was_answered = error.was_sent, False
            raise unavailable from None

    def url(self, name: str) -> str:
        """The URL of a call, with its placeholders."""
        path = self._backend.calls[name].path or ""
        return path if "://" in path else self._url + path

    def token_header(self, access_token: str) -> tuple[str, str]:
        """Name and value of the header with which an app sends the access token to an API of the backend.

        It is the header of the calls to the backend, or a bearer token (RFC 6750) if they send the token elsewhere. The
        value is empty if the token cannot be sent in a header.
        """
        name, _, template = (self._backend.token_header or BEARER_HEADER).partition(":")
        try:
            headers = templates.fill_headers({name: template.strip()}, {**self._constants, "token": access_token})
        except ValueError as error:
            log.error("access token not forwarded: %s", error)
            return name, ""
        return name, headers.get(name, "")

    def _headers(self, name: str, call: Call, values: templates.Values, context: RequestContext) -> Mapping[str, str]:
        """The headers of a call, without Origin, Referer and Cookie: with these, Sanctum would require a CSRF token."""
        headers = {
            # Laravel answers a wrong password with a redirect to HTML unless JSON is the first type here.
            "Accept": "application/json",
            **templates.fill_headers(self._backend.headers, values),
            "Accept-Language": context.accept_language,
            "X-Request-Id": context.request_id,
        }
        if call.form:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        if context.client_ip:
            headers["X-Forwarded-For"] = context.client_ip
        if name in self._with_token_header:
            header, _, template = self._backend.token_header.partition(":")
            headers |= templates.fill_headers({header: template.strip()}, values)
        own = templates.fill_headers(call.headers, values)
        if "Cookie" in headers and "Cookie" in own:  # the token and another value
            own["Cookie"] = f"{headers['Cookie']}; {own['Cookie']}"
        return headers | own

    def _sends_token_header(self, name: str) -> bool:
        """As `Backend.token_header` documents."""
        call = self._backend.calls[name]
        if not self._backend.token_header or name in WITHOUT_ACCESS_TOKEN:
            return False
        if name == "refresh" and self._backend.refresh_token:
            return False
        return not any("token" in placeholders(template) for template in (call.path, call.body, call.headers))


def passkey_values(call: Call | None, credential: Mapping[str, Any], challenge: str | None) -> dict[str, Any]:
    """The values of a call that sends a browser's answer. In form data, the answer is JSON text."""
    answer = json.dumps(credential) if call and call.form else credential
    return {"credential": answer, **({} if challenge is None else {"challenge": challenge})}


def social_tokens(identity: Identity) -> dict[str, str]:
    """The values of a call that sends a token of the provider."""
    tokens = {"access_token": identity.access_token, "id_token": identity.id_token}
    return {"social_token": identity.social_token, **{name: token for name, token in tokens.items() if token}}


def _step_values(step: Step, method: str) -> dict[str, str]:
    values = {"challenge": step.challenge, "ticket": step.ticket, "method": method or None}
    return {name: value for name, value in values.items() if value is not None}


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _values(tokens: Tokens) -> dict[str, str]:
    return {"token": tokens.access, **({"refresh_token": tokens.refresh} if tokens.refresh else {})}
