"""Laravel with tymon/jwt-auth or php-open-source-saver/jwt-auth, with the routes of its quick start."""

from backends.base import Backend, Call

backend = Backend(
    id="laravel-jwt",
    login=Call("POST", "/auth/login", {"email": "{identifier}", "password": "{password}"}),
    user=Call("POST", "/auth/me"),
    refresh=Call("POST", "/auth/refresh"),  # with the access token itself
    refreshes_expired=True,
    logout=Call("POST", "/auth/logout"),
    token="access_token",
    expires="expires_in:s",
)
