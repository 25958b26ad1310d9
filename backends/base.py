"""The types that describe a backend: its calls, the places of values in its answers, and the meaning of its refusals.

A backend is a value of `Backend`, not a subclass: `services/backend/` implements the protocol once for all of them.

**Templates** are the texts of paths, bodies and headers. `{identifier}` and the like are replaced when a call is made;
`PLACEHOLDERS` has the names for each call, and `{BACKEND_API_KEY}` is the value of that setting. A value is encoded as
its place requires: percent-encoded in a path, as JSON or form data in a body. A member of a body or a header whose
value is unknown is left out.

**Places** say where an answer holds a value:

    data.users.0.token      keys and list indexes of the JSON, separated by dots
    header:Authorization    a response header, without the prefix `Bearer `
    cookie:refresh          the value of a cookie that the answer sets, not decoded
    body                    the whole answer: its JSON, or its text
    a|b                     the first of these places that has a value
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from types import EllipsisType
from typing import Any, Protocol

from settings_readers import SettingSpec

BEARER_HEADER = "Authorization: Bearer {token}"
ACCOUNT_CALLS = ("register", "forgot", "reset", "verify_email", "resend_verification", "change_password")
"""The calls of the forms about an account: sign-up, new password, verification, and change of the password."""
NEXT_STEP_CALLS = ("verify_recovery_code", "verify", "resend")
"""The calls for the next step of a sign-in."""
LINK_CALLS = ("link", "unlink", "links")
"""The calls of the page on which people connect and disconnect providers."""
PASSKEY_CALLS = (
    "passkey_options",
    "passkey",
    "confirm_password",
    "passkey_register_options",
    "passkey_register",
    "passkey_list",
    "passkey_remove",
)
"""The calls of a sign-in with a passkey, and of a person who adds, lists and removes them."""
_MORE_CALLS = (*NEXT_STEP_CALLS, *ACCOUNT_CALLS, *LINK_CALLS, *PASSKEY_CALLS, "provider_event")
CALLS = ("login", "social", "social_register", "user", "refresh", "logout", "profile", *_MORE_CALLS)
SIGN_UP_FIELDS = frozenset({"email", "username", "phone", "name", "nick_name"})
"""Placeholders for which the form after a sign-in with a new provider's account can have a field."""
SIGN_UP_BODY = {name: f"{{{name}}}" for name in sorted(SIGN_UP_FIELDS)}
"""The same as members of a body."""
SOCIAL_TOKENS = ("social_token", "access_token", "id_token")
"""Placeholders for a provider's token: the one that `laravel` gets from this provider, or a certain one."""
_STEP = frozenset({"challenge", "ticket", "method", "identifier", "password"})
PLACEHOLDERS: Mapping[str, frozenset[str]] = {
    "login": frozenset({"identifier", "password"}),
    "social": frozenset({"provider", *SOCIAL_TOKENS, "email", "unsigned_name"}),
    "social_register": SIGN_UP_FIELDS | {"provider", "social_token", "challenge", "site_url", "locale"},
    "user": frozenset({"token"}),
    "refresh": frozenset({"token", "refresh_token"}),
    "logout": frozenset({"token", "refresh_token"}),
    "profile": frozenset({"token", "user_id", "name", "nick_name"}),
    "register": frozenset(
        {"identifier", "email", "username", "phone", "name", "nick_name", "password", "site_url", "locale"}
    ),
    "forgot": frozenset({"identifier", "email", "site_url", "locale"}),
    "reset": frozenset({"identifier", "code", "uid", "new_password"}),
    "verify_email": frozenset({"identifier", "code", "uid"}),
    "resend_verification": frozenset({"identifier", "email", "site_url", "locale"}),
    "change_password": frozenset({"token", "user_id", "identifier", "password", "new_password"}),
    "verify": _STEP | {"code", "trust"},
    "verify_recovery_code": _STEP | {"code", "trust"},
    "resend": _STEP,
    "link": frozenset({"token", "user_id", "provider", *SOCIAL_TOKENS, "client_id", "email"}),
    "unlink": frozenset({"token", "user_id", "provider", "account"}),
    "links": frozenset({"token", "user_id"}),
    "passkey_options": frozenset(),
    "passkey": frozenset({"credential", "challenge"}),
    "confirm_password": frozenset({"token", "user_id", "identifier", "password"}),
    "passkey_register_options": frozenset({"token", "user_id"}),
    "passkey_register": frozenset({"token", "user_id", "credential", "challenge", "device"}),
    "passkey_list": frozenset({"token", "user_id"}),
    "passkey_remove": frozenset({"token", "user_id", "passkey"}),
    "provider_event": frozenset(
        {"provider", "type", "subject", "email", "is_private_email", "occurred_at", "event_id", "notification"}
    ),
}
"""Call -> placeholders that its templates can use, in addition to the names of settings."""
WITHOUT_ACCESS_TOKEN = frozenset(
    {"login", "social", "social_register", *NEXT_STEP_CALLS, *ACCOUNT_CALLS, "passkey_options", "passkey"}
    - {"change_password"}
    | {"provider_event"}
)
"""The calls that are made for people who are not signed in."""


