"""Strapi with its plugin users-permissions. Refresh tokens need `jwtManagement: "refresh"`."""

from backends.base import Backend, Call, FieldErrors, Meaning, Rule

backend = Backend(
    id="strapi",
    login=Call("POST", "/api/auth/local", {"identifier": "{identifier}", "password": "{password}"}),
    user=Call("GET", "/api/users/me"),
    refresh=Call("POST", "/api/auth/refresh", {"refreshToken": "{refresh_token}"}),
    logout=Call("POST", "/api/auth/logout", {}),
    token="jwt",
    refresh_token="refreshToken",
    user_fields={"id": "id", "name": "username", "email": "email"},
    meanings=(
        Rule(400, "error.message", "Your account email is not confirmed", Meaning.NOT_VERIFIED),
        Rule(400, "error.message", "Your account has been blocked*", Meaning.LOCKED),
        Rule(403, "error.name", "ForbiddenError", Meaning.CONFIGURATION),  # the role lacks the permission for `me`
    ),
    field_errors=FieldErrors("error.details.errors", status=400),
    message="error.message",
    retry_after="header:X-RateLimit-Reset",
    logout_done=(401, 404),  # 404: without refresh tokens there is no logout
    logout_revokes=False,
)
