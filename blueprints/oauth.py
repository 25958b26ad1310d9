"""Sign-in with a provider: the authorization request and the callback (OAuth 2.0, RFC 6749, section 4.1)."""

import hashlib
import logging
from typing import Any

import flask
from flask import Blueprint, abort, redirect, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import MethodNotAllowed

import errors
from providers.base import Registration
from services import identifiers, services
from services.oauth.attempts import STATE_LENGTH, Attempt
from services.sessions.model import Session
from services.sign_in_options import SignInOptions
from web import (
    auto_login,
    confirm_page,
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
from web.prefetch import is_prefetch
from web.redirects import redirect_to_provider

bp = Blueprint("oauth", __name__)
log = logging.getLogger("munjigi.oauth")

_LAST_SIGN_IN = "finished"
"""Key in Flask's session: digest of the `state` and redirect target of the last completed sign-in."""
_MAX_STORED_TARGET_LENGTH = 1000
"""Characters. The visitor cookie stores the target and may have 4096 bytes. With a longer one, a reload of the callback
redirects to the home page."""


@bp.post("/api/auth/signin/<provider>")
def start(provider: str) -> ResponseReturnValue:
    """Start a sign-in: send the browser to the authorization endpoint of the provider.

    A form gets a page with a meta refresh, not a redirect: the CSP's `form-action` blocks redirects of form posts to
    other sites. With `json=true`, the answer is JSON with the `url`.
    """
    registration, context = _registration(provider), request_context.current()
    callback_url = redirect_target.requested()
    is_link = providers_page.is_on() and request_body.flag("link")  # of templates/account_providers.html
    is_confirmation = not is_link and request_body.flag("confirm")  # of web/confirm_page.py
    session = services().sessions.load() if is_link or is_confirmation else None
    if session is None and (is_link or is_confirmation):
        return _redirect_with_error(errors.SessionRequired(), callback_url)
    if is_link and session and confirm_page.is_needed(session):
        return _redirect_to(confirm_page.url(None, providers_page.url()))
    try:
        services().limiter.hit_ip(context)
        authorization_url, attempt = services().oauth.authorization_url(
            registration,
            context,
            callback_url,
            flask.session.get("locale"),
            **{**_purpose(session, is_link=is_link), **_extra_params()},
        )
    except errors.SiteError as error:
        record_failure = services().provider_links.record_failure if is_link else services().sign_in.record_failure
        record_failure(registration, error, context)
        return _redirect_with_error(error, callback_url, is_confirmation=is_confirmation, is_link=is_link)
    services().attempts.save(attempt, registration.provider, context)
    if request_body.json_requested():
        return {"url": authorization_url}
    return redirect_to_provider(authorization_url, registration)


@bp.route("/api/auth/callback/<provider>", methods=["GET", "POST"])
def callback(provider: str) -> ResponseReturnValue:
    """Complete a sign-in: redirect to its target, or to the sign-in page with an error.

    Providers with `form_post` answer by POST (OAuth 2.0 Form Post Response Mode). For them, the only expected GET is
    the one that `_without_attempt` redirects to. A prefetch is refused with 403: it would use up the
    code, and the browser may discard the response.
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
        return _finish_link_by_get(registration) or _handle_repeat(registration, request.args.get("state"))
    params, is_unambiguous = _callback_params()
    state, context = params.get("state"), request_context.current()
    attempt = services().attempts.load(registration.provider, state, context)
    services().attempts.delete(registration.provider, state, context)
    if attempt is None:
        return _without_attempt(registration, state)
    params = params if is_unambiguous else {}
    if attempt.link_session is None:
        return _complete(registration, attempt, params)
    if request.method == "POST":
        services().attempts.save_params(attempt, registration.provider, params, context)
        return _without_attempt(registration, state)
    return _complete_link(registration, attempt, params)


def _purpose(session: Session | None, *, is_link: bool) -> dict[str, Any]:
    """The purpose of an attempt. session: the session that it confirms, or to which it connects a provider."""
    if session is None:
        options = password_reset_note.sign_in_options(remember=remember_me.requested())
        return {"remember": options.remember or None, "end_others_of": options.end_others_of}
    if is_link:
        return {"link_session": session.public_sid}
    return {"user_id": str(session.user.id), "remember": not session.is_short}


def _extra_params() -> dict[str, str]:
    """The parameters that a page may add to the authorization request: only `login_hint`.

    See OpenID Connect Core 1.0, section 3.1.2.1. NextAuth v4 passes on all parameters, even `client_id`.
    """
    hint = identifiers.clean(request.args.get("login_hint", ""))
    return {"login_hint": hint} if hint and hint.isprintable() else {}


def _registration(provider: str) -> Registration:
    return services().settings.registration(provider) or abort(404)


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
        return next_step_page.redirect_to_page(required, attempt.return_to)
    except errors.SiteError as error:
        if attempt.is_automatic:
            return redirect(login_page.url(None, attempt.return_to), 303)
        if isinstance(error, errors.OAuthAccountNotLinked) and attempt.user_id is None:
            providers_page.remember_refused(registration)
        return _redirect_with_error(error, attempt.return_to, is_confirmation=attempt.user_id is not None)
    _restore_language(attempt)
    if len(target_url) < _MAX_STORED_TARGET_LENGTH:
        flask.session[_LAST_SIGN_IN] = [_state_digest(attempt.state), target_url]
    provider_buttons.save_last_used(registration)
    auto_login.forget()
    return redirect(providers_page.target_after_sign_in(target_url, registration) or target_url, 303)


def _restore_language(attempt: Attempt) -> None:
    if attempt.language:
        flask.session["locale"] = attempt.language


def _sign_in(registration: Registration, attempt: Attempt, params: dict[str, str]) -> Session:
    context = request_context.current()
    try:
        identity, issuer_session = services().oauth.finish(registration, attempt, params, context)
    except errors.SiteError as error:
        if attempt.is_automatic:
            log.info("automatic sign-in without a session: provider=%s reason=%s", registration.id, error.reason)
        else:
            services().sign_in.record_failure(registration, error, context)
        raise
    return services().sign_in.with_identity(
        registration,
        identity,
        context,
        SignInOptions(user_id=attempt.user_id, end_others_of=attempt.end_others_of, remember=bool(attempt.remember)),
        issuer_session=issuer_session,
    )


def _finish_link_by_get(registration: Registration) -> ResponseReturnValue | None:
    """Connect a provider after its callback by POST, which did not carry the session's cookie."""
    state, context = request.args.get("state"), request_context.current()
    attempt = services().attempts.load(registration.provider, state, context)
    if attempt is None or attempt.link_session is None or attempt.sealed_params is None:
        return None
    services().attempts.delete(registration.provider, state, context)
    return _complete_link(registration, attempt, services().attempts.params(attempt))


def _complete_link(registration: Registration, attempt: Attempt, params: dict[str, str]) -> ResponseReturnValue:
    """Connect the provider to the user of the session that started the attempt, and to no other user."""
    _restore_language(attempt)
    target_url = attempt.return_to or providers_page.url()
    try:
        services().attempts.finish_once(attempt, lambda: _link(registration, attempt, params))
    except errors.SiteError as error:
        return _redirect_with_error(error, None, is_link=True)
    if len(target_url) < _MAX_STORED_TARGET_LENGTH:
        flask.session[_LAST_SIGN_IN] = [_state_digest(attempt.state), target_url]
    return providers_page.finish(registration, target_url)


def _link(registration: Registration, attempt: Attempt, params: dict[str, str]) -> Session:
    context, session = request_context.current(), services().sessions.load()
    try:
        if session is None:
            raise errors.SessionRequired("the session ended while a provider was being connected")
        if session.public_sid != attempt.link_session:
            raise errors.SessionChanged("another session started to connect this provider")
        identity = services().oauth.fetch_identity(registration, attempt, params, context)
    except errors.SiteError as error:
        services().provider_links.record_failure(registration, error, context)
        raise
    return services().provider_links.link(registration, identity, context)


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
    error: errors.SiteError, callback_url: str | None, *, is_confirmation: bool = False, is_link: bool = False
) -> ResponseReturnValue:
    """Redirect to the page of the form with the error. After the redirect, a reload does not send the code again."""
    if is_link:
        return _redirect_to(providers_page.url_with_error(error))
    url = (confirm_page.url if is_confirmation else login_page.url_with_error)(error, callback_url)
    return _redirect_to(url)


def _redirect_to(url: str) -> ResponseReturnValue:
    return {"url": url} if request_body.json_requested() else redirect(url, 303)


def _state_digest(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()[:16]
