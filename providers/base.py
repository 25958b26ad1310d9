"""The types that describe an identity provider.

A provider is a value of `Provider`, not a subclass: `services/oauth/` implements the protocol once for all of them.
Each module of this package gives the provider's endpoints, the parameters it expects, how its responses map to an
`Identity`, and the look of its button. `docs/providers/` has the source of each fact.
"""

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

import settings_readers as read
from settings_readers import SettingSpec

SITE_PARAMS = frozenset({
    "client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "code_challenge",
    "code_challenge_method", "login_hint", "request", "request_uri", "registration", "claims", "id_token_hint", "iss",
    "client_secret", "client_assertion", "client_assertion_type", "code", "code_verifier", "grant_type", "dpop_jkt",
    "authorization_details",
})  # fmt: skip
"""Parameters of OAuth and OpenID Connect that no setting can change: they belong to the protocol."""

Translations = Mapping[str, str]
"""Language code -> text."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A user as a provider identifies them. The key is (provider, subject), never the email address.

    A provider's module fills the fields with unvalidated values; `services.backend.user.validate_identity` checks them.
    """

    subject: Any
    provider: str = ""
    name: Any = None
    name_is_unsigned: bool = False
    """The name came with the browser, which can change it, and nowhere else: the backend gets it as `unsigned_name`."""
    nickname: Any = None
    email: Any = None
    email_verified: Any = False
    """Only the boolean `True` counts as verified."""
    picture: Any = None
    social_token: str = field(default="", repr=False)
    """The token that the backend receives to verify the sign-in itself."""
    access_token: str = field(default="", repr=False)
    id_token: str = field(default="", repr=False)
    """Both tokens, for a backend that wants a certain one. Empty: the provider gives none."""


@dataclass(frozen=True)
class ProviderResponses:
    """All responses of a provider about one user. `user` and `extra` are unvalidated JSON."""

    claims: Mapping[str, Any]
    """The claims of the verified id_token; empty for plain OAuth 2.0."""
    user: Any = None
    """The response of `user_url`; None if it was not called."""
    extra: Any = None
    """The response of `optional_url`; None if it was not called or failed."""
    form: Mapping[str, str] = field(default_factory=dict)
    """The callback's parameters. They are not signed."""


@dataclass(frozen=True, kw_only=True)
class ProviderEvent:
    """What a provider says has happened to a person's account. The fields are unvalidated."""

    type: Any
    subject: Any
    occurred_at: Any = None
    """Seconds since 1970, by the provider's clock; None if it does not say."""
    email: Any = None
    is_private_email: bool | None = None
    """Whether `email` is an address of the provider that forwards to the person's own; None if it does not say."""


@dataclass(frozen=True, kw_only=True)
class Notifications:
    """How a provider notifies the site of changes to accounts: it posts JSON with a signed JWT."""

    token_field: str
    """The member of the JSON that has the JWT."""
    event: Callable[[Mapping[str, Any]], ProviderEvent]
    """Maps the verified claims to an event. Raises `ValueError`, `KeyError` or `TypeError` if they do not fit."""
    types: frozenset[str]
    """The values of `ProviderEvent.type` that are passed on to the backend. Others are logged."""
    ending_types: frozenset[str] = frozenset()
    """Those after which the person's sessions end."""


@dataclass(frozen=True)
class Example:
    """Responses about one user, from the provider's documentation, and what they mean.

    The tests sign in with them, and the development provider of `make run` answers with them. The user of the first
    one is 김하늘, haneul.kim@example.com, so that other users can be made from it.
    """

    description: str
    identity: Identity | None
    """The result; None if the sign-in must be refused."""
    claims: Mapping[str, Any] = field(default_factory=dict)
    """The claims of the id_token that are about the user. Without `iss`, that of `Provider.issuer`."""
    user: Any = None
    """The response of `user_url`."""
    extra: Any = None
    """The response of `optional_url`."""


