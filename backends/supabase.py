"""Supabase Auth (GoTrue). Every call needs the project's anon key."""

import settings_readers as read
from backends.base import Backend, Call, Meaning, Rule
from settings_readers import SettingSpec

backend = Backend(
    id="supabase",
    headers={"apikey": "{BACKEND_API_KEY}"},
    login=Call("POST", "/auth/v1/token?grant_type=password", {"email": "{identifier}", "password": "{password}"}),
    social=Call("POST", "/auth/v1/token?grant_type=id_token", {"provider": "{provider}", "id_token": "{social_token}"}),
    user=Call("GET", "/auth/v1/user"),
    refresh=Call("POST", "/auth/v1/token?grant_type=refresh_token", {"refresh_token": "{refresh_token}"}),
    logout=Call("POST", "/auth/v1/logout?scope=local"),  # without the scope, all devices are signed out
    profile=Call("PUT", "/auth/v1/user", {"data": {"full_name": "{name}", "name": "{nick_name}"}}),
    token="access_token",
    refresh_token="refresh_token",
    expires="expires_in:s",
    refresh_reuse_seconds=10,  # GoTrue's default for `GOTRUE_SECURITY_REFRESH_TOKEN_REUSE_INTERVAL`
    user_fields={"id": "id", "name": "user_metadata.full_name", "nick_name": "user_metadata.name", "email": "email"},
    meanings=(
        Rule(400, "error_code", "email_not_confirmed", Meaning.NOT_VERIFIED),
        Rule(400, "error_code", "user_banned", Meaning.LOCKED),
        Rule(400, "error_code", "validation_failed", Meaning.CONFIGURATION),
        Rule(401, "message", "No API key found in request", Meaning.CONFIGURATION),
        Rule(403, "error_code", "bad_jwt", Meaning.SESSION_OVER),
        Rule(403, "error_code", "session_not_found", Meaning.SESSION_OVER),
    ),
    message="msg|message",
    logout_revokes=False,
    settings={"BACKEND_API_KEY": SettingSpec(read.credential, "<Project settings, API>", required=True, secret=True)},
)