@dataclass(frozen=True)
class Call:
    method: str
    path: str | None
    """A path below `BACKEND_URL` with its query, or a URL. None: only called if its setting gives a path."""
    body: Mapping[str, Any] | None = None
    """Texts in it are templates; other constants are sent unchanged."""
    form: bool = False
    """Send the body as form data instead of JSON."""
    headers: Mapping[str, str] = field(default_factory=dict)


class Meaning(StrEnum):
    """What an answer means. The values are the words of the setting `BACKEND_MEANINGS`."""

    WRONG_CREDENTIALS = "wrong_credentials"
    NOT_VERIFIED = "not_verified"
    LOCKED = "locked"
    OTHER_WAY = "use_another_way"
    THROTTLED = "throttled"
    NEXT_STEP = "next_step"
    """The password is right, but the backend requires a second factor or another step."""
    FIELDS_REQUIRED = "fields_required"
    """The provider's token is valid, but the backend requires further fields before it creates an account."""
    CODE_EXPIRED = "code_expired"
    """The code of a next step is right, but has expired."""
    STEP_OVER = "step_over"
    """The backend no longer knows the pending sign-in."""
    INVALID_FIELDS = "invalid_fields"
    SESSION_OVER = "session_over"
    """The token is no longer accepted."""
    SIGN_IN_AGAIN = "sign_in_again"
    """The token is accepted, but the sign-in is too old for this call."""
    CLOSED = "closed"
    """New accounts cannot be created."""
    TAKEN = "taken"
    """An account with this identifier exists already."""
    WEAK_PASSWORD = "weak_password"
    """The new password does not follow the backend's rules."""
    INVALID_CODE = "invalid_code"
    """The code of a mail, or of the link in it, is wrong, expired, or was used before."""
    CONFIGURATION = "configuration"
    """Only the operator can fix it."""
    UNAVAILABLE = "unavailable"
    LAST_WAY = "last_way"
    """The provider is the only sign-in method of this user."""


@dataclass(frozen=True)
class Rule:
    """An answer with this status and this value has this meaning."""

    status: int
    place: str
    """`*`: the status is enough, whatever the answer has."""
    value: str | int | bool | tuple[str | int, ...] | EllipsisType | None
    """Compared as text; a text that ends with `*` is a prefix. A tuple: any of these. `...`: any but null and the empty
    text. None: null."""
    meaning: Meaning


class Answer(Protocol):
    """The answer of a backend, as the functions of a backend see it. Nothing in it is trusted."""

    @property
    def status(self) -> int: ...

    def get(self, place: str) -> object:
        """The value at this place, or None."""

    def get_objects(self, place: str) -> list[dict[str, object]]:
        """The objects in the list at this place; empty without a list."""

    def get_jwt_claims(self, place: str) -> Mapping[str, object]:
        """The claims of the JWT at this place, which are not verified; empty without a JWT."""


@dataclass(frozen=True)
class FieldErrors:
    """The place of the messages for the fields of a form in an answer.

    At `place` is an object (field -> message or list of messages; or an object with the message at `message`), or a
    list of objects that each have the field at `name` and the message at `message`.
    """

    place: str = "errors"
    status: int = 422
    name: str = "param|path|loc|field"
    message: str = "message|msg"