@dataclass(frozen=True)
class InAppBrowser:
    """The browser that an app opens links in. Its `User-Agent` has the app's name, in a format of the app's own."""

    name: Translations
    pattern: str
    """A regular expression that matches the `User-Agent` header."""
    open_externally: str | None = None
    """A URL that opens a page in the system browser. Placeholders: `{url}` is the page, `{quoted}` the same
    percent-encoded, `{joint}` is `?` or `&`, whichever joins a further parameter to `{url}`."""


@dataclass(frozen=True, kw_only=True)
class Provider:
    id: str
    kind: str = ""
    """For one of several issuers: the id of the file that describes them all."""
    order: int = 80
    """Its place in lists: the docs, `.env.example`, the buttons of `make run`. The same number: by id."""
    label: Translations
    """The provider's name on the sign-in page, such as `{"en": "Discord"}`. `en` is required."""
    button_text: Translations = field(default_factory=dict)
    """The button text that the provider's brand guidelines require. Other languages use the site's own text."""
    colors: tuple[str, str, str] = ("#ffffff", "#1b1f1d", "#868e89")
    """Background, text and border of the button, as `#rrggbb`."""
    mark: str = ""
    """The logo on the button: the content of an SVG of 24 by 24. The CSP forbids `style`; use `fill` and `stroke`.
    `currentColor` is the color of the text. Templates include it as `marks/<id>.svg`."""

    issuer: str | None = None
    """The `iss` of its id_tokens and of its callbacks (RFC 9207)."""
    other_issuers: tuple[str, ...] = ()
    """Further values of `iss` to accept."""
    issuer_of: Callable[["Registration", Mapping[str, Any]], str | None] | None = None
    """If the `iss` of its id_tokens depends on the settings or on another claim: returns the only one to accept for
    these claims, or None to refuse them. They are not verified yet. Then leave `issuer` unset."""
    discovery: bool = False
    """Read endpoints and issuer from the metadata of the issuer that the operator sets (OpenID Connect Discovery).
    `PROVIDERS` can list any number of such issuers, as `<id>:<name>`."""
    authorize_url: str = ""
    """A setting can be part of this and the other addresses: `{TENANT}` is the value of `<ID>_TENANT`."""
    token_url: str = ""
    keys_url: str | None = None
    """The JWK Set that verifies its id_tokens (RFC 7517)."""
    user_url: str | None = None
    """Returns the user for an access token. With an id_token: called only if that has no name or email, and then
    the sign-in does not depend on it."""
    optional_url: str | None = None
    """Called after `user_url`. The sign-in does not depend on it."""
    user_params: Callable[["Registration", str], Mapping[str, str]] = lambda *_: {}
    """Returns additional query parameters of these two, for an access token."""

    logout_url: str | None = None
    """Where a sign-out at the provider starts. With `discovery`, the metadata has it (`end_session_endpoint`)."""
    logout_redirect_param: str = "post_logout_redirect_uri"
    """The parameter with the address to come back to."""

    notifications: Notifications | None = None
    """How it notifies the site of changes to accounts, at `/api/auth/notifications/<id>`."""

    is_oidc: bool = False
    """The token response must contain an id_token, and the site sends a nonce (OpenID Connect Core, 3.1)."""
    algorithms: tuple[str, ...] = ("RS256",)
    """The signature algorithms to accept. The metadata and the token's own header cannot extend this list."""
    signed_with_secret: bool = False
    """Its id_tokens are signed with the client secret (HMAC)."""
    scope: str = ""
    """The scopes to request, unless the setting `<ID>_SCOPE` has others."""
    authorize_params: Mapping[str, str] = field(default_factory=dict)
    """Additional parameters of the authorization request."""
    optional_params: Mapping[str, Callable[[str], Any]] = field(default_factory=dict)
    """Parameters of the authorization request that the setting `<ID>_PARAMS` may add: the reader of each value."""
    param_claims: Mapping[str, str] = field(default_factory=dict)
    """Parameters among these whose value the id_token must have in this claim. A parameter alone restricts nobody:
    people can remove it from the address of the provider. `max_age` is verified by `auth_time`."""
    reauthenticate_params: Mapping[str, str] = field(default_factory=dict)
    """The same for a sign-in that confirms a session: with them, the provider asks for the password again. If `max_age`
    is among them, the id_token must have a recent `auth_time`."""
    token_params: tuple[str, ...] = ()
    """Callback parameters that the token request has to repeat."""
    form_post: bool = False
    """Its callback is a cross-site POST (`response_mode=form_post`), which carries no SameSite=Lax cookie."""
    client_auth: Literal["client_secret_post", "client_secret_basic"] = "client_secret_post"
    """Client authentication at the token endpoint (RFC 6749, 2.3.1)."""
    code_reuse_errors: frozenset[str] = frozenset({"invalid_grant", "bad_verification_code"})
    """Error codes of the token endpoint for a code that was already used or has expired."""
    error_code: Callable[[Any], Any] = lambda error: error
    """Returns the error code, if the token endpoint's `error` is not a text."""
    refuses_in_app: bool = False
    """It refuses to sign users in inside an in-app browser."""
    in_app_browser: InAppBrowser | None = None
    """The in-app browser of the provider's own app."""
    auto_login_params: Mapping[str, str] = field(default_factory=dict)
    """Parameters of an authorization request that shows no page: it has an answer at once, an error if the person has
    never signed in here through the provider. With them, the setting `<ID>_AUTO_LOGIN` exists: the sign-in page makes
    this request by itself in `in_app_browser`."""

    identity: Callable[[ProviderResponses], Identity]
    """Maps the responses to an `Identity`. Raises `ValueError`, `KeyError` or `TypeError` if they do not fit."""
    backend_token: Literal["access_token", "id_token"] = "access_token"
    """The token that the backend receives as `social_token`. With `id_token`, it receives the verified email too."""
    secret_required: bool = True
    settings: Mapping[str, SettingSpec] = field(default_factory=dict)
    """Additional settings, by their name without the prefix `<ID>_`."""
    validate: Callable[["Registration"], None] = lambda _: None
    """Raises `ValueError` if the settings contradict each other."""
    client_secret: Callable[["Registration", int], str | None] = lambda registration, _: registration.secret
    """Returns the client secret to send, for the current time in seconds since 1970."""
    examples: tuple[Example, ...] = ()
    """The complete profile, then one without an email address, and what else can be different."""

    def __post_init__(self) -> None:
        if not isinstance(self.label, Mapping) or "en" not in self.label:
            raise TypeError(f'providers/{self.id}.py: label must have the name in English, such as {{"en": "Discord"}}')

    def with_response_mode(self, response_mode: str | None) -> "Provider":
        """Return the same provider with the value of the setting `<ID>_RESPONSE_MODE`."""
        if response_mode != "form_post":
            return self
        params = {**self.authorize_params, "response_mode": response_mode}
        return replace(self, form_post=True, authorize_params=params)

    def named(self, name: str) -> "Provider":
        """Return the same provider with another id: one of several issuers."""
        return replace(self, id=name, label={"en": name.replace("_", " ").title()}, kind=self.id)

    @property
    def can_send_logout_tokens(self) -> bool:
        """Whether it could sign a logout token (OpenID Connect Back-Channel Logout 1.0): it has an issuer and keys."""
        return self.is_oidc and (self.discovery or bool(self.issuer and self.keys_url))

    @property
    def all_settings(self) -> Mapping[str, SettingSpec]:
        """The settings that every provider has, then its additional ones, by name without the prefix `<ID>_`."""
        return {
            "CLIENT_ID": SettingSpec(read.credential, "<from the provider's console>", required=True),
            "CLIENT_SECRET": SettingSpec(
                read.credential, "<from the provider's console>", required=self.secret_required, secret=True
            ),
            "BACKEND_NAME": SettingSpec(read.path_segment, self.id, default=self.id),
            "SCOPE": SettingSpec(self._read_scope, self.scope or "email"),
            **({"PARAMS": SettingSpec(self._read_params, self._params_example)} if self.optional_params else {}),
            # With discovery, the setting ISSUER already says where the provider is.
            **(
                {}
                if self.discovery
                else {"BASE_URL": SettingSpec(read.safe_base_url, f"http://127.0.0.1:8081/{self.id}")}
            ),
            **({"LOGOUT": _flag(self._logout_meaning)} if self.discovery or self.logout_url else {}),
            **(
                {
                    "RESPONSE_MODE": SettingSpec(
                        read.choice("query", "form_post"),
                        "form_post",
                        default="query",
                        meaning="`form_post`: the issuer answers [by POST](providers/oidc.md#form-post), so that the"
                        " code is in no address. Needs https.",
                    )
                }
                if self.discovery
                else {}
            ),
            **(
                {
                    "NOTIFICATION_AUDIENCE": SettingSpec(
                        _read_list,
                        "com.example.app",
                        meaning="Bundle ids of apps, comma-separated, whose"
                        f" [notifications](providers/{self.id}.md#notifications) are accepted too: the provider sends"
                        " those of a group of apps to one address.",
                    )
                }
                if self.notifications
                else {}
            ),
            **({"AUTO_LOGIN": _flag(self._auto_login_meaning)} if self.auto_login_params else {}),
            **self.settings,
        }

    @property
    def _logout_meaning(self) -> str:
        place = "the issuer" if self.discovery else self.label["en"]
        return f"`true`: a sign-out [continues at {place}](providers/README.md#sign-out-at-the-provider)."

    @property
    def _auto_login_meaning(self) -> str:
        app = self.in_app_browser.name["en"] if self.in_app_browser else "its app"
        page = f"providers/{self.id}.md#automatic-sign-in-inside-{app.lower()}"
        return f"`true`: inside {app}, people who have signed in that way before are [signed in automatically]({page})."

    def _read_scope(self, text: str) -> str:
        """Return scopes, separated by single spaces (RFC 6749, 3.3)."""
        scopes = text.split()
        if not re.fullmatch(r"[!#-\[\]-~ ]+", " ".join(scopes)):
            raise ValueError("must be scopes of printable ASCII, separated by spaces")
        if self.is_oidc and "openid" not in scopes:
            raise ValueError("must have openid: without it, the provider sends no id_token")
        return " ".join(scopes)

    def _read_params(self, text: str) -> str:
        """Return the parameters `name=value name="a value"` in the form of a query string."""
        try:
            words = shlex.split(text)
        except ValueError:
            raise ValueError("must have a second quotation mark") from None
        params: dict[str, str] = {}
        for word in words:
            name, equals, value = word.partition("=")
            if name in SITE_PARAMS:
                raise ValueError(f"must not have {name}: the site sets it")
            if name not in self.optional_params:
                raise ValueError(f"must have only {', '.join(self.optional_params)}, not {name[:30]!r}")
            if name in params or not equals or not value:
                raise ValueError(f"must have {name} once, with a value: {name}=…")
            try:
                params[name] = str(self.optional_params[name](value))
            except ValueError as error:
                raise ValueError(f"has an invalid {name}: it {error}") from None
        return urlencode(params)

    @property
    def _params_example(self) -> str:
        return "max_age=3600" if "max_age" in self.optional_params else "prompt=select_account"


