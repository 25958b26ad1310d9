"""Sign-in through a provider: the way out to it, and the way back."""

import hashlib

import flask
from flask import Blueprint, abort, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import MethodNotAllowed

import errors
from providers.base import Registration
from services import services
from services.oauth.attempts import Attempt
from services.sessions.model import Session
from web import login_page, provider_buttons, redirect_target, request_body

bp = Blueprint("oauth", __name__)

_FINISHED = "finished"
_LONGEST_REMEMBERED = 1000


@bp.post("/api/auth/signin/<provider>")
def start(provider: str) -> ResponseReturnValue:
    """A form gets a page that goes on by itself: `form-action` would stop a redirect, at every further hop."""
    registration = _registration(provider)
    kept = redirect_target.kept()
    try:
        services().limiter.hit_ip()
        address, attempt = services().oauth.start(registration, kept, flask.session.get("locale"), **_wishes())
    except errors.SiteError as error:
        services().sign_in.refused(registration, error)
        return _told(error, kept)
    onward = (
        {"url": address}
        if _wants_json()
        else render_template("onward.html", url=address, to=provider_buttons.label(registration))
    )
    response = make_response(onward)
    services().attempts.write(request, response, registration.provider, attempt)
    return response


@bp.route("/api/auth/callback/<provider>", methods=["GET", "POST"])
def callback(provider: str) -> ResponseReturnValue:
    registration = _registration(provider)
    allowed = ["GET", "POST"] if registration.provider.form_post else ["GET"]
    if request.method not in allowed:
        raise MethodNotAllowed(allowed)
    if request.method == "GET" and registration.provider.form_post:
        return _decide(registration, request.args.get("state"))
    answer, whole = _answer()
    state = answer.get("state")
    attempt = services().attempts.take(request, registration.provider, state)
    if attempt is None:
        response = make_response(_elsewhere(registration, state))
    else:
        response = make_response(_finish(registration, attempt, answer if whole else {}))
    services().attempts.forget(request, response, registration.provider, state)
    return response


def _wishes() -> dict[str, str]:
    """Whom the page expects. v4 lets it put anything into the provider's address, even another client_id."""
    hint = request.args.get("login_hint", "")
    return {"login_hint": hint} if 0 < len(hint) <= 254 and hint.isprintable() else {}


def _registration(provider: str) -> Registration:
    registrations = services().settings.registrations
    return next((registration for registration in registrations if registration.id == provider), None) or abort(404)


def _answer() -> tuple[dict[str, str], bool]:
    """The parameters that came once, and whether all did: of two values, one may be somebody else's."""
    values = request.form if request.method == "POST" else request.args
    once = {name: found[0] for name, found in values.lists() if len(found) == 1}
    return once, len(once) == len(values)


def _finish(registration: Registration, attempt: Attempt, answer: dict[str, str]) -> ResponseReturnValue:
    target = attempt.return_to or redirect_target.home()
    try:
        session, now = services().attempts.once(attempt, lambda: _admit(registration, attempt, answer))
        if not now:
            services().sign_in.again(registration, session)
    except errors.SiteError as error:
        return _told(error, attempt.return_to)
    if attempt.language:
        flask.session["locale"] = attempt.language
    if len(target) < _LONGEST_REMEMBERED:
        flask.session[_FINISHED] = [_digest(attempt.state), target]
    response = make_response(redirect(target, 303))
    provider_buttons.remember(response, registration)
    return response


def _admit(registration: Registration, attempt: Attempt, answer: dict[str, str]) -> Session:
    try:
        identity = services().oauth.finish(registration, attempt, answer)
    except errors.SiteError as error:
        services().sign_in.refused(registration, error)
        raise
    return services().sign_in.with_identity(registration, identity)


def _elsewhere(registration: Registration, state: str | None) -> ResponseReturnValue:
    """No attempt of this browser's. A POST from another site brought no cookies: a GET of ours will see them."""
    if registration.provider.form_post:
        known = state if state and len(state) < 100 else None
        url = url_for("oauth.callback", provider=registration.id, state=known)
        return redirect(services().settings.origin + url, 303)
    return _decide(registration, state)


def _decide(registration: Registration, state: str | None) -> ResponseReturnValue:
    """A reload or a second click ends where the first did; whoever is signed in is not troubled."""
    digest, target = flask.session.get(_FINISHED) or ("", "")
    if services().sessions.load() is not None:
        return redirect(target if digest == _digest(state or "") else redirect_target.home(), 303)
    error = errors.AttemptExpired("no attempt of this browser")
    services().sign_in.refused(registration, error)
    return _told(error, None)


def _told(error: errors.SiteError, callback_url: str | None) -> ResponseReturnValue:
    """The sign-in page with the error: by its address, so that no reload sends a code again."""
    address = login_page.url_with_error(error, callback_url)
    return {"url": address} if _wants_json() else redirect(address, 303)


def _wants_json() -> bool:
    return request_body.fields().get("json") == "true"


def _digest(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()[:16]
