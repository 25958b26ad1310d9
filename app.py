"""The application factory: configuration, extensions, hooks and blueprints."""

import os
import secrets
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, redirect
from flask.typing import ResponseReturnValue
from flask_babel import Babel, get_locale
from flask_login import LoginManager, current_user
from flask_wtf.csrf import generate_csrf
from jinja2 import BaseLoader, ChoiceLoader, DictLoader, FileSystemLoader, PrefixLoader, StrictUndefined
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import MapAdapter

import config
import errors
import providers
import settings_readers
from blueprints import (
    account,
    account_password,
    account_providers,
    backchannel_logout,
    forward_auth,
    health,
    home,
    login,
    logout,
    mail_link,
    mail_request,
    nextauth_client,
    nextauth_session,
    oauth,
    passkeys,
    provider_notifications,
    register,
    social_register,
    static_files,
    verify,
)
from config import Settings
from doctor import command as doctor_command
from services import Services, services
from services.backend.user import User
from services.clock import Clock
from web import (
    account_form,
    csrf,
    current_page,
    error_handlers,
    forms,
    locale,
    login_page,
    prefetch,
    request_context,
    security_headers,
    tracing,
    visitor_cookie,
)

MAX_BODY_BYTES = 64 * 1024
"""Size of a request body; a larger one gets 413. A provider's callback by POST is the largest: a code, an id_token and
a name."""

login_manager = LoginManager()
# Session protection binds a session to the client address, and a phone's address changes between networks.
login_manager.session_protection = None


def create_app(
    settings: Settings | None = None, is_stopping: Callable[[], bool] = lambda: False, clock: Clock | None = None
) -> Flask:
    """Create the site with these settings, or with those of the environment. Raises `SettingsError`.

    `is_stopping` returns whether the server is shutting down, for `/health/ready`. Tests pass their own `clock`.
    """
    if settings is None:
        if doctor_command.is_requested():
            return doctor_command.command_app(create_app)
        settings = config.load(os.environ)
    app = Flask(__name__, static_folder=None)  # blueprints/static_files.py serves them
    clock = clock or Clock()
    app.session_interface = visitor_cookie.SessionInterface(settings, clock)
    app.config.update(_flask_settings(settings))
    app.extensions["munjigi"] = Services.build(settings, app, request_context.current, clock)
    app.extensions["munjigi.stopping"] = is_stopping
    _register_hooks(app, settings)
    login_manager.init_app(app, add_context_processor=False)  # it would load the session for every template
    _init_templates(app, settings)
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
        provider_notifications,
        backchannel_logout,
        static_files,
        verify,
    ):
        app.register_blueprint(views.bp)
    _register_account_forms(app, settings)
    error_handlers.init_app(app)
    app.cli.add_command(doctor_command.doctor_command(create_app))
    proxy_fix = ProxyFix(app.wsgi_app, settings.proxy_hops, 0, 0, 0, 0)
    app.wsgi_app = _site_url_middleware(app, settings, proxy_fix)  # type: ignore[method-assign]  # Flask documents this
    return app


def _register_account_forms(app: Flask, settings: Settings) -> None:
    """Register the pages for which the backend has a call. All others are 404."""
    blueprints = {
        "register": register.bp,
        "forgot": mail_request.forgot_bp,
        "reset": mail_link.reset_bp,
        "verify_email": mail_link.verify_bp,
        "resend_verification": mail_request.resend_bp,
        "change_password": account_password.bp,
        "link": account_providers.bp,
        "passkey": passkeys.bp,
        "passkey_register": passkeys.account_bp,
        "passkey_remove": passkeys.removal_bp,
        "social_register": social_register.bp,
    }
    for call, bp in blueprints.items():
        if call in settings.backend.calls and (call not in ("link", "social_register") or settings.registrations):
            app.register_blueprint(bp)
    if "change_password" in settings.backend.calls or settings.reset_password_url:
        app.register_blueprint(account_password.well_known_bp)


def _flask_settings(settings: Settings) -> dict[str, object]:
    prefix = "" if not settings.secure else "__Secure-" if settings.site_path else "__Host-"
    return {
        "MUNJIGI": settings,
        "SECRET_KEY": settings.secret_key,
        "SECRET_KEY_FALLBACKS": list(settings.secret_key_fallbacks),
        "SESSION_COOKIE_NAME": f"{prefix}munjigi.visitor",
        "SESSION_COOKIE_PATH": settings.site_path or "/",
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_SECURE": settings.secure,
        # The site has no remember-me cookie. If a client sent one, Flask-Login would skip the request loader, so its
        # name is random.
        "REMEMBER_COOKIE_NAME": f"munjigi.remember-{secrets.token_hex(8)}",
        "WTF_CSRF_FIELD_NAME": csrf.FIELD,
        "WTF_CSRF_TIME_LIMIT": None,  # a token is valid as long as the visitor cookie
        "MAX_CONTENT_LENGTH": MAX_BODY_BYTES,
        "MAX_FORM_MEMORY_SIZE": MAX_BODY_BYTES,
        "PROVIDE_AUTOMATIC_OPTIONS": False,
        "BABEL_DEFAULT_LOCALE": settings.default_locale,
        "BABEL_TRANSLATION_DIRECTORIES": str(settings_readers.TRANSLATIONS),
    }


