"""A Django site in one process: settings, an SQLite file, and `/test/account`, which creates and changes accounts.

The backends of this folder that are made with Django use it. Arguments of the command: port, SQLite file and, for some
of them, how many seconds an access token lives: refresh tokens then rotate.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, URLResolver, path

ACCESS_SECONDS = int(sys.argv[3]) if len(sys.argv) > 3 else None
SECRET = "of-the-tests-and-long-enough-for-any-algorithm"


def configure(*apps: str, middleware: tuple[str, ...] = (), **options: Any) -> None:
    """Configure Django for a module that has `urlpatterns`, with these apps and settings."""
    sessions, auth = "django.contrib.sessions", "django.contrib.auth"
    settings.configure(
        SECRET_KEY=SECRET,
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF="__main__",
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[2], "OPTIONS": {"timeout": 30}}
        },
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        INSTALLED_APPS=[auth, "django.contrib.contenttypes", sessions, *apps],
        MIDDLEWARE=[
            f"{sessions}.middleware.SessionMiddleware",
            f"{auth}.middleware.AuthenticationMiddleware",
            *middleware,
        ],
        PASSWORD_HASHERS=[f"{auth}.hashers.MD5PasswordHasher"],
        EMAIL_BACKEND="django.core.mail.backends.locmem.EmailBackend",
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
        USE_TZ=True,
        **options,
    )
    django.setup()


def serve(*urls: URLPattern | URLResolver) -> list[URLPattern | URLResolver]:
    """Return the `urlpatterns` of the module."""
    return [*urls, path("test/account", change_account), path("test/mails", list_mails)]


def run(prepare: Callable[[], None] = lambda: None) -> None:
    """Create the database, call `prepare` and serve."""
    call_command("migrate", verbosity=0)
    prepare()
    call_command("runserver", f"127.0.0.1:{sys.argv[1]}", use_reloader=False, skip_checks=True)


def change_account(request: HttpRequest) -> HttpResponse:
    """POST creates an account, PATCH changes its names, e-mail address or password, DELETE deletes it."""
    from django.apps import apps
    from django.contrib.auth.models import User

    data = json.loads(request.body)
    if request.method == "POST":
        return JsonResponse(create_account(data), status=201)
    user = User.objects.get(email=data["email"])
    if request.method == "DELETE":
        user.delete()
        return HttpResponse(status=204)
    user.username = data.get("username", user.username)
    user.first_name = data.get("name", user.first_name)
    user.email = data.get("new_email", user.email)
    if "password" in data:
        user.set_password(data["password"])
    user.save()
    if "new_email" in data and apps.is_installed("allauth.account"):
        user.emailaddress_set.update(email=data["new_email"])
    return HttpResponse(status=204)


def list_mails(request: HttpRequest) -> HttpResponse:
    """The texts of the mails to `to`, oldest first."""
    from django.core import mail

    mails = [message for message in getattr(mail, "outbox", []) if request.GET["to"] in message.to]
    return HttpResponse(json.dumps([message.body for message in mails]), content_type="application/json")


def create_account(data: dict[str, Any]) -> dict[str, Any]:
    """Create it. Returns the secret of its second factor and the recovery codes, if it has these."""
    from django.apps import apps
    from django.contrib.auth.models import User

    user = User.objects.create_user(data["username"], data["email"], data["password"], first_name=data["name"])
    if apps.is_installed("allauth.account"):
        from allauth.account.models import EmailAddress

        EmailAddress.objects.create(user=user, email=user.email, verified=data["is_verified"], primary=True)
    elif not data["is_verified"]:
        user.is_active = False
        user.save()
    if not data["has_second_factor"]:
        return {}
    from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
    from allauth.mfa.totp.internal.auth import TOTP

    TOTP.activate(user, "JBSWY3DPEHPK3PXP")
    return {"secret": "JBSWY3DPEHPK3PXP", "recovery_codes": RecoveryCodes.activate(user).get_unused_codes()}
