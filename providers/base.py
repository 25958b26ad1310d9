"""What a provider is: a value, not a class of its own. The protocol is the same for all (`services/identities.py`).

A file of this folder says where the provider's addresses are, what it wants to be asked, how its answers
describe a person, and how its button looks. Each fact has its source in `docs/providers/`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import settings_readers as read

Words = Mapping[str, str]
"""Language -> text; English is always there."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A person as a provider knows them. They are (provider, subject), never an address.

    A provider's file fills this from its answers as they are; the engine cleans and bounds each field.
    """

    subject: Any
    provider: str = ""
    name: Any = None
    nickname: Any = None
    email: Any = None
    email_verified: Any = False
    """Only the boolean true counts."""
    picture: Any = None
    social_token: str = field(default="", repr=False)
    """What the backend gets to see the proof for itself."""


@dataclass(frozen=True)
class Answers:
    """What a provider has said of the person. `user` and `more` are JSON of any shape."""

    claims: Mapping[str, Any]
    """Of the verified id_token; empty for plain OAuth."""
    user: Any = None
    more: Any = None
    """Of the optional address; None where it gave nothing."""
    form: Mapping[str, str] = field(default_factory=dict)
    """What came with a `form_post` callback. Nobody has signed it."""


@dataclass(frozen=True)
class Need:
    """A setting: how its text is read, and what it is without one."""

    read: Callable[[str], Any]
    example: str
    default: Any = None
    required: bool = False


@dataclass(frozen=True)
class App:
    """An app with a browser of its own inside. There is no standard to ask: each writes its name into `User-Agent`."""

    name: Words
    """What people call it."""
    pattern: str
    """Of its `User-Agent`."""
    way_out: str | None = None
    """A link that opens `{url}` in the phone's own browser; `{quoted}`: the same as a parameter."""


@dataclass(frozen=True, kw_only=True)
class Provider:
    id: str
    label: Words
    """What people call it."""
    button: Words = field(default_factory=dict)
    """The words that its guideline wants on the button; in other languages the button has the site's own."""
    colours: tuple[str, str, str] = ("#ffffff", "#1b1f1d", "#868e89")
    """Of the button: ground, text, edge."""

    issuer: str | None = None
    """Its own name in id_tokens and callbacks (RFC 9207)."""
    other_issuers: tuple[str, ...] = ()
    discovery: bool = False
    """Addresses and issuer come from the operator's issuer (OpenID Connect Discovery)."""
    authorize_url: str = ""
    token_url: str = ""
    keys_url: str | None = None
    user_url: str | None = None
    """Read with the access token. With `discovery`: only where the id_token says too little."""
    optional_url: str | None = None
    """Read as well; a refusal there is no failure."""

    openid: bool = False
    """It issues an id_token, which is then required, with a nonce."""
    algorithms: tuple[str, ...] = ("RS256",)
    """Those that its id_token may be signed with, whatever its metadata or the token itself says."""
    signed_with_secret: bool = False
    """Its id_tokens are signed with the client secret (HMAC)."""
    scope: str = ""
    authorize_params: Mapping[str, str] = field(default_factory=dict)
    token_params: tuple[str, ...] = ()
    """Parameters of the callback that the token endpoint wants to see again."""
    form_post: bool = False
    """Its callback is a POST from its own site: no Lax cookie comes with it."""
    client_auth: Literal["client_secret_post", "client_secret_basic"] = "client_secret_post"
    code_reuse_errors: frozenset[str] = frozenset({"invalid_grant", "bad_verification_code"})
    """Errors of the token endpoint that mean: this code was used, or is too old."""
    refuses_in_app: bool = False
    """It does not let people sign in inside the browser of another app."""
    app: App | None = None
    """Its own app, where people open links."""

    identity: Callable[[Answers], Identity]
    backend_token: Literal["access_token", "id_token"] = "access_token"
    """What the backend gets as `social_token`; with an id_token, the verified address beside it."""
    secret_required: bool = True
    needs: Mapping[str, Need] = field(default_factory=dict)
    check: Callable[["Client"], None] = lambda _: None
    """Raises `ValueError` if the settings do not fit together."""
    client_secret: Callable[["Client", int], str | None] = lambda client, _: client.secret
    """The secret to be sent now (seconds since 1970)."""

    @property
    def all_settings(self) -> Mapping[str, Need]:
        return {
            "CLIENT_ID": Need(read.credential, "<from the provider's console>", required=True),
            "CLIENT_SECRET": Need(read.credential, "<from the provider's console>", required=self.secret_required),
            "BACKEND_NAME": Need(read.path_word, self.id, default=self.id),
            # Where the issuer is a setting, it is the base as well.
            **({} if self.discovery else {"BASE_URL": Need(read.safe_base_url, f"http://127.0.0.1:8081/{self.id}")}),
            **self.needs,
        }


@dataclass(frozen=True)
class Client:
    """This site at a provider: the provider, and what the operator has set for it."""

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
    def backend_name(self) -> str:
        return self.settings["BACKEND_NAME"] or self.id

    @property
    def issuer(self) -> str | None:
        return self.settings.get("ISSUER") or self.provider.issuer

    @property
    def label(self) -> Words:
        own = self.settings.get("LABEL")
        return {"en": own} if own else self.provider.label

    def address(self, real: str) -> str:
        """Where this address of the provider's is: moved to `<ID>_BASE_URL` if that is set, its path kept."""
        base = self.settings.get("BASE_URL")
        return base + urlsplit(real).path if base else real


def localized(words: Words, language: str) -> str:
    return words.get(language) or words["en"]


def at(value: Any, *path: str) -> Any:
    """What lies below these keys; None where the way ends early."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value