def _register_hooks(app: Flask, settings: Settings) -> None:
    app.url_map.merge_slashes = False  # Werkzeug redirects `//x` to a URL that it builds from the Host header
    app.json.sort_keys = False  # type: ignore[attr-defined]  # an attribute of Flask's default provider
    request_context.init_app(app)
    if tracer := app.extensions["munjigi"].tracing:
        tracing.init_app(app, tracer)
    app.before_request(locale.save_choice)
    app.before_request(csrf.protect)
    security_headers.init_app(app, settings)


@login_manager.request_loader
def _load_user(_: Any) -> User | None:
    session = services().sessions.load()
    return session.user if session else None


@login_manager.unauthorized_handler
def _redirect_to_login() -> ResponseReturnValue:
    error = errors.SessionExpired if services().sessions.was_revoked() else errors.SessionRequired
    if error_handlers.wants_json():
        raise error()
    page = current_page.return_address()
    return redirect(login_page.url(error if error is errors.SessionExpired else None, page), 303)


def _template_loader(app: Flask, settings: Settings) -> BaseLoader:
    """The loader of the site's templates, among them the marks of the providers, and of those in `TEMPLATES_DIR`."""
    loaders = [loader for loader in (app.jinja_loader, DictLoader(providers.mark_templates())) if loader]
    if not settings.templates_dir:
        return ChoiceLoader(loaders)
    site_templates = PrefixLoader({"site": ChoiceLoader(loaders)})  # for {% extends "site/login.html" %}
    return ChoiceLoader([FileSystemLoader(settings.templates_dir), *loaders, site_templates])


def _init_templates(app: Flask, settings: Settings) -> None:
    locale.init_app(app, settings)
    Babel(app, locale_selector=locale.select_locale)
    static_files.init_app(app, settings)
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.loader = _template_loader(app, settings)
    app.jinja_env.filters["without_controls"] = forms.without_controls
    app.jinja_env.globals.update(
        csrf_token=generate_csrf,
        current_user=current_user,
        ago=locale.format_ago,
        duration=locale.format_duration,
        get_flashed_messages=prefetch.pop_flashed_messages,
        get_locale=get_locale,
        language_links=locale.language_links,
        language_name=locale.language_name,
        language_tag=locale.language_tag,
        sentence_space=locale.sentence_space,
        request_id=request_context.reference,
        site_name=settings.site_name,
        logo_url=settings.logo_url,
        has_page=account_form.has_page,
        sign_up_page=account_form.sign_up_page,
        forgotten_password_page=account_form.forgotten_password_page,
        sign_up_url=settings.sign_up_url,
        reset_password_url=settings.reset_password_url,
    )


def _site_url_middleware(app: Flask, settings: Settings, wsgi_app: Any) -> Any:
    """Wrap the WSGI application so that every URL is built from `SITE_URL`.

    The `Host` header is replaced. The path of `SITE_URL` becomes `SCRIPT_NAME`, whether the proxy in front has removed
    it from the request's path or not.

    Bytes of the query string that must not be in a URL are percent-encoded: Werkzeug fails on those that are not UTF-8.

    There are no WebSockets here, so `Upgrade` is ignored (RFC 9110, section 7.8). Caddy's `forward_auth` passes it on
    with its check, and Werkzeug would answer such a request with 400.
    """
    path, host = settings.site_path, settings.origin.partition("://")[2]
    routes = app.url_map.bind(host)

    def middleware(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ["HTTP_HOST"] = host
        environ["SCRIPT_NAME"] = path
        environ["QUERY_STRING"] = request_context.percent_encode_non_ascii(environ.get("QUERY_STRING", ""))
        environ.pop("HTTP_UPGRADE", None)
        path_info = environ["PATH_INFO"]
        if path and (path_info == path or path_info.startswith(f"{path}/")):
            environ["PATH_INFO"] = _without_prefix(path_info, path, environ["REQUEST_METHOD"], routes)
        return wsgi_app(environ, start_response)  # type: ignore[no-any-return]

    return middleware


def _without_prefix(path_info: str, prefix: str, method: str, routes: MapAdapter) -> str:
    """The path below `SITE_URL` of a request whose path starts with the path of `SITE_URL`.

    A route may start with the same path, as all routes below `/auth` do: then the proxy may have removed the prefix
    already. If only the unchanged path is a route, it is returned. If both are routes, the path without the prefix is.
    """
    path_without_prefix = path_info[len(prefix) :] or "/"
    readings = [
        (path, each_method) for each_method in (method, "GET", "POST") for path in (path_without_prefix, path_info)
    ]
    return next((path for path, each_method in readings if routes.test(path, each_method)), path_without_prefix)
