"""dj-rest-auth with simplejwt, its blacklist, and allauth's verified e-mail addresses."""

import django_site

django_site.configure(
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "dj_rest_auth",
    "dj_rest_auth.registration",  # without it, addresses need not be verified
    middleware=("django.middleware.locale.LocaleMiddleware", "allauth.account.middleware.AccountMiddleware"),
    AUTHENTICATION_BACKENDS=["allauth.account.auth_backends.AuthenticationBackend"],
    ACCOUNT_LOGIN_METHODS={"email"},
    ACCOUNT_SIGNUP_FIELDS=["email*", "username", "password1*", "password2*"],
    ACCOUNT_EMAIL_VERIFICATION="mandatory",
    AUTH_PASSWORD_VALIDATORS=[{"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"}],
    REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": ["dj_rest_auth.jwt_auth.JWTCookieAuthentication"]},
    REST_AUTH={
        "USE_JWT": True,
        "TOKEN_MODEL": None,
        "JWT_AUTH_COOKIE": "my-app-auth",
        "JWT_AUTH_REFRESH_COOKIE": "my-refresh-token",
    },
)

from django.http import HttpResponse  # noqa: E402
from django.urls import include, path  # noqa: E402

urlpatterns = django_site.serve(
    path("dj-rest-auth/", include("dj_rest_auth.urls")),
    path("dj-rest-auth/registration/", include("dj_rest_auth.registration.urls")),
    # The link in its mail, which Django reverses: it has uid and token.
    path("reset/<uidb64>/<token>/", lambda request, **_: HttpResponse(), name="password_reset_confirm"),
)

if __name__ == "__main__":
    django_site.run()
