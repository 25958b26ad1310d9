"""The password grant of OAuth 2.0 (RFC 6749, 4.3): Keycloak, Laravel Passport, django-oauth-toolkit and others."""

import settings_readers as read
from backends.base import Backend, Call, Meaning, Rule
from settings_readers import SettingSpec

_CLIENT = {"client_id": "{BACKEND_CLIENT_ID}", "client_secret": "{BACKEND_CLIENT_SECRET}"}
_PASSWORD = {"grant_type": "password", "username": "{identifier}", "password": "{password}", "scope": "{BACKEND_SCOPE}"}
_REFRESH = {"grant_type": "refresh_token", "refresh_token": "{refresh_token}"}

backend = Backend(
    id="oauth2",
    login=Call("POST", "/token", {**_PASSWORD, **_CLIENT}, form=True),
    user=Call("GET", "/userinfo"),
    refresh=Call("POST", "/token", {**_REFRESH, **_CLIENT}, form=True),
    logout=Call("POST", "/revoke", {"token": "{token}", **_CLIENT}, form=True),  # RFC 7009
    logout_each_token=True,  # an access token does not end with its refresh token everywhere, nor the other way round
    token="access_token",
    refresh_token="refresh_token",
    expires="expires_in:s",
    refresh_expires="refresh_expires_in:s",  # Keycloak
    user_fields={
        "id": "sub|id",
        "name": "name|preferred_username",
        "nick_name": "nickname",
        "email": "email",
    },
    meanings=(
        Rule(400, "error_description", "Account is not fully set up*", Meaning.NOT_VERIFIED),  # Keycloak
        Rule(401, "error_description", "Account is not fully set up*", Meaning.NOT_VERIFIED),
        # django-oauth-toolkit, Laravel Passport
        Rule(400, "error_description", ("Request is missing*", "The request is missing*"), Meaning.CONFIGURATION),
    ),
    message="error_description|message",
    logout_done=(),
    settings={"BACKEND_CLIENT_ID": SettingSpec(read.credential, "munjigi", required=True)},
)
