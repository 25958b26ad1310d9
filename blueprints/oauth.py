"""Sign-in through a provider: the way out to it, and the way back."""

import hashlib

import flask
from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import MethodNotAllowed

import errors
from providers.base import Client
from services import services
from services.oauth.attempts import Attempt
from services.sessions.model import Session
from web import login_page, provider_buttons, redirect_target, request_body, request_context

bp = Blueprint("oauth", __name__)

_FINISHED = "finished"
_LONGEST_REMEMBERED = 1000


@bp.post("/api/auth/signin/<provider>")
def start(provider: str) -> ResponseReturnValue:
    """A form gets a page that goes on by itself: `form-action` would stop a redirect, at every further hop."""
    client, context = _client(provider), request_context.current()
    kept = redirect_target.kept()
    try:
        services().limiter.hit_ip(context)
        address, attempt = services().oauth.authorization_url(
            client, context, kept, flask.session.get("locale"), **_wishes()
        )
    except errors.SiteError as error:
        services().sign_in.record_failure(client, error, context)
        return _told(error, kept)
    onward: ResponseReturnValue = (
        {"url": address}
        if _wants_json()
        else render_template("onward.html", url=address, to=provider_buttons.label(client))
    )
    services().attempts.save(attempt, client.provider, context)
    return onward


@bp.route("/api/auth/callback/<provider>", methods=["GET", "POST"])
def callback(provider: str) -> ResponseReturnValue:
    client = _client(provider)
    allowed = ["GET", "POST"] if client.provider.form_post else ["GET"]
    if request.method not in allowed:
        raise MethodNotAllowed(allowed)
    if request.method == "GET" and client.provider.form_post:
        return _decide(client, request.args.get("state"))
    answer, whole = _answer()
    state, context = answer.get("state"), request_context.current()
    attempt = services().attempts.load(client.provider, state, context)
    services().attempts.delete(client.provider, state, context)
    if attempt is None:
        return _elsewhere(client, state)
    return _finish(client, attempt, answer if whole else {})


def _wishes() -> dict[str, str]:
    """Whom the page expects. v4 lets it put anything into the provider's address, even another client."""
    hint = request.args.get("login_hint", "")
    return {"login_hint": hint} if 0 < len(hint) <= 254 and hint.isprintable() else {}


def _client(provider: str) -> Client:
    return next((client for client in services().settings.clients if client.id == provider), None) or abort(404)


def _answer() -> tuple[dict[str, str], bool]:
    """The parameters that came once, and whether all did: of two values, one may be somebody else's."""
    values = request.form if request.method == "POST" else request.args
    once = {name: found[0] for name, found in values.lists() if len(found) == 1}
    return once, len(once) == len(values)


def _finish(client: Client, attempt: Attempt, answer: dict[str, str]) -> ResponseReturnValue:
    target = attempt.return_to or redirect_target.home()
    try:
        session, now = services().attempts.finish_once(attempt, lambda: _admit(client, attempt, answer))
        if not now:
            services().sign_in.repeat(client, session, request_context.current())
    except errors.SiteError as error:
        return _told(error, attempt.return_to)
    if attempt.language:
        flask.session["locale"] = attempt.language
    if len(target) < _LONGEST_REMEMBERED:
        flask.session[_FINISHED] = [_digest(attempt.state), target]
    provider_buttons.remember(client)
    return redirect(target, 303)


def _admit(client: Client, attempt: Attempt, answer: dict[str, str]) -> Session:
    context = request_context.current()
    try:
        identity = services().oauth.fetch_identity(client, attempt, answer, context)
    except errors.SiteError as error:
        services().sign_in.record_failure(client, error, context)
        raise
    return services().sign_in.with_identity(client, identity, context)


def _elsewhere(client: Client, state: str | None) -> ResponseReturnValue:
    """No attempt of this browser's. A POST from another site brought no cookies: a GET of ours will see them."""
    if client.provider.form_post:
        known = state if state and len(state) < 100 else None
        return redirect(services().settings.origin + url_for("oauth.callback", provider=client.id, state=known), 303)
    return _decide(client, state)


def _decide(client: Client, state: str | None) -> ResponseReturnValue:
    """A reload or a second click ends where the first did; whoever is signed in is not troubled."""
    digest, target = flask.session.get(_FINISHED) or ("", "")
    if services().sessions.load() is not None:
        return redirect(target if digest == _digest(state or "") else redirect_target.home(), 303)
    error = errors.AttemptExpired("no attempt of this browser")
    services().sign_in.record_failure(client, error, request_context.current())
    return _told(error, None)


def _told(error: errors.SiteError, callback_url: str | None) -> ResponseReturnValue:
    """The sign-in page with the error: by its address, so that no reload sends a code again."""
    address = login_page.url_with_error(error, callback_url)
    return {"url": address} if _wants_json() else redirect(address, 303)


def _wants_json() -> bool:
    return request_body.fields().get("json") == "true"


def _digest(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()[:16]
