"""How the ways in through a provider look on the sign-in page, in the order of `PROVIDERS`."""

from collections.abc import Iterable
from dataclasses import dataclass

from flask import Response, request
from flask_babel import get_locale
from flask_babel import gettext as _

from config import Settings
from providers.base import Client, localized
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
            client.id,
            label(client),
            _words(client),
            client.id == last,
            client.provider.refuses_in_app,
        )
        for client in services().settings.clients
    ]


def used_last() -> str | None:
    """The id of the provider that somebody signed in with on this browser before, if the site offers it."""
    settings = services().settings
    last = request.cookies.get(_cookie(settings))
    return last if last in [client.id for client in settings.clients] else None


def label(client: Client) -> str:
    return localized(client.label, str(get_locale()))


def _words(client: Client) -> str:
    """As the provider's guideline wants them, where it says something about this language."""
    return client.provider.button.get(str(get_locale())) or _("Sign in with %(provider)s", provider=label(client))


def remember(response: Response, client: Client) -> None:
    """For the hint on this browser's next visit; it says nothing of who the person is."""
    settings = services().settings
    response.set_cookie(
        _cookie(settings),
        client.id,
        max_age=_YEAR,
        path=settings.site_path or "/",
        secure=settings.secure,
        httponly=True,
        samesite="Lax",
    )


def _cookie(settings: Settings) -> str:
    return f"{'__Secure-' if settings.secure else ''}munjigi.last-provider"


def style_rules(clients: Iterable[Client]) -> str:
    """The colours of the buttons: the CSP allows no style but that of the sheet."""
    rule = ".way-{id} {{ --way: {0}; --on-way: {1}; --way-edge: {2}; }}\n"
    return "".join(rule.format(*client.provider.colours, id=client.id) for client in clients)
