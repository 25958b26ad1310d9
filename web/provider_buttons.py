"""The provider buttons of the sign-in page, in the order of `PROVIDERS`."""

from collections.abc import Iterable
from dataclasses import dataclass

from flask import request
from flask_babel import get_locale
from flask_babel import gettext as _

from config import Settings
from providers.base import Registration, localized
from services import services
from services.response_cookies import Cookie, prefixed
from web import request_context

_YEAR_SECONDS = 365 * 24 * 3600
"""How long a browser remembers the provider that was used last."""


@dataclass(frozen=True)
class ProviderButton:
    id: str
    kind: str
    """The id of the provider whose logo it shows."""
    label: str
    """The name of the provider."""
    text: str
    """The text on the button."""
    is_last_used: bool
    refuses_in_app: bool


def buttons() -> list[ProviderButton]:
    """The buttons of all configured providers, in the current language."""
    last_used = last_used_provider()
    return [
        ProviderButton(
            registration.id,
            registration.provider.kind or registration.id,
            label(registration),
            _text(registration),
            registration.id == last_used,
            registration.provider.refuses_in_app,
        )
        for registration in services().settings.registrations
    ]


def last_used_provider() -> str | None:
    """The id of the provider that this browser used last; None if the site does not offer it."""
    settings = services().settings
    provider_ids = {registration.id for registration in settings.registrations}
    return next(filter(provider_ids.__contains__, request.cookies.getlist(_cookie_name(settings))), None)


def label(registration: Registration) -> str:
    """The name of the provider in the current language."""
    return localized(registration.label, str(get_locale()))


def _text(registration: Registration) -> str:
    """The text that the provider's brand guideline requires in this language, else "Sign in with <provider>"."""
    text = registration.provider.button_text.get(str(get_locale()))
    return text or _("Sign in with %(provider)s", provider=label(registration))


def save_last_used(registration: Registration) -> None:
    """Remember the provider for the hint "Last used" at the next visit. The cookie holds no data about the user."""
    settings = services().settings
    request_context.current().response_cookies.set(
        Cookie(
            name=_cookie_name(settings),
            value=registration.id,
            path=settings.site_path or "/",
            secure=settings.secure,
            max_age=_YEAR_SECONDS,
        )
    )


def _cookie_name(settings: Settings) -> str:
    return prefixed("munjigi.last-provider", settings)


def style_rules(registrations: Iterable[Registration]) -> str:
    """CSS rules with the colors of the buttons. They go into the style sheet: the CSP forbids inline styles."""
    rule = ".provider-button-{id} {{ --provider-background: {0}; --provider-text: {1}; --provider-border: {2}; }}\n"
    return "".join(rule.format(*registration.provider.colors, id=registration.id) for registration in registrations)
