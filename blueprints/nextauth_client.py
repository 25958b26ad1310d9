"""The endpoints of NextAuth v4 that its client (`next-auth/react`) posts to or links to.

They return a redirect. With `json=true` they return JSON with an absolute `url`, from which the client reads the error.
"""

import logging
import re
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

import errors
from blueprints.logout import redirect_after_sign_out, sign_out_of_request
from services import services
from web import (
    login_page,
    next_step_page,
    password_reset_note,
    provider_buttons,
    providers_page,
    redirect_target,
    remember_me,
    request_body,
    request_context,
)

bp = Blueprint("nextauth_client", __name__, url_prefix="/api/auth")
log = logging.getLogger("munjigi.next_auth")

_EMAIL_PROVIDER_ID = "email"


@bp.get("/providers")
def providers() -> ResponseReturnValue:
    """The list of providers that NextAuth's `getProviders()` reads."""
    labels = {_EMAIL_PROVIDER_ID: login_page.form_class().nextauth_provider_name} | {
        registration.id: provider_buttons.label(registration) for registration in services().settings.registrations
    }
    return {
        provider_id: {
            "id": provider_id,
            "name": label,
            "type": "credentials" if provider_id == _EMAIL_PROVIDER_ID else "oauth",
            "signinUrl": _api_url(f"/signin/{provider_id}"),
            "callbackUrl": _api_url(f"/callback/{provider_id}"),
        }
        for provider_id, label in labels.items()
    }


@bp.get("/signin")
def sign_in_page() -> ResponseReturnValue:
    return redirect(login_page.url(errors.from_code(request.args.get("error")), redirect_target.requested()), 302)


@bp.get("/error")
def error_page() -> ResponseReturnValue:
    return redirect(login_page.url(errors.from_code(request.args.get("error")) or errors.SiteError, None), 302)


@bp.post("/signin/email")
def start() -> ResponseReturnValue:
    """NextAuth's `signIn("email")` without a password: answer with the sign-in page, which has the form."""
    return _respond(login_page.url(None, redirect_target.requested()))


@bp.post("/callback/email")
def sign_in() -> ResponseReturnValue:
    """NextAuth's `signIn("email", {email, password})`: the same sign-in as the form of the sign-in page."""
    form = login_page.form_class().read(request_body.fields())
    if not form.validate():
        raise errors.CredentialsSignin(f"not sent to the backend, invalid form fields: {', '.join(form.errors)}")
    options = password_reset_note.sign_in_options(remember=remember_me.requested(), with_password=True)
    services().sign_in.with_password(form.typed, form.password.data or "", request_context.current(), options)
    if request_body.json_requested():
        return _respond(redirect_target.redirect_target())
    return providers_page.redirect_after_sign_in(status=302)


@bp.get("/signout")
def sign_out_page() -> ResponseReturnValue:
    query: dict[str, Any] = {redirect_target.FIELD: redirect_target.requested()}
    return redirect(services().settings.origin + url_for("logout.show", **query), 302)


@bp.post("/signout")
def sign_out() -> ResponseReturnValue:
    everywhere = request_body.flag("everywhere")
    signed_out = sign_out_of_request(everywhere=everywhere)
    if request_body.json_requested():
        return _respond(signed_out.provider_url or redirect_target.redirect_target())
    return redirect_after_sign_out(signed_out, everywhere=everywhere, status=302)


@bp.post("/_log")
def client_log() -> ResponseReturnValue:
    """The client's error reports. Anyone can send them, so only the error code is logged, at debug level."""
    code = request_body.fields().get("code", "")
    if re.fullmatch(r"[A-Z_]{1,64}", code):
        log.debug("client error reported: code=%s", code)
    return "", 200


@bp.errorhandler(errors.SiteError)
def handle_error(error: errors.SiteError) -> ResponseReturnValue:
    """Answer with the URL that NextAuth uses, and with the status of the error.

    For a CSRF error NextAuth v4 sends 200, which its client reads as a successful sign-in.
    """
    if isinstance(error, errors.NextStepRequired):
        target = redirect_target.requested()
        return next_step_page.redirect_to_page(error, target, as_json=request_body.json_requested(), status=302)
    if isinstance(error, errors.CsrfError):
        page = "/signout" if request.endpoint == "nextauth_client.sign_out" else "/signin"
        callback = {redirect_target.FIELD: url} if (url := redirect_target.requested()) else {}
        return _respond(f"{_api_url(page)}?{urlencode({'csrf': 'true', 'error': error.code, **callback})}", error)
    return _respond(login_page.url_with_error(error, redirect_target.requested()), error)


def _respond(url: str, error: errors.SiteError | None = None) -> ResponseReturnValue:
    if not request_body.json_requested():
        return redirect(url, 302)
    return ({"url": url}, error.status, error.headers) if error else {"url": url}


def _api_url(path: str) -> str:
    return f"{services().settings.site_url}/api/auth{path}"
