"""How the ways in through a provider look on the sign-in page, in the order of `PROVIDERS`."""

from collections.abc import Iterable
from dataclasses import dataclass

from flask import request
from flask_babel import get_locale
from flask_babel import gettext as _

from config import Settings
from providers.base import Client, localized
from services import services
from services.response_cookies import Cookie, prefixed
from web import request_context

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
    last = request.cookies.get(_cookie_name(settings))
    return last if last in [client.id for client in settings.clients] else None


def label(client: Client) -> str:
    return localized(client.label, str(get_locale()))


def _words(client: Client) -> str:
    """As the provider's guideline wants them, where it says something about this language."""
    return client.provider.button.get(str(get_locale())) or _("Sign in with %(provider)s", provider=label(client))


def remember(client: Client) -> None:
    """Remember the provider for a hint on this browser's next visit. The cookie does not say who the person is."""
    settings = services().settings
    request_context.current().response_cookies.set(
        Cookie(
            name=_cookie_name(settings),
            value=client.id,
            path=settings.site_path or "/",
            secure=settings.secure,
            max_age=_YEAR,
        )
    )


def _cookie_name(settings: Settings) -> str:
    return prefixed("munjigi.last-provider", settings)


def style_rules(clients: Iterable[Client]) -> str:
    """The colours of the buttons: the CSP allows no style but that of the sheet."""
    rule = ".way-{id} {{ --way: {0}; --on-way: {1}; --way-edge: {2}; }}\n"
    return "".join(rule.format(*client.provider.colours, id=client.id) for client in clients)
