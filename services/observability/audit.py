"""The audit log: one line per event, and one signal with the same fields.

No line contains a password, a token or an identifier. An account appears as a keyed hash of its identifier, the same in
all lines, so that an operator can follow a person without knowing who it is. Receivers of the signals run in a thread
of their own (`signal_delivery.py`).
"""

import hmac
import logging
from typing import Any

from blinker import Namespace, Signal
from flask import Flask

from services import identifiers
from services.observability.request_id import has_audit_line
from services.observability.signal_delivery import SignalDelivery
from services.request_context import RequestContext

log = logging.getLogger("munjigi.audit")

_signals = Namespace()
signed_in = _signals.signal("signed_in", doc="A person signed in.")
signed_out = _signals.signal("signed_out", doc="A person signed out; `everywhere`: of all sessions.")
sign_in_failed = _signals.signal("sign_in_failed", doc="A sign-in failed; `outcome` is the error code.")
sign_in_pending = _signals.signal("sign_in_pending", doc="The backend wants a next step before it signs a person in.")
sign_in_cancelled = _signals.signal("sign_in_cancelled", doc="A person cancelled a sign-in that was pending.")
csrf_failed = _signals.signal("csrf_failed", doc="A form came without a valid CSRF token, or from another site.")
rate_limited = _signals.signal("rate_limited", doc="A sign-in was refused; `limit` names the limit that was reached.")
session_revoked = _signals.signal("session_revoked", doc="Sessions were ended from outside; `by` says by whom.")
session_expired = _signals.signal("session_expired", doc="A request came with a session that has been revoked.")
registered = _signals.signal("registered", doc="A person created an account; `outcome`: what is left to do.")
mail_requested = _signals.signal("mail_requested", doc="A person asked for an email: which `form` it was.")
email_verified = _signals.signal("email_verified", doc="A person confirmed their address by the code of an email.")
password_reset = _signals.signal("password_reset", doc="A person set a new password by the code of an email.")
password_changed = _signals.signal("password_changed", doc="A signed-in person changed their password.")
provider_linked = _signals.signal("provider_linked", doc="A person connected a provider with their account.")
provider_unlinked = _signals.signal("provider_unlinked", doc="A person disconnected a provider.")
provider_link_failed = _signals.signal("provider_link_failed", doc="One of these failed; `outcome` is the error code.")
provider_event = _signals.signal("provider_event", doc="A provider notified the site of a change to an account.")
passkey_added = _signals.signal("passkey_added", doc="A signed-in person added a passkey.")
passkey_removed = _signals.signal("passkey_removed", doc="A signed-in person removed a passkey.")
account_form_failed = _signals.signal("account_form_failed", doc="One of these failed; `outcome` is the error code.")

audited = Signal("Each event with its fields, sent within the request: for metrics.")
upstream_request_finished = Signal("A call: its `host`, `status_class` (`2xx`, …, `none`) and duration in `seconds`.")
token_refresh_finished = Signal("A token refresh: its `outcome`, and the `seconds` that the request has waited.")
redis_state_changed = Signal("Redis became available or unavailable: which `part` of it, and whether it is `up`.")

delivery = SignalDelivery()


class AuditLog:
    """sender: what the signals name as their sender, the Flask application."""

    def __init__(self, sender: Flask) -> None:
        self._sender = sender

    def record(self, event: str, context: RequestContext, level: int = logging.INFO, **fields: Any) -> None:
        """Write the line and send the signal. Fields that are None are left out."""
        present_fields = {name: value for name, value in fields.items() if value is not None}
        if context.client_ip:
            present_fields = {"address": context.client_ip, **present_fields}
        log.log(level, event, extra={"fields": present_fields})
        has_audit_line.set(True)
        audited.send(self._sender, event=event, fields=present_fields)
        delivery.send(_signals[event], self._sender, present_fields)


def account_hash(identifier: str | None, key: str) -> str | None:
    """16 hexadecimal digits that stand for an account in the log."""
    if not identifier:
        return None
    message = b"account:" + identifiers.fold_case(identifier).encode()
    return hmac.new(key.encode(), message, "sha256").hexdigest()[:16]
