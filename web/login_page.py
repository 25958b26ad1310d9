"""Renders the sign-in page and builds its URL. The page also shows the errors of every way to sign in."""

import re
from urllib.parse import urlencode

from flask import render_template, request, url_for
from flask_babel import get_locale
from flask_babel import lazy_gettext as _l
from itsdangerous import BadData

import errors
from services import services
from services.signing import TimedSerializer
from web import (
    in_app_browsers,
    login_page_cache,
    provider_buttons,
    redirect_target,
    remember_me,
    request_body,
    request_context,
)
from web.forms import LOGIN_FORMS, LoginForm

ERROR_PARAMETERS = ("error", "message", "reference", "wait")
"""The query parameters of `url_with_error`."""
MESSAGE_SECONDS = 600
"""How long a URL with a message of the backend is valid."""


def form_class() -> type[LoginForm]:
    """The sign-in form of this site."""
    return LOGIN_FORMS[services().settings.login_identifier]


def render(form: LoginForm | None, error: errors.SiteError | None = None) -> str:
    """Render the page with a submitted form and its errors. `form=None` renders an empty form."""
    if error:
        choose_message(error)
    callback_url = redirect_target.requested()
    language = str(get_locale())
    app = in_app_browsers.detect(request.headers.get("User-Agent", ""))
    in_app_notice = in_app_browsers.notice(app, url(None, callback_url), language) if app else None

    def render_with(**overrides: object) -> str:
        context = {
            "form": form or form_class()(formdata=None),
            "buttons": provider_buttons.buttons(),
            "error": error,
            "reference": reference_from_query(),
            "in_app_notice": in_app_notice,
            "callback_url": callback_url,
            "remember_me": services().settings.remember_me,
            "is_remember_me_ticked": remember_me.is_ticked(),
            "resend_identifier": form.typed if form and _can_resend(error) else None,
            **overrides,
        }
        return render_template("login.html", **context)

    if form is None and error is None and in_app_notice is None and login_page_cache.is_cacheable():
        return login_page_cache.render_cached(language, callback_url, render_with)
    return render_with()


def choose_message(error: errors.SiteError) -> None:
    """Choose the message that fits the kind of identifier."""
    error.message = form_class().messages.get(type(error), error.message)
    registration = services().settings.registration(services().pending_link.load(request_context.current()))
    if isinstance(error, errors.OAuthAccountNotLinked) and registration:
        error.message = _l(
            "There is already an account with this email address. Sign in the way you did before. Then you can"
            " connect %(provider)s and use it next time.",
            provider=provider_buttons.label(registration),
        )


def _can_resend(error: errors.SiteError | None) -> bool:
    """Whether the page offers to send the verification mail again after this error."""
    accounts, kind = services().accounts, services().settings.login_identifier
    return isinstance(error, errors.EmailNotVerified) and accounts.identifier_kind("resend_verification") == kind


def error_from_query() -> errors.SiteError | None:
    """The error that `url_with_error` put into the query string, with its wait in seconds; None without an error."""
    code, backend_message = _signed_message()
    error = errors.from_code(code or request.args.get("error"))
    if error and backend_message:
        error.backend_message = backend_message
    if error and re.fullmatch(r"[1-9][0-9]{0,7}", wait := request.args.get("wait", "")):
        error.retry_after = int(wait)
    return error


def _signed_message() -> tuple[str | None, str | None]:
    """The code and the backend's message in the parameter `message`; None for both without a valid signature.

    Without the signature, a link could put any text on the page.
    """
    if "message" not in request.args:
        return None, None
    try:
        code, backend_message = _serializer().loads(request.args["message"], max_age=MESSAGE_SECONDS)
    except BadData:
        return None, None
    return code, backend_message


def _sign_message(error: errors.SiteError) -> str | None:
    """The value of the parameter `message`; None if the error has no message of the backend."""
    return str(_serializer().dumps([error.code, error.backend_message])) if error.backend_message else None


def _serializer() -> TimedSerializer:
    return TimedSerializer(services().settings.signing_keys, "munjigi.backend-message", services().clock)


def reference_from_query() -> str | None:
    """The id of the failed request that the parameter `reference` names, if any."""
    reference = request.args.get("reference", "")
    return reference if re.fullmatch(r"[0-9a-f]{16}", reference) else None


def error_parameters() -> dict[str, object]:
    """The query parameters of this page that describe an error. Unknown ones and invalid values are left out."""
    error = error_from_query()
    if error is None:
        return {}
    parameters = {"error": error.code, "reference": reference_from_query(), "wait": error.retry_after}
    parameters["message"] = _sign_message(error)
    return {name: value for name, value in parameters.items() if value}


def rerender(error: errors.SiteError) -> str:
    """Render the page with an error and the submitted identifier. The password is never sent back."""
    form = form_class().without_password(request_body.fields())
    if isinstance(error, errors.InvalidFields):
        form.show_errors(error.fields)
    return render(form, error)


def url(
    error: errors.SiteError | type[errors.SiteError] | None = None,
    /,
    callback_url: str | None = None,
    *,
    endpoint: str = "login.show",
    **params: object,
) -> str:
    """The absolute URL of the sign-in page, or of `endpoint`. `params`: further query parameters (`reference`)."""
    parameters = {"error": error.code if error else None, redirect_target.FIELD: callback_url, **params}
    query = urlencode({name: value for name, value in parameters.items() if value})
    return services().settings.origin + url_for(endpoint) + (f"?{query}" if query else "")


def url_with_error(error: errors.SiteError, callback_url: str | None, endpoint: str = "login.show") -> str:
    """The URL of the sign-in page, or of `endpoint`, for an error.

    It includes the time to wait and, from status 500 on, the request id.

    A message of the backend is the value of `error`, as in NextAuth v4 for an error that `authorize` raises: its client
    returns it. The page shows it only with a valid signature in `message`.
    """
    reference = request_context.reference() if error.status >= 500 else None
    sentence = {"error": error.backend_message} if error.backend_message else {}
    return url(
        error,
        callback_url,
        endpoint=endpoint,
        **sentence,
        message=_sign_message(error),
        reference=reference,
        wait=error.retry_after,
    )