@dataclass(frozen=True)
class Registration:
    """The site's client registration at a provider (RFC 6749, 2): the provider and the operator's settings for it."""

    provider: Provider
    settings: Mapping[str, str | None] = field(repr=False)

    @property
    def id(self) -> str:
        return self.provider.id

    @property
    def client_id(self) -> str:
        return self.settings["CLIENT_ID"] or ""

    @property
    def secret(self) -> str | None:
        return self.settings["CLIENT_SECRET"]

    @property
    def scope(self) -> str:
        return self.settings.get("SCOPE") or self.provider.scope

    @property
    def params(self) -> Mapping[str, str]:
        """The parameters that the operator adds to the authorization request."""
        return dict(parse_qsl(self.settings.get("PARAMS") or ""))

    @property
    def backend_name(self) -> str:
        return self.settings["BACKEND_NAME"] or self.id

    @property
    def issuer(self) -> str | None:
        return self.settings.get("ISSUER") or self.provider.issuer

    @property
    def issuer_name(self) -> str:
        """Names the issuer in what is kept about its sessions. Another `<ID>_ISSUER` is another issuer."""
        return f"{self.id} {self.issuer or ''}"

    @property
    def ends_at_provider(self) -> bool:
        """Whether a sign-out continues at the provider."""
        return bool(self.settings.get("LOGOUT"))

    @property
    def notification_audiences(self) -> tuple[str, ...]:
        """The values of `aud` that its notifications may have."""
        return (self.client_id, *(self.settings.get("NOTIFICATION_AUDIENCE") or "").split())

    @property
    def has_auto_login(self) -> bool:
        """Whether the sign-in page tries this provider by itself in the provider's in-app browser."""
        return bool(self.settings.get("AUTO_LOGIN"))

    @property
    def label(self) -> Translations:
        label = self.settings.get("LABEL")
        return {"en": label} if label else self.provider.label

    def issuers(self, claims: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the values of `iss` to accept in an id_token with these claims. They are not verified yet."""
        if self.provider.issuer_of is None:
            return tuple(filter(None, (self.issuer, *self.provider.other_issuers)))
        return tuple(filter(None, [self.provider.issuer_of(self, claims)]))

    def url(self, default: str) -> str:
        """Return `default` with the settings in it, or its path and query below `<ID>_BASE_URL` if that is set."""
        url = re.sub(r"\{([A-Z_]+)\}", lambda name: self.settings[name[1]] or "", default)
        base, parts = self.settings.get("BASE_URL"), urlsplit(url)
        return base + parts.path + (parts.query and f"?{parts.query}") if base else url


def _flag(meaning: str) -> SettingSpec:
    return SettingSpec(read_flag, "true", meaning=meaning)


def read_flag(text: str) -> str | None:
    """`true` for true, None for false."""
    return "true" if read.boolean(text) else None


def _read_list(text: str) -> str:
    """Values separated by commas, as text separated by spaces."""
    return " ".join(read.credential(part.strip()) for part in text.split(",") if part.strip())


def localized(texts: Translations, language: str) -> str:
    """Return the text in this language, or in English."""
    return texts.get(language) or texts["en"]


_EAST_ASIAN = re.compile(
    r"[\u1100-\u11ff\u3005\u3040-\u30ff\u3130-\u318f\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Hangul, Chinese characters and kana."""


def full_name(parts: Mapping[str, str], family: str | None) -> str:
    """Join the parts of a name with spaces, in their order.

    If all of them are in Hangul, Chinese characters or kana, the family name comes first, without a space: 김민지.

    family: which of the parts is the family name. None: the parts may be no name.
    """
    texts = {name: text.strip() for name, text in parts.items() if text.strip()}
    if family is None or not all(map(_EAST_ASIAN.search, texts.values())):
        return " ".join(texts.values())
    return texts.pop(family, "") + "".join(texts.values())


def dig(value: Any, *path: str | int) -> Any:
    """Return the value below these keys of nested dicts and indexes of lists, or None if one of them is missing."""
    for key in path:
        if isinstance(key, int):
            value = value[key] if isinstance(value, list) and 0 <= key < len(value) else None
        else:
            value = value.get(key) if isinstance(value, dict) else None
    return value
