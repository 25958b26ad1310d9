"""djoser with simplejwt and with the tokens of Django REST framework, as its documentation sets them up."""

from datetime import timedelta

import django_site

ROTATING = {
    "ACCESS_TOKEN_LIFETIME": timedelta(seconds=django_site.ACCESS_SECONDS or 300),
    "ROTATE_REFRESH_TOKENS": True,
    "BLACKLIST_AFTER_ROTATION": True,
}

django_site.configure(
    "rest_framework",
    "rest_framework.authtoken",
    "rest_framework_simplejwt.token_blacklist",
    "djoser",
    SIMPLE_JWT=ROTATING if django_site.ACCESS_SECONDS else {},
    AUTH_PASSWORD_VALIDATORS=[{"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"}],
    DJOSER={
        "SEND_ACTIVATION_EMAIL": True,
        "ACTIVATION_URL": "auth/email/verify?uid={uid}&token={token}",
        "PASSWORD_RESET_CONFIRM_URL": "auth/password/reset?uid={uid}&token={token}",
    },
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": [
            "rest_framework_simplejwt.authentication.JWTAuthentication",
            "rest_framework.authentication.TokenAuthentication",
        ],
        "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.AnonRateThrottle"],
        "DEFAULT_THROTTLE_RATES": {"anon": "9999/hour" if django_site.ACCESS_SECONDS else "9/hour"},
    },
)

from django.urls import include, path  # noqa: E402

urlpatterns = django_site.serve(
    path("auth/", include("djoser.urls")),
    path("auth/", include("djoser.urls.jwt")),
    path("auth/", include("djoser.urls.authtoken")),
)


if __name__ == "__main__":
    django_site.run()
