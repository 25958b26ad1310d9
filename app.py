"""The site, put together. No rules live here."""

import os
import secrets
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import Babel, get_locale
from flask_login import LoginManager, current_user
from flask_wtf.csrf import generate_csrf
from jinja2 import ChoiceLoader, FileSystemLoader, PrefixLoader, StrictUndefined
from werkzeug.middleware.proxy_fix import ProxyFix

import config
import errors
import settings_readers
from blueprints import (
    account,
    forward_auth,
    health,
    home,
    login,
    logout,
    nextauth_client,
    nextauth_session,
    oauth,
    static_files,
)
from config import Settings
from services import Services, services
from services.backend.user import User
from services.clock import Clock
from web import csrf, error_handlers, locale, login_page, request_context, security_headers

MAX_BODY_BYTES = 64 * 1024


def create_app(
    settings: Settings | None = None, stopping: Callable[[], bool] = lambda: False, clock: Clock | None = None
) -> Flask:
    """The site for these settings, or for those of the environment; raises `SettingsError`.

    `stopping` tells whether the server is about to stop, for `/health/ready`. `clock`: a test's own.
    """
    settings = settings or config.load(os.environ)
    app = Flask(__name__, static_folder=None)  # static_files.py has them
    app.session_interface = static_files.SessionInterface()
    app.config.update(_flask_settings(settings))
    app.extensions["munjigi"] = Services.build(settings, app, request_context.current, clock or Clock())
    app.extensions["munjigi.stopping"] = stopping
    _wire_requests(app, settings)
    _wire_people(app)
    _wire_pages(app, settings)
    for views in (
        account,
        forward_auth,
        health,
        home,
        login,
        logout,
        nextauth_client,
        nextauth_session,
        oauth,
        static_files,
    ):
        app.register_blueprint(views.bp)
    error_handlers.init_app(app)
    behind_proxies = ProxyFix(app.wsgi_app, settings.proxy_hops, 0, 0, 0, 0)
    app.wsgi_app = _at_site_url(settings, behind_proxies)  # type: ignore[method-assign]  # as Flask's docs have it
    return app


def _flask_settings(settings: Settings) -> dict[str, object]:
    prefix = "" if not settings.secure else "__Secure-" if settings.site_path else "__Host-"
    return {
        "SECRET_KEY": settings.secret_key,
        "SECRET_KEY_FALLBACKS": list(settings.secret_key_fallbacks),
        "SESSION_COOKIE_NAME": f"{prefix}munjigi.visitor",
        "SESSION_COOKIE_PATH": settings.site_path or "/",
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_SECURE": settings.secure,
        # Not used, and a name that nobody can send: with such a cookie, Flask-Login would not ask the request loader.
        "REMEMBER_COOKIE_NAME": f"munjigi.remember-{secrets.token_hex(8)}",
        "WTF_CSRF_FIELD_NAME": csrf.FIELD,
        "WTF_CSRF_TIME_LIMIT": None,  # as long as the visitor cookie: a page left open over lunch still works
        "MAX_CONTENT_LENGTH": MAX_BODY_BYTES,
        "MAX_FORM_MEMORY_SIZE": MAX_BODY_BYTES,
        "PROVIDE_AUTOMATIC_OPTIONS": False,
        "BABEL_DEFAULT_LOCALE": settings.default_locale,
        "BABEL_TRANSLATION_DIRECTORIES": str(settings_readers.TRANSLATIONS),
    }


def _wire_requests(app: Flask, settings: Settings) -> None:
    # Werkzeug would answer `//x` with a redirect to what `Host` says.
    app.url_map.merge_slashes = False
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of Flask's default provider
    request_context.init_app(app)
    app.before_request(locale.save_choice)
    app.before_request(csrf.protect)
    security_headers.init_app(app, settings)


def _wire_people(app: Flask) -> None:
    people = LoginManager(app, add_context_processor=False)  # or each page would ask who is signed in
    people.session_protection = None  # binds a session to an address: phones would be signed out on the train

    @people.request_loader
    def signed_in(_: Any) -> User | None:
        session = services().sessions.load()
        return session.user if session else None

    @people.unauthorized_handler
    def to_sign_in() -> ResponseReturnValue:
        error = errors.SessionExpired if services().sessions.is_expired() else errors.SessionRequired
        if error_handlers.wants_json():
            raise error()
        page = url_for(str(request.endpoint).rpartition(".")[0] + ".show")
        return redirect(login_page.url(error if error is errors.SessionExpired else None, page), 303)


def _wire_pages(app: Flask, settings: Settings) -> None:
    locale.init_app(app)
    Babel(app, locale_selector=locale.select_locale)
    static_files.init_app(app, settings)
    app.jinja_env.undefined = StrictUndefined
    if settings.templates_dir and app.jinja_loader:
        ours = PrefixLoader({"site": app.jinja_loader})  # so that a page of one's own can build on the site's
        app.jinja_env.loader = ChoiceLoader([FileSystemLoader(settings.templates_dir), app.jinja_loader, ours])
    app.jinja_env.globals.update(
        csrf_token=generate_csrf,
        current_user=current_user,
        duration=locale.format_duration,
        get_locale=get_locale,
        language_links=locale.language_links,
        language_name=locale.language_name,
        language_tag=locale.language_tag,
        request_id=request_context.request_id,
        site_name=settings.site_name,
        logo_url=settings.logo_url,
        sign_up_url=settings.sign_up_url,
        reset_password_url=settings.reset_password_url,
    )


def _at_site_url(settings: Settings, site: Any) -> Any:
    """The site at its address, whether the proxy in front strips that address's path or not.

    `Host` has no say, not even one so odd that Werkzeug would find no address to build others from.
    """
    path, host = settings.site_path, settings.origin.partition("://")[2]

    def below(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ["HTTP_HOST"] = host
        environ["SCRIPT_NAME"] = path
        asked = environ["PATH_INFO"]
        if path and (asked == path or asked.startswith(f"{path}/")):
            environ["PATH_INFO"] = asked[len(path) :] or "/"
        return site(environ, start_response)  # type: ignore[no-any-return]

    return below
