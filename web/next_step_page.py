"""Renders the page for the next step of a sign-in, and redirects to it."""

import re
from urllib.parse import urlencode, urlsplit

from flask import make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

import errors
from backends.base import Method
from services import services
from services.pending_sign_ins import PendingSignIn
from web import redirect_target, request_context
from web.forms import RecoveryCodeForm, StepCodeForm

_RETURNED_CODE = re.compile(r"[\w\-.~+/=]{1,512}", re.ASCII)
"""The `code` that a page of the backend may add to the return URL."""


def redirect_to_page(
    error: errors.NextStepRequired, callback_url: str | None, *, as_json: bool = False, status: int = 303
) -> ResponseReturnValue:
    """Set the cookie of the pending sign-in and send the browser to its page.

    as_json: answer 200 with the `url`, which NextAuth's client opens.
    """
    services().pending_sign_ins.write(error.sealed, request_context.current())
    page_url = url(callback_url, error.kind)
    return {"url": page_url} if as_json else redirect(page_url, status)


def url(callback_url: str | None = None, kind: str = "code") -> str:
    """The absolute URL of the page. kind: of the pending sign-in."""
    query = f"?{urlencode({redirect_target.FIELD: callback_url})}" if callback_url else ""
    return services().settings.origin + url_for("social_register.show" if kind == "fields" else "verify.show") + query


def form_class(pending: PendingSignIn) -> type[StepCodeForm]:
    return RecoveryCodeForm if pending.kind == "recovery" else StepCodeForm


def render(
    pending: PendingSignIn,
    form: StepCodeForm | None = None,
    error: errors.SiteError | None = None,
    *,
    returned: bool = False,
) -> ResponseReturnValue:
    """Render the page, with the status of the error. returned: whether the person returns from the backend's page."""
    backend, step = services().backend, pending.step
    others = {name: method for name, method in step.methods.items() if name != pending.method}
    returned_code = request.args.get("code", "") if returned else ""
    page = render_template(
        "verify.html",
        form=form or form_class(pending)(formdata=None),
        error=error,
        pending=pending,
        method=step.methods.get(pending.method),
        can_resend=backend.can_resend and step.methods.get(pending.method) in _SENT,
        wait=max(0, pending.resend_at - int(services().clock.time())),
        other_methods={name: _label(method) for name, method in others.items()},
        can_trust=backend.can_trust and pending.kind != "redirect",
        host=urlsplit(step.url or "").hostname,
        returned=returned,
        returned_code=returned_code if _RETURNED_CODE.fullmatch(returned_code) else "",
        callback_url=redirect_target.requested(),
        offers_passkey=_offers_passkey(pending),
    )
    status = error.status if error else 422 if form and form.errors else 200
    return make_response(page, status, error.headers if error else {})


_SENT = (Method.EMAIL, Method.SMS, Method.SENT, Method.TEXT)


def _offers_passkey(pending: PendingSignIn) -> bool:
    """Whether the page offers a passkey instead of this step. That is a new sign-in, independent of this one."""
    keeps_something = pending.options.user_id or pending.options.end_others
    return "passkey" in services().settings.backend.calls and pending.kind != "redirect" and not keeps_something


def _label(method: Method) -> str:
    labels = {
        Method.APP: _("Use the authenticator app"),
        Method.EMAIL: _("Get a code by email"),
        Method.SMS: _("Get a code by text message"),
        Method.SENT: _("Get a code sent to you"),
        Method.TEXT: _("Get a code sent to you"),
        Method.RECOVERY: _("Use a recovery code"),
    }
    return str(labels[method])
