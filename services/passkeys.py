"""The use cases of passkeys: get options for a browser; add, list and remove passkeys of the signed-in person.

The backend stores the passkeys. The site passes the backend's options to the browser, and the browser's answer to the
backend. The challenge and the purpose of the options are sealed in a cookie: an answer is accepted once, from the
browser that requested the options, and for that purpose. `services/sign_in.py` signs in with an answer.
"""

import binascii
import hmac
import logging
import re
import secrets
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import errors
from config import Settings
from services.backend.passkey_calls import Options, Passkey, PasskeyCalls
from services.clock import MAX_DIFFERENCE_SECONDS, Clock
from services.http import strict_json
from services.limits.rate_limiter import RateLimiter
from services.observability.audit import AuditLog, account_hash
from services.observability.user_agent import parse_user_agent
from services.request_context import RequestContext
from services.response_cookies import MAX_COOKIE_SIZE, Cookie, prefixed
from services.sealing import Sealer
from services.sessions.manager import Sessions
from services.sessions.model import Session
from services.state.redis import Redis
from services.state.used_tokens import UsedTokens

PROVIDER = "passkey"
"""`Session.provider` of a sign-in with a passkey."""
MAX_AGE_SECONDS = 10 * 60
"""A sign-in page may be open for a while before somebody chooses a passkey from the suggestions of its field."""
MAX_CREDENTIAL_LENGTH = 16 * 1024
"""Characters of a browser's answer. A new passkey with a chain of certificates has about 8,000."""
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}")
_LABEL = re.compile(r"[a-zA-Z0-9._:-]{1,64}")

log = logging.getLogger("munjigi.passkeys")


class Purpose(StrEnum):
    """What a browser's answer is for. The values are those of its member `type` (Web Authentication, 5.8.1)."""

    SIGN_IN = "webauthn.get"
    REGISTER = "webauthn.create"


_REQUIRED = {
    Purpose.SIGN_IN: ("clientDataJSON", "authenticatorData", "signature"),
    Purpose.REGISTER: ("clientDataJSON", "attestationObject"),
}


@dataclass(frozen=True)
class BrowserAnswer:
    """A well-formed answer of a browser. Only the backend can tell whether it is genuine."""

    credential: Mapping[str, Any] = field(repr=False)
    type: str
    challenge: str = field(repr=False)

    @property
    def id(self) -> str:
        return str(self.credential["id"])


@dataclass(frozen=True, kw_only=True)
class _OptionsRecord:
    """What the site has to remember about the options that this browser received."""

    purpose: str
    challenge: str
    """The challenge of the options, encoded as in the browser's answer."""
    handle: str | None
    """The backend's id of the options; None if it has none."""
    visitor: str | None
    user_id: str | None
    """The user who is adding a passkey; None for a sign-in."""
    expires_at: int
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))