class Method(StrEnum):
    """A method for the next step of a sign-in."""

    APP = "app"
    """A code that an authenticator app shows."""
    EMAIL = "email"
    SMS = "sms"
    SENT = "sent"
    """A code that the backend has sent, in any way."""
    TEXT = "text"
    """The same, with letters: phones show the full keyboard for it."""
    RECOVERY = "recovery"
    """A recovery code, which the person has stored."""


METHOD_NAMES: Mapping[str, Method] = {
    **dict.fromkeys(("app", "totp", "authenticator"), Method.APP),
    **dict.fromkeys(("email", "mail"), Method.EMAIL),
    **dict.fromkeys(("sms", "phone"), Method.SMS),
    **dict.fromkeys(("otp", "sent", "code"), Method.SENT),
    "text": Method.TEXT,
    **dict.fromkeys(("recovery", "recovery_codes", "recovery_code", "backup_code"), Method.RECOVERY),
}
"""A backend's name of a method -> method. Methods with other names are ignored."""


@dataclass(frozen=True)
class NextStep:
    """The places of the values of an answer that means `next_step` or `fields_required`.

    Fields of the type `str` are places.
    """

    challenge: str = ""
    """The backend's id of the pending sign-in, which is sent back as `{challenge}`."""
    methods: str = ""
    """The names of the methods, a list or a single one; the first is used unless the person chooses another.
    `{method}` is the name. Without any, the method is `default_method`."""
    sent_to: str = ""
    """The masked address or number to which a code was sent."""
    resend_after: str = ""
    """Seconds until a code can be sent again."""
    url: str = ""
    """The URL of the page that the person has to visit, at an origin of `BACKEND_NEXT_STEP_URLS`."""
    fields: str = ""
    """In an answer that means `fields_required`: the list of their names, which are members of `social_register`. If
    there is none, the fields are those for which the answer has messages."""
    ticket: str = ""
    """A value in the answer to `resend`, which is sent back as `{ticket}`."""
    default_method: Method = Method.APP
    read_methods: Callable[["Answer"], Mapping[str, Method]] | None = None
    """Returns name -> method, if a place is not enough."""
    resend_first: tuple[Method, ...] = ()
    """The methods for which `resend` is called at once, because the login does not send a code."""
    trust: bool = False
    """Whether `verify` can be told to trust this browser, by `{trust}`."""
    trust_token: str = ""
    """The token of a trusted browser in the answer to `verify` or `login`. It is stored in a cookie."""
    trust_headers: Mapping[str, str] = field(default_factory=dict)
    """Further headers of `login` in such a browser, with `{trust_token}`."""
    calls: Mapping[str, Call] = field(default_factory=dict)
    """Name of a method -> call that replaces `verify`."""


