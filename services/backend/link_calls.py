"""The calls of the page on which a signed-in person connects and disconnects providers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backends.base import Backend
from config import Settings
from providers.base import Identity, Registration
from services.backend import answer_errors
from services.backend.answer import Answer, find_joined
from services.backend.client import BackendClient, social_tokens
from services.backend.user import User
from services.request_context import RequestContext

_MAX_ACCOUNT_LENGTH = 255
"""Characters of the id of a connected account. OpenID Connect Core 1.0, 2, allows no longer subject."""


@dataclass(frozen=True)
class LinkedAccount:
    provider: str
    """The backend's name of the provider."""
    account: str | None
    """The backend's id of the connection, or of the account at the provider; None if it does not say."""


class LinkCalls:
    def __init__(self, settings: Settings, client: BackendClient) -> None:
        self._backend: Backend = settings.backend
        self._client = client

    def has(self, name: str) -> bool:
        """Whether the backend has this call of `backends.base.LINK_CALLS`."""
        return name in self._backend.calls

    def list_accounts(self, access_token: str, user: User, context: RequestContext) -> list[LinkedAccount] | None:
        """The connected accounts of this user; None if the backend does not list them. Raises a `SiteError`."""
        name = "links" if self.has("links") else "user"
        if not self._backend.links_at or not self.has(name):
            return None
        values = {"token": access_token, "user_id": user.id} if name == "links" else {"token": access_token}
        items = self._checked(name, values, context, retry=True).get(self._backend.links_at)
        return [linked for item in items if (linked := self._read(item))] if isinstance(items, list) else None

    def link(
        self, access_token: str, user: User, registration: Registration, identity: Identity, context: RequestContext
    ) -> None:
        """Connect the account at a provider. Raises a `SiteError` if it is not certain that it is connected."""
        with_email = registration.provider.backend_token == "id_token"  # noqa: S105
        values = {
            "token": access_token,
            "user_id": user.id,
            "provider": registration.backend_name,
            **social_tokens(identity),
            "client_id": registration.client_id,
            **({"email": identity.email} if with_email and identity.email and identity.email_verified else {}),
        }
        self._checked("link", values, context)

    def unlink(self, access_token: str, user: User, linked: LinkedAccount, context: RequestContext) -> None:
        """Disconnect an account. Raises a `SiteError`."""
        account = {} if linked.account is None else {"account": linked.account}
        values = {"token": access_token, "user_id": user.id, "provider": linked.provider, **account}
        self._checked("unlink", values, context)

    def _read(self, item: object) -> LinkedAccount | None:
        if isinstance(item, str):
            return LinkedAccount(item, None)
        fields = self._backend.links_fields
        provider, account = (find_joined(item, fields[name]) for name in ("provider", "account"))
        if not isinstance(provider, str):
            return None
        is_id = isinstance(account, str | int) and not isinstance(account, bool)
        return LinkedAccount(provider, str(account) if is_id and len(str(account)) <= _MAX_ACCOUNT_LENGTH else None)

    def _checked(self, name: str, values: Mapping[str, Any], context: RequestContext, *, retry: bool = False) -> Answer:
        answer = self._client.call(name, values, context, retry=retry)
        meaning = answer_errors.declared_meaning(self._backend, name, answer)
        if meaning is not None or not 200 <= answer.status < 300:
            raise answer_errors.call_error(self._backend, name, answer, meaning)
        return answer
