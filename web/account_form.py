"""Functions that the pages for sign-up, new passwords and verification share."""

from collections.abc import Callable, Mapping

from flask import current_app, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

import errors
from config import Settings
from services import services
from web import error_handlers, forms


def sign_up_page(callback_url: str | None) -> str | None:
    """The URL of the sign-up page: `SIGN_UP_URL`, or else this site's own page; None without either."""
    return services().settings.sign_up_url or _url("register", callback_url)


def forgotten_password_page(callback_url: str | None) -> str | None:
    """The same for a forgotten password."""
    return services().settings.reset_password_url or _url("password_forgot", callback_url)


def has_page(blueprint: str) -> bool:
    """Whether this site has the pages of this blueprint."""
    return blueprint in current_app.blueprints


def _url(blueprint: str, callback_url: str | None) -> str | None:
    return url_for(f"{blueprint}.show", callbackUrl=callback_url) if has_page(blueprint) else None


def link_values() -> dict[str, str]:
    """The values in the query of a link from a mail, by placeholder: `code`, `uid` and `identifier`."""
    values = {}
    for placeholder, names in services().settings.backend.mail_link_parameters.items():
        texts = [request.args[name] for name in names.split("|") if request.args.get(name)]
        if texts:
            values[placeholder] = texts[0]
    return values


def link_parameters() -> list[str]:
    """The names of the parameters that the links of mails may have."""
    names = services().settings.backend.mail_link_parameters.values()
    return [name for alternatives in names for name in alternatives.split("|")]


def password_rules() -> str | None:
    """The rules for a new password in the language of the page: `PASSWORD_RULES`, or the known rules of the backend."""
    settings: Settings = services().settings
    if settings.password_rules:
        return forms.localized(settings.password_rules)
    if length := settings.backend.min_password_length:
        return str(_("Use at least %(min)d characters.", min=length))
    return None


def respond(
    error: errors.SiteError,
    show: Callable[[errors.SiteError], str],
    show_fields: Callable[[Mapping[str, str]], None] | None = None,
) -> ResponseReturnValue:
    """Answer with the page of the form and this error, or with JSON if the client accepts that.

    show_fields: adds messages to the fields of the form.
    """
    if error_handlers.wants_json():
        return error_handlers.site_error(error)
    if show_fields and isinstance(error, errors.InvalidFields):
        show_fields(error.fields)
    return show(error), error.status, error.headers
