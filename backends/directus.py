"""Directus. The role of the users needs permission to read their own names and address."""

from backends.base import Backend, Call, Meaning, Rule

backend = Backend(
    id="directus",
    login=Call("POST", "/auth/login", {"email": "{identifier}", "password": "{password}"}),
    user=Call("GET", "/users/me?fields=id,first_name,last_name,email"),
    refresh=Call("POST", "/auth/refresh", {"refresh_token": "{refresh_token}", "mode": "json"}),
    logout=Call("POST", "/auth/logout", {"refresh_token": "{refresh_token}", "mode": "json"}),
    verify=Call("POST", "/auth/login", {"email": "{identifier}", "password": "{password}", "otp": "{code}"}),
    token="data.access_token",
    refresh_token="data.refresh_token",
    expires="data.expires:ms",
    user_at="data",
    user_fields={"id": "id", "name": "first_name+last_name", "email": "email"},
    meanings=(Rule(401, "errors.0.extensions.code", "INVALID_OTP", Meaning.NEXT_STEP),),
    message="errors.0.message",
    logout_revokes=False,
)
