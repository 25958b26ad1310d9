"""Sign-in with a provider: the authorization request and the callback (OAuth 2.0, RFC 6749, section 4.1)."""

import hashlib

import flask
from flask import Blueprint, abort, redirect, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import MethodNotAllowed

import errors
from providers.base import Registration
from services import identifiers, services
from services.oauth.attempts import STATE_LENGTH, Attempt
from services.sessions.model import Session
from web import (
    confirm_page,
    login_page,
    next_step_page,
    provider_buttons,
    redirect_target,
    remember_me,
    request_body,
    request_context,
)
from web.prefetch import is_prefetch
from web.redirects import redirect_to_provider

bp = Blueprint("oauth", __name__)

_LAST_SIGN_IN = "finished"
"""Key in Flask's session: digest of the `state` and redirect target of the last completed sign-in."""
_MAX_STORED_TARGET_LENGTH = 1000
"""Characters. The visitor cookie that holds it may have 4096 bytes. A reload of a longer one leads to the home page."""


@bp.post("/api/auth/signin/<provider>")
def start(provider: str) -> ResponseReturnValue:
    """Start a sign-in: send the browser to the authorization endpoint of the provider.

    A form gets a page with a meta refresh, not a redirect: the CSP's `form-action` blocks redirects of form posts to
    other sites. With `json=true`, the answer is JSON with the `url`.
    """
    registration, context = _registration(provider), request_context.current()
    callback_url = redirect_target.requested()
    user_id, remember = None, remember_me.requested()
    if is_confirmation := request_body.flag("confirm"):  # of web/confirm_page.py
        session = services().sessions.load()
        if session is None:
            return _redirect_with_error(errors.SessionRequired(), callback_url)
        user_id, remember = str(session.user.id), not session.is_short
    try:
        services().limiter.hit_ip(context)
        authorization_url, attempt = services().oauth.authorization_url(
            registration,
            context,
            callback_url,
            flask.session.get("locale"),
            user_id=user_id,
            remember=remember or None,
            **_extra_params(),
        )
    except errors.SiteError as error:
        services().sign_in.record_failure(registration, error, context)
        return _redirect_with_error(error, callback_url, is_confirmation=is_confirmation)
    services().attempts.save(attempt, registration.provider, context)
    if _json_requested():
        return {"url": authorization_url}
    return redirect_to_provider(authorization_url, registration)


@bp.route("/api/auth/callback/<provider>", methods=["GET", "POST"])
def callback(provider: str) -> ResponseReturnValue:
    """Complete a sign-in: redirect to its target, or to the sign-in page with an error.

    Providers with `form_post` answer by POST (OAuth 2.0 Form Post Response Mode). For them, the only expected GET is
    the one that `_without_attempt` redirects to. A prefetch of the address is refused with 403: it would use up the
    code, and the browser may throw its response away.
    """
    if is_prefetch():
        abort(403)
    registration = _registration(provider)
    methods = ["GET", "POST"] if registration.provider.form_post else ["GET"]
    if request.method not in methods:
        raise MethodNotAllowed(methods)
    if request.method == "POST" and request.mimetype != request_body.FORM:
        abort(415)
    if request.method == "GET" and registration.provider.form_post:
        return _handle_repeat(registration, request.args.get("state"))
    params, is_unambiguous = _callback_params()
    state, context = params.get("state"), request_context.current()
    attempt = services().attempts.load(registration.provider, state, context)
    services().attempts.delete(registration.provider, state, context)
    if attempt is None:
        return _without_attempt(registration, state)
    return _complete(registration, attempt, params if is_unambiguous else {})


def _extra_params() -> dict[str, str]:
    """The parameters that a page may add to the authorization request: only `login_hint`.

    See OpenID Connect Core 1.0, section 3.1.2.1. NextAuth v4 passes on all parameters, even `client_id`.
    """
    hint = identifiers.clean(request.args.get("login_hint", ""))
    return {"login_hint": hint} if hint and hint.isprintable() else {}


def _registration(provider: str) -> Registration:
    registrations = services().settings.registrations
    return next((registration for registration in registrations if registration.id == provider), None) or abort(404)


def _callback_params() -> tuple[dict[str, str], bool]:
    """The parameters that occur once, and whether all do. Parameters must not repeat (RFC 6749, section 3.1)."""
    values = request_body.fields() if request.method == "POST" else request.args
    single = {name: items[0] for name, items in values.lists() if len(items) == 1}
    return single, len(single) == len(values)


def _complete(registration: Registration, attempt: Attempt, params: dict[str, str]) -> ResponseReturnValue:
    target_url = attempt.return_to or redirect_target.home_url()
    try:
        session, is_first = services().attempts.finish_once(attempt, lambda: _sign_in(registration, attempt, params))
        if not is_first:
            services().sign_in.repeat(registration, session, request_context.current())
    except errors.NextStepRequired as required:
        _restore_language(attempt)
        return next_step_page.lead_to(required, attempt.return_to)
    except errors.SiteError as error:
        return _redirect_with_error(error, attempt.return_to, is_confirmation=attempt.user_id is not None)
    _restore_language(attempt)
    if len(target_url) < _MAX_STORED_TARGET_LENGTH:
        flask.session[_LAST_SIGN_IN] = [_state_digest(attempt.state), target_url]
    provider_buttons.save_last_used(registration)
    return redirect(target_url, 303)


def _restore_language(attempt: Attempt) -> None:
    if attempt.language:
        flask.session["locale"] = attempt.language


def _sign_in(registration: Registration, attempt: Attempt, params: dict[str, str]) -> Session:
    context = request_context.current()
    try:
        identity, issuer_session = services().oauth.finish(registration, attempt, params, context)
    except errors.SiteError as error:
        services().sign_in.record_failure(registration, error, context)
        raise
    return services().sign_in.with_identity(
        registration,
        identity,
        context,
        user_id=attempt.user_id,
        issuer_session=issuer_session,
        remember=bool(attempt.remember),
    )


def _without_attempt(registration: Registration, state: str | None) -> ResponseReturnValue:
    """Handle a callback without an attempt cookie.

    A cross-site POST carries no `SameSite=Lax` cookies, so redirect it to a GET, which carries them.
    """
    if registration.provider.form_post:
        short_state = state if state and len(state) == STATE_LENGTH else None
        url = url_for("oauth.callback", provider=registration.id, state=short_state)
        return redirect(services().settings.origin + url, 303)
    return _handle_repeat(registration, state)


def _handle_repeat(registration: Registration, state: str | None) -> ResponseReturnValue:
    """Handle a repeated callback (a reload, a second click).

    A signed-in user gets the redirect of the first callback, or one to the home page; others get `AttemptExpired`.
    """
    digest, target_url = flask.session.get(_LAST_SIGN_IN) or ("", "")
    if services().sessions.load() is not None:
        is_same = digest == _state_digest(state or "")
        return redirect(target_url if is_same else redirect_target.home_url(), 303)
    error = errors.AttemptExpired("no matching attempt cookie")
    services().sign_in.record_failure(registration, error, request_context.current())
    return _redirect_with_error(error, None)


def _redirect_with_error(
    error: errors.SiteError, callback_url: str | None, *, is_confirmation: bool = False
) -> ResponseReturnValue:
    """Redirect to the page of the form with the error. After the redirect, a reload does not send the code again."""
    url = (confirm_page.url if is_confirmation else login_page.url_with_error)(error, callback_url)
    return {"url": url} if _json_requested() else redirect(url, 303)


def _json_requested() -> bool:
    return request_body.fields().get("json") == "true"


def _state_digest(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()[:16]