class Passkeys:
    def __init__(
        self,
        settings: Settings,
        *,
        calls: PasskeyCalls,
        sessions: Sessions,
        limiter: RateLimiter,
        redis: Redis | None,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._name = prefixed("munjigi.passkey", settings)
        self._sealer = Sealer(settings.secret_keys, "passkey")
        self._used = UsedTokens("munjigi:passkey", MAX_AGE_SECONDS + MAX_DIFFERENCE_SECONDS, redis, clock)
        self._calls = calls
        self._sessions = sessions
        self._limiter = limiter
        self._audit = audit
        self._clock = clock

    def options(self, context: RequestContext) -> Mapping[str, Any]:
        """The options of a sign-in, for the browser. Raises a `SiteError`."""
        self._limiter.hit_passkey_options(context)
        return self._ask(Purpose.SIGN_IN, self._calls.options(context), None, context)

    @property
    def wants_password(self) -> bool:
        """Whether a person has to enter the password to add or remove a passkey."""
        return self._calls.wants_password

    def register_options(self, session: Session, password: str, context: RequestContext) -> Mapping[str, Any]:
        """The options with which this person adds a passkey. Raises a `SiteError`.

        password: ignored unless the backend requires it. Raises `WrongPassword` if it is wrong.
        """
        user_id = session.user.id
        with self._failures_audited("passkey_register_options", session, context):
            self._limiter.hit_passkey_options(context)
            if self.wants_password:
                self._confirm(session, password, context)
            options = self._sessions.call_backend(
                session, lambda token: self._calls.register_options({"token": token, "user_id": user_id}, context)
            )
        return self._ask(Purpose.REGISTER, options, str(user_id), context)

    def register(self, session: Session, credential: str, context: RequestContext) -> None:
        """Add a passkey from a browser's answer. Raises a `SiteError` if it was not added."""
        user_id = session.user.id
        with self._failures_audited("passkey_register", session, context):
            self._limiter.hit_ip(context)
            answer = parse(credential)
            if answer is None:
                raise errors.PasskeyNotAdded("the answer of the browser is not valid")
            handle = self.take(Purpose.REGISTER, answer, context, user_id=str(user_id))
            values = {"user_id": user_id, **_device(context)}
            self._sessions.call_backend(
                session,
                lambda token: self._calls.register({"token": token, **values}, answer.credential, handle, context),
            )
        self._audit.record("passkey_added", context, account=self._account(session), sid=session.sid)

    @property
    def can_list(self) -> bool:
        return self._calls.has("passkey_list")

    def list_passkeys(self, session: Session, context: RequestContext) -> list[Passkey]:
        """The passkeys of this person. Raises a `SiteError`."""
        values = {"user_id": session.user.id}
        return self._sessions.call_backend(
            session, lambda token: self._calls.list_passkeys({"token": token, **values}, context)
        )

    def find(self, session: Session, passkey_id: str, context: RequestContext) -> Passkey | None:
        """The passkey of this person with this id, None if there is none. Raises a `SiteError`."""
        return next((each for each in self.list_passkeys(session, context) if str(each.id) == passkey_id), None)

    def remove(self, session: Session, passkey_id: str, password: str, context: RequestContext) -> None:
        """Remove a passkey of this person, if it is still there. Raises a `SiteError`.

        password: ignored unless the backend requires it. Raises `WrongPassword` if it is wrong.
        """
        with self._failures_audited("passkey_remove", session, context):
            self._limiter.hit_ip(context)
            if self.wants_password:
                self._confirm(session, password, context)
            passkey = self.find(session, passkey_id, context)
            if passkey is None:
                return
            values = {"user_id": session.user.id}
            self._sessions.call_backend(
                session, lambda token: self._calls.remove({"token": token, **values}, passkey, context)
            )
        self._audit.record("passkey_removed", context, account=self._account(session), sid=session.sid)

    def take(
        self, purpose: Purpose, answer: BrowserAnswer, context: RequestContext, *, user_id: str | None = None
    ) -> str | None:
        """Use up the options that this answers, and return the backend's id of them.

        Raises `AttemptExpired` if this browser has no such options.
        """
        copies = [copy for value in context.cookies.get(self._name, ()) if (copy := self._open(value, context))]
        self._delete_cookie(context)
        for record in copies:
            is_for_this = (record.purpose, record.user_id) == (purpose, user_id) and answer.type == purpose
            if is_for_this and hmac.compare_digest(record.challenge.encode(), answer.challenge.encode()):
                if not self._used.use(record.id):
                    raise errors.AttemptExpired("the answer to these options was sent before")
                return record.handle
        raise errors.AttemptExpired("the answer does not belong to options of this browser")

    def _confirm(self, session: Session, password: str, context: RequestContext) -> None:
        identifier = session.identifier or session.user.email or ""
        if not password:
            raise errors.WrongPassword("no password was entered")
        reset_limit = self._limiter.hit_sign_in(identifier or str(session.user.id), context)
        values = {"user_id": session.user.id, "identifier": identifier, "password": password}
        self._sessions.call_backend(
            session, lambda token: self._calls.confirm_password({"token": token, **values}, context)
        )
        reset_limit()

    def _account(self, session: Session) -> str | None:
        return account_hash(str(session.user.id), self._settings.secret_key)

    def _ask(
        self, purpose: Purpose, options: Options, user_id: str | None, context: RequestContext
    ) -> Mapping[str, Any]:
        record = _OptionsRecord(
            purpose=purpose,
            challenge=str(options.public_key["challenge"]).rstrip("="),
            handle=options.challenge,
            visitor=context.visitor,
            user_id=user_id,
            expires_at=int(self._clock.time()) + MAX_AGE_SECONDS,
        )
        sealed = self._sealer.seal(self._name, asdict(record)).decode()
        if len(sealed) > MAX_COOKIE_SIZE:
            raise errors.SessionTooLarge(f"the cookie for the options has {len(sealed)} characters")
        self._set_cookie(sealed, MAX_AGE_SECONDS, context)
        return options.public_key

    def _open(self, value: str, context: RequestContext) -> _OptionsRecord | None:
        try:
            data: Any = self._sealer.open(self._name, value.encode())
            record = _OptionsRecord(**data)
        except (ValueError, TypeError):
            return None
        is_this_visitor = hmac.compare_digest(record.visitor or "", context.visitor or "")
        return record if is_this_visitor and self._clock.time() < record.expires_at else None

    def _delete_cookie(self, context: RequestContext) -> None:
        if self._name in context.cookies:
            self._set_cookie("", 0, context)

    def _set_cookie(self, value: str, max_age: int, context: RequestContext) -> None:
        context.response_cookies.set(
            Cookie(
                name=self._name,
                value=value,
                path=self._settings.site_path or "/",
                secure=self._settings.secure,
                max_age=max_age,
            )
        )

    @contextmanager
    def _failures_audited(self, form: str, session: Session, context: RequestContext) -> Iterator[None]:
        try:
            yield
        except errors.SiteError as error:
            level = logging.ERROR if isinstance(error, errors.ServerSideError) else logging.INFO
            fields = {"form": form, "account": self._account(session)}
            fields |= {"outcome": error.code, "reason": error.reason}
            self._audit.record("account_form_failed", context, level, **fields)
            raise


def _device(context: RequestContext) -> dict[str, str]:
    """A name by which people tell a new passkey from their others, if the browser is a known one."""
    browser = parse_user_agent(context.user_agent)
    names = [name for name in (browser.name, browser.system) if name]
    return {"device": ", ".join(names)} if names else {}


def parse(text: str) -> BrowserAnswer | None:
    """The answer in this JSON (Web Authentication Level 3, 5.1.8 and 5.1.9); None if it is not valid.

    Unknown members are left out.
    """
    if len(text) > MAX_CREDENTIAL_LENGTH:
        return None
    try:
        credential: Any = strict_json.loads(text.encode())
        response, client_data = credential["response"], credential["response"]["clientDataJSON"]
        signed: Any = strict_json.loads(_decode(client_data))
        purpose, challenge = Purpose(signed["type"]), signed["challenge"]
        values = [credential["id"], credential["rawId"], *(response[name] for name in _REQUIRED[purpose])]
        if credential["type"] != "public-key" or not all(map(_is_base64url, [*values, challenge])):
            return None
    except (ValueError, TypeError, KeyError):
        return None
    clean = {
        **{name: credential[name] for name in ("id", "rawId", "type")},
        "response": _clean_response(response),
        "clientExtensionResults": _clean_extensions(credential.get("clientExtensionResults")),
    }
    attachment = credential.get("authenticatorAttachment")
    if isinstance(attachment, str) and _LABEL.fullmatch(attachment):
        clean["authenticatorAttachment"] = attachment
    return BrowserAnswer(clean, purpose, challenge.rstrip("="))


def _clean_response(response: Mapping[str, Any]) -> dict[str, Any]:
    names = ("clientDataJSON", "authenticatorData", "signature", "userHandle", "attestationObject", "publicKey")
    clean = {name: response[name] for name in names if _is_base64url(response.get(name))}
    transports, algorithm = response.get("transports"), response.get("publicKeyAlgorithm")
    if isinstance(transports, list):
        clean["transports"] = [name for name in transports if isinstance(name, str) and _LABEL.fullmatch(name)]
    if isinstance(algorithm, int) and not isinstance(algorithm, bool):
        clean["publicKeyAlgorithm"] = algorithm
    return clean


def _clean_extensions(results: object) -> dict[str, Any]:
    """The results of extensions that are true or false, such as `credProps`. Other results are dropped."""
    items = results.items() if isinstance(results, dict) else ()
    return {name: value for name, value in items if _LABEL.fullmatch(name) and _is_flags(value)}


def _is_flags(value: object) -> bool:
    if isinstance(value, dict):
        return all(_LABEL.fullmatch(name) and isinstance(flag, bool) for name, flag in value.items())
    return isinstance(value, bool)


def _is_base64url(value: object) -> bool:
    return isinstance(value, str) and bool(_BASE64URL.fullmatch(value))


def _decode(text: str) -> bytes:
    """Raises `ValueError` for what is not Base64url."""
    if not _is_base64url(text):
        raise ValueError("not Base64url")
    try:
        return urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
    except binascii.Error as error:
        raise ValueError(str(error)) from None
