"""django-oauth-toolkit: the OAuth 2.0 password grant, with name and e-mail address in the userinfo response."""

from typing import Any

import django_site

django_site.configure(
    "oauth2_provider",
    OAUTH2_PROVIDER={
        "OIDC_ENABLED": True,
        "OIDC_ISS_ENDPOINT": "http://127.0.0.1",
        "OAUTH2_VALIDATOR_CLASS": "__main__.Validator",
        "SCOPES": {"openid": "Who the user is"},
        "PKCE_REQUIRED": False,
        "ACCESS_TOKEN_EXPIRE_SECONDS": django_site.ACCESS_SECONDS or 36000,
        "REFRESH_TOKEN_REUSE_PROTECTION": True,
    },
)

from django.urls import include, path  # noqa: E402
from oauth2_provider.models import Application  # noqa: E402
from oauth2_provider.oauth2_validators import OAuth2Validator  # noqa: E402


class Validator(OAuth2Validator):
    oidc_claim_scope = None

    def get_additional_claims(self, request: Any) -> dict[str, str]:
        return {"name": request.user.first_name, "email": request.user.email}


def create_client() -> None:
    Application.objects.create(
        client_id="munjigi",
        client_secret="of-the-client-and-long-enough-for-any-algorithm",
        hash_client_secret=False,
        algorithm=Application.HS256_ALGORITHM,
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_PASSWORD,
    )


urlpatterns = django_site.serve(path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")))

if __name__ == "__main__":
    django_site.run(create_client)
