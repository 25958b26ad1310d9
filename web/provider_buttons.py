"""How the ways in through a provider look on the sign-in page, in the order of `PROVIDERS`."""

from collections.abc import Iterable
from dataclasses import dataclass

from flask import Response, request
from flask_babel import get_locale
from flask_babel import gettext as _

from config import Settings
from providers.base import Registration, localized
from services import services

_YEAR = 365 * 24 * 3600


@dataclass(frozen=True)
class Way:
    id: str
    label: str
    words: str
    """On the button."""
    used_last: bool
    refuses_in_app: bool


def ways() -> list[Way]:
    last = used_last()
    return [
        Way(
            registration.id,
            label(registration),
            _words(registration),
            registration.id == last,
            registration.provider.refuses_in_app,
        )
        for registration in services().settings.registrations
    ]


def used_last() -> str | None:
    """The id of the provider that somebody signed in with on this browser before, if the site offers it."""
    settings = services().settings
    last = request.cookies.get(_cookie(settings))
    return last if last in [registration.id for registration in settings.registrations] else None


def label(registration: Registration) -> str:
    return localized(registration.label, str(get_locale()))


def _words(registration: Registration) -> str:
    """As the provider's guideline wants them, where it says something about this language."""
    text = registration.provider.button_text.get(str(get_locale()))
    return text or _("Sign in with %(provider)s", provider=label(registration))


def remember(response: Response, registration: Registration) -> None:
    """For the hint on this browser's next visit; it says nothing of who the person is."""
    settings = services().settings
    response.set_cookie(
        _cookie(settings),
        registration.id,
        max_age=_YEAR,
        path=settings.site_path or "/",
        secure=settings.secure,
        httponly=True,
        samesite="Lax",
    )


def _cookie(settings: Settings) -> str:
    return f"{'__Secure-' if settings.secure else ''}munjigi.last-provider"


def style_rules(registrations: Iterable[Registration]) -> str:
    """The colours of the buttons: the CSP allows no style but that of the sheet."""
    rule = ".way-{id} {{ --way: {0}; --on-way: {1}; --way-edge: {2}; }}\n"
    return "".join(rule.format(*registration.provider.colors, id=registration.id) for registration in registrations)
