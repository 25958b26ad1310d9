"""Payload, with the collection `users`."""

from backends.base import Backend, Call, Meaning, Rule

backend = Backend(
    id="payload",
    login=Call("POST", "/api/users/login", {"email": "{identifier}", "password": "{password}"}),
    user=Call("GET", "/api/users/me"),
    refresh=Call("POST", "/api/users/refresh-token"),  # with the access token, which must not have expired
    logout=Call("POST", "/api/users/logout"),
    profile=Call("PATCH", "/api/users/{user_id}", {"name": "{name}"}),
    token="token|refreshedToken",
    token_header="Authorization: JWT {token}",
    expires="exp:at",
    user_at="user|doc",
    meanings=(
        Rule(200, "user", None, Meaning.SESSION_OVER),
        Rule(401, "errors.0.message", "This user is locked*", Meaning.LOCKED),
    ),
    message="errors.0.message",
)
