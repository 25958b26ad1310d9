"""The use case of a provider's notification: end sessions, and pass the event to the backend.

The provider repeats a notification until the site answers 200. So a notification counts as used only after the backend
has accepted its event.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import errors
from config import Settings
from providers.base import Identity, Notifications, Registration
from services.backchannel_logout import BackchannelLogout
from services.backend.client import BackendClient
from services.backend.user import validate_identity
from services.clock import MAX_DIFFERENCE_SECONDS, Clock
from services.oauth import notification
from services.oauth.client import OAuthClient
from services.oauth.notification import Notification
from services.oauth.signed_jwt import InvalidToken, is_time
from services.observability.audit import AuditLog, account_hash
from services.request_context import RequestContext
from services.state.redis import Redis
from services.state.used_tokens import UsedTokens

log = logging.getLogger("munjigi.provider_events")

_KEEP_SECONDS = notification.MAX_AGE_SECONDS + 2 * MAX_DIFFERENCE_SECONDS
"""How long a notification can be valid. Its `iat` may be slightly in the future."""


@dataclass(frozen=True)
class _Event:
    """A validated `ProviderEvent`."""

    type: str
    subject: str
    email: str | None
    is_private_email: bool | None
    occurred_at: float
    """Seconds since 1970, by the provider's clock."""


class ProviderEvents:
    def __init__(
        self,
        settings: Settings,
        *,
        oauth: OAuthClient,
        backend: BackendClient,
        revocation: BackchannelLogout,
        redis: Redis | None,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._secret_key = settings.secret_key
        self._oauth = oauth
        self._backend = backend
        self._revocation = revocation
        self._used_tokens = UsedTokens("munjigi:notification", _KEEP_SECONDS, redis, clock)
        self._audit = audit

    def receive(
        self, registration: Registration, notifications: Notifications, token: object, context: RequestContext
    ) -> None:
        """Process a notification.

        Raises `InvalidToken`, `ProviderUnavailable` if the keys that verify it cannot be fetched, and another
        `SiteError` if the backend has not accepted the event. In the last two cases the provider has to repeat it.
        """
        content = self._oauth.verify_notification(registration, token, context)
        if self._used_tokens.is_used(registration.issuer_name, content.jti):
            raise InvalidToken("it was used before")
        event = _read_event(notifications, content)
        if event.type not in notifications.types:
            log.warning("notification of an unknown type: provider=%s type=%.80a", registration.id, event.type)
        else:
            if event.type in notifications.ending_types:
                self._revocation.by_provider_event(registration, event.subject, content.issued_at, context)
            self._pass_on(registration, event, content.jti, str(token), context)
        self._used_tokens.use(registration.issuer_name, content.jti)

    def _pass_on(
        self, registration: Registration, event: _Event, event_id: str, token: str, context: RequestContext
    ) -> None:
        if not self._backend.takes_provider_events:
            self._record(registration, event, "not_passed_on", context)
            return
        values = {**_values(registration, event), "event_id": event_id, "notification": token}
        try:
            self._backend.send_provider_event(values, context)
        except errors.SiteError as error:
            log.error("event of a provider not passed on: provider=%s reason=%s", registration.id, error.reason)
            self._record(registration, event, "failed", context)
            raise
        self._record(registration, event, "passed_on", context)

    def _record(self, registration: Registration, event: _Event, outcome: str, context: RequestContext) -> None:
        account = account_hash(f"{registration.id}:{event.subject}", self._secret_key)
        self._audit.record(
            "provider_event", context, provider=registration.id, type=event.type, outcome=outcome, account=account
        )


def _read_event(notifications: Notifications, content: Notification) -> _Event:
    """Raises `InvalidToken` for an event without a type or a subject. Other invalid fields are dropped."""
    try:
        event = notifications.event(content.claims)
        identity = validate_identity(Identity(subject=event.subject, email=event.email), "")
        if not isinstance(event.type, str) or not event.type:
            raise ValueError("no type")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InvalidToken(f"its event cannot be read: {error!a:.80}") from None
    # An event cannot happen after its notification.
    is_possible = is_time(event.occurred_at) and event.occurred_at <= content.issued_at + MAX_DIFFERENCE_SECONDS
    return _Event(
        event.type,
        str(identity.subject),
        identity.email if identity.email and identity.email.isprintable() else None,
        event.is_private_email,
        event.occurred_at if is_possible else content.issued_at,
    )


def _values(registration: Registration, event: _Event) -> Mapping[str, Any]:
    """The values for the backend's call. Unknown values are left out."""
    time = datetime.fromtimestamp(event.occurred_at, UTC)
    values = {
        "provider": registration.backend_name,
        "type": event.type,
        "subject": event.subject,
        "email": event.email,
        "is_private_email": event.is_private_email,
        "occurred_at": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    return {name: value for name, value in values.items() if value is not None}
