"""allauth's headless API for apps, with verified e-mail addresses and second factors."""

import django_site

django_site.configure(
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.headless",
    middleware=("allauth.account.middleware.AccountMiddleware",),
    AUTHENTICATION_BACKENDS=["allauth.account.auth_backends.AuthenticationBackend"],
    ACCOUNT_LOGIN_METHODS={"email"},
    ACCOUNT_SIGNUP_FIELDS=["email*", "password1*"],
    ACCOUNT_EMAIL_VERIFICATION="mandatory",
    ACCOUNT_USER_DISPLAY=lambda user: user.first_name,
    ALLAUTH_TRUSTED_PROXY_COUNT=1,  # else the rate limits count all people of the site as one
    HEADLESS_ONLY=True,
    HEADLESS_CLIENTS=("app",),
    HEADLESS_FRONTEND_URLS={"account_confirm_email": "/verify/{key}"},
)

from django.urls import include, path  # noqa: E402

urlpatterns = django_site.serve(
    path("accounts/", include("allauth.urls")), path("_allauth/", include("allauth.headless.urls"))
)

if __name__ == "__main__":
    django_site.run()
