"""djoser with simplejwt, as its documentation sets it up."""

import django_site

django_site.configure(
    "rest_framework",
    "djoser",
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTAuthentication"],
        "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.AnonRateThrottle"],
        "DEFAULT_THROTTLE_RATES": {"anon": "9/hour"},
    },
)

from django.urls import include, path  # noqa: E402

urlpatterns = django_site.serve(path("auth/", include("djoser.urls")), path("auth/", include("djoser.urls.jwt")))

if __name__ == "__main__":
    django_site.run()
