"""The rest of NextAuth v4's surface, as its client speaks it: forms, answered with a redirect or with `{"url"}`.

With `json=true` every answer is JSON with an absolute `url`: the client reads the error from that.
"""

import logging
import re
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

import errors
from services import services
from web import login_page, provider_buttons, redirect_target, request_body
from web.forms import LoginForm

bp = Blueprint("nextauth_client", __name__, url_prefix="/api/auth")
log = logging.getLogger("munjigi.next_auth")

_EMAIL = "email"


@bp.get("/providers")
def providers() -> ResponseReturnValue:
    named = {
        _EMAIL: "E-mail",
        **{registration.id: provider_buttons.label(registration) for registration in services().settings.registrations},
    }
    return {
        name: {
            "id": name,
            "name": label,
            "type": "credentials" if name == _EMAIL else "oauth",
            "signinUrl": _here(f"/signin/{name}"),
            "callbackUrl": _here(f"/callback/{name}"),
        }
        for name, label in named.items()
    }


@bp.get("/signin")
def sign_in_page() -> ResponseReturnValue:
    return redirect(login_page.url(errors.from_code(request.args.get("error")), redirect_target.kept()), 302)


@bp.get("/error")
def error_page() -> ResponseReturnValue:
    return redirect(login_page.url(errors.from_code(request.args.get("error")) or errors.SiteError, None), 302)


@bp.post("/signin/email")
def start() -> ResponseReturnValue:
    """There is nothing to start: the page has the form."""
    return _answer(login_page.url(None, redirect_target.kept()))


@bp.post("/callback/email")
def sign_in() -> ResponseReturnValue:
    """The same door as the form's, for programs."""
    form = LoginForm(request_body.fields())
    if not form.validate():
        raise errors.CredentialsSignin("what was typed cannot be an address and a password")
    services().sign_in.with_password(form.email.data or "", form.password.data or "")
    return _answer(redirect_target.take())


@bp.get("/signout")
def sign_out_page() -> ResponseReturnValue:
    query: dict[str, Any] = {redirect_target.FIELD: redirect_target.kept()}
    return redirect(services().settings.origin + url_for("logout.show", **query), 302)


@bp.post("/signout")
def sign_out() -> ResponseReturnValue:
    services().sign_in.out()
    return _answer(redirect_target.take())


@bp.post("/_log")
def client_log() -> ResponseReturnValue:
    """What the client would like to have logged. Anybody may send it, so little of it is taken, and quietly."""
    code = request.form.get("code", "")
    if re.fullmatch(r"[A-Z_]{1,64}", code):
        log.debug("a page reports %s", code)
    return "", 200


@bp.errorhandler(errors.SiteError)
def refused(error: errors.SiteError) -> ResponseReturnValue:
    if isinstance(error, errors.FormExpired | errors.CookiesBlocked):
        # v4 answers 200 here, and its client takes it for a sign-in.
        page = "/signout" if request.endpoint == "nextauth_client.sign_out" else "/signin"
        kept = {redirect_target.FIELD: url} if (url := redirect_target.kept()) else {}
        return _answer(f"{_here(page)}?{urlencode({'csrf': 'true', 'error': error.code, **kept})}", error)
    return _answer(login_page.url_with_error(error, redirect_target.kept()), error)


def _answer(url: str, error: errors.SiteError | None = None) -> ResponseReturnValue:
    if request_body.fields().get("json") != "true":
        return redirect(url, 302)
    return ({"url": url}, error.status, error.headers) if error else {"url": url}


def _here(path: str) -> str:
    return f"{services().settings.site_url}/api/auth{path}"