@dataclass(frozen=True)
class Passkeys:
    """The places of values in the answers of the passkey calls.

    Options are the JSON of Web Authentication Level 3 (5.1.8 and 5.1.9), with or without `publicKey` around them. They
    and the browser's answer, `{credential}`, are passed on unchanged.
    """

    request_options: str = "body"
    """In the answer to `passkey_options`."""
    creation_options: str = "body"
    """In the answer to `passkey_register_options`."""
    challenge: str = ""
    """In both answers: the backend's id of the options, which is sent back as `{challenge}`."""
    listed: str = "body"
    """In the answer to `passkey_list`: the list of passkeys, which are objects."""
    fields: Mapping[str, str] = field(
        default_factory=lambda: {"id": "id", "name": "name", "created_at": "created_at", "used_at": "last_used_at"}
    )
    """What of a passkey -> place in such an object. One without an id is not shown. Times are seconds or milliseconds
    since 1970, or ISO 8601."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Backend:
    id: str
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of every call."""

    login: Call | None
    """Sent once, never repeated."""
    social: Call | None = None
    """Exchanges a provider's token for the backend's. Sent once."""
    social_register: Call | None = None
    """Creates the account of a person whose identity a provider has proven, after an answer of `social` that means
    `fields_required`. Its form has the fields that this answer names. Its answer has tokens like that of `login`. With
    `{social_token}`, the provider's token is kept, sealed in the browser, until it is sent. Sent once."""
    user: Call | None = None
    refresh: Call | None = None
    """Returns new tokens, at the places of those of `login`. Sent once."""
    logout: Call | None = None
    profile: Call | None = None
    """Saves the names of the user."""
    verify: Call | None = None
    """Sends the code of a next step. Its answer has tokens like that of `login`."""
    verify_recovery_code: Call | None = None
    """Sends a recovery code. By default, `verify` sends it."""
    resend: Call | None = None
    """Sends the code of the method again, or for the first time."""
    next_step: NextStep = NextStep()
    passkey_options: Call | None = None
    """Returns the options of a sign-in with a passkey. The passkey calls are made only if `PASSKEYS` is set."""
    passkey: Call | None = None
    """Sends the browser's answer to these options. Its answer has tokens like that of `login`."""
    confirm_password: Call | None = None
    """Sends the password of the signed-in person, if the backend requires it before a passkey is added."""
    passkey_register_options: Call | None = None
    """Returns the options with which a signed-in person adds a passkey."""
    passkey_register: Call | None = None
    """Sends the browser's answer to these. `{device}` names the browser, such as `Chrome, Windows`."""
    passkey_list: Call | None = None
    """Lists the passkeys of the signed-in person."""
    passkey_remove: Call | None = None
    """Removes the one with the id `{passkey}`."""
    passkeys: Passkeys = Passkeys()

    link: Call | None = None
    """Connects an account at a provider to the signed-in user. Sent once, and again only if the access token was no
    longer accepted."""
    unlink: Call | None = None
    """Disconnects an account at a provider."""
    links: Call | None = None
    """Lists the connected accounts."""
    links_at: str = ""
    """The place of that list in the answer of `links`, or of `user` if there is no such call. Its items are the names
    of the providers, or objects that have them."""
    links_fields: Mapping[str, str] = field(default_factory=lambda: {"provider": "provider", "account": "id"})
    """`provider` and `account` -> place in such an object. `unlink` can send `{account}`."""

    register: Call | None = None
    """Creates an account. Its form asks for what its templates use. An answer with a token signs in; after another one,
    the site signs in by `login`, which says whether the address has to be verified first."""
    forgot: Call | None = None
    """Sends a mail with which a new password can be set. With `{email}` in place of `{identifier}`, it and
    `resend_verification` ask for an email address whatever people sign in with."""
    reset: Call | None = None
    """Sets a new password with the code of that mail."""
    verify_email: Call | None = None
    """Verifies an address with the code of a mail."""
    resend_verification: Call | None = None
    """Sends the mail with that code again."""
    change_password: Call | None = None
    mail_link_parameters: Mapping[str, str] = field(
        default_factory=lambda: {"code": "token|key|code", "uid": "uid", "identifier": "email"}
    )
    """Placeholder of `reset` and `verify_email` -> parameters of the links in mails that can have its value."""
    mails_code: bool = False
    """Whether its mails have a code to be typed, and not only a link."""
    done: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Call of `ACCOUNT_CALLS` -> statuses that mean success, in addition to 2xx."""
    checks_current_password: bool = True
    """Whether `change_password` fails if the current password is wrong. If not, the site tries it by `login` first."""
    ends_refresh_token_with_password: bool = False
    """Whether a new password revokes the refresh token, but not the access token: the site then signs in again."""
    min_password_length: int = 0
    """Characters. The forms show it; the backend enforces it."""

    provider_event: Call | None = field(
        default_factory=lambda: Call(
            "POST",
            None,
            {
                "id": "{event_id}",
                "provider": "{provider}",
                "type": "{type}",
                "subject": "{subject}",
                "email": "{email}",
                "is_private_email": "{is_private_email}",
                "occurred_at": "{occurred_at}",
            },
            headers={"Authorization": "Bearer {BACKEND_EVENTS_TOKEN}"},
        )
    )
    """Passes an event of a provider on, such as a revoked consent. `{notification}` is the provider's signed token. Any
    2xx means that the backend has accepted it."""

    token: str
    """The place of the access token in the answers of `login`, `social` and `refresh`."""
    token_header: str = BEARER_HEADER
    """How each call after the sign-in sends the token, unless one of its own templates has `{token}`. Empty: no header.
    `refresh` sends it only if there is no refresh token: the access token then renews itself."""
    refresh_token: str = ""
    """The place of the refresh token. If an answer to `refresh` has none, the old one stays valid."""
    expires: str = ""
    """When the token expires: `expires_in:s` or `expires:ms` (a duration), or `exp:at` (a time: seconds or milliseconds
    since 1970, or ISO 8601). By default, the claim `exp` of a JWT."""
    refresh_expires: str = ""
    """The same for the refresh token: the session ends with it."""
    refreshes_expired: bool = False
    """Without refresh tokens: whether the access token renews itself even after it has expired."""
    refresh_reuse_seconds: int = 0
    """How long after its first use a refresh token is still accepted. If an answer is lost within this time, the call
    is repeated. 0: the backend may end the session if a refresh token is sent twice."""

    user_at: str = "body"
    """The place of the user in the answers of `user` and `profile`, and of `login` with `user_from_login`."""
    user_fields: Mapping[str, str] = field(
        default_factory=lambda: {"id": "id", "name": "name", "nick_name": "nick_name", "email": "email"}
    )
    """Field of the user -> place below `user_at`. `a+b` joins texts, as `providers.base.full_name` documents."""
    user_from_login: bool = False
    """The answer to `login` has the user; `user`, if there is one, is only called later."""
    read_user: Callable[[Answer], object] | None = None
    """Returns the user's fields, if places are not enough."""

    classify: Callable[[Answer], Meaning | None] = lambda _: None
    """Returns the meaning of an answer, or None, if `meanings` is not enough."""
    meanings: tuple[Rule, ...] = ()
    """The first rule that fits decides, before the statuses of docs/decisions/0005-what-a-backends-answer-means.md."""
    field_errors: FieldErrors = FieldErrors()
    message: str = "message"
    """The place of the message for people in a refusal, for `BACKEND_SHOW_MESSAGES`."""
    retry_after: str = "header:Retry-After"
    """The place of the seconds to wait, or of the time to wait for."""
    logout_done: tuple[int, ...] = (401,)
    """Statuses of `logout` that mean that the token is no longer accepted, in addition to 2xx."""
    logout_revokes: bool = True
    """Whether `logout` ends the access token. A JWT often stays valid until it expires."""
    logout_each_token: bool = False
    """Call `logout` for the refresh token and then for the access token, each as `{token}` (RFC 7009)."""

    settings: Mapping[str, SettingSpec] = field(default_factory=dict)
    """The settings that its templates use, by name."""

    def can_refresh(self, *, has_refresh_token: bool) -> bool:
        """Whether tokens can be exchanged for new ones. Some backends renew an access token without a refresh token."""
        return self.refresh is not None and (has_refresh_token or not self.refresh_token)

    def __repr__(self) -> str:
        return f"Backend({self.id!r})"  # an operator may have written a secret into a template

    @property
    def calls(self) -> Mapping[str, Call]:
        """The calls that it has, by name."""
        calls: Mapping[str, Call | None] = {name: getattr(self, name) for name in CALLS}
        return {name: call for name, call in calls.items() if call is not None and call.path is not None}


_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def placeholders(template: object) -> frozenset[str]:
    """The names in braces in all texts of this template: a text, or the body of a call."""
    if isinstance(template, str):
        return _names_in(template)
    parts = template.values() if isinstance(template, Mapping) else template if isinstance(template, list) else ()
    return frozenset().union(*map(placeholders, parts))


def placeholders_of(call: Call) -> frozenset[str]:
    """The same for all templates of a call."""
    return placeholders(call.path) | placeholders(call.body) | placeholders(call.headers)


@lru_cache(1024)
def _names_in(template: str) -> frozenset[str]:
    return frozenset(_PLACEHOLDER.findall(template))


def is_setting(name: str) -> bool:
    """Whether this placeholder is the name of a setting."""
    return name.startswith("BACKEND_")
