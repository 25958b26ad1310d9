"""Payload, with the collection `users`."""

from backends.base import Backend, Call, FieldErrors, Meaning, Rule

backend = Backend(
    id="payload",
    login=Call("POST", "/api/users/login", {"email": "{identifier}", "password": "{password}"}),
    user=Call("GET", "/api/users/me"),
    refresh=Call("POST", "/api/users/refresh-token"),  # with the access token, which must not have expired
    logout=Call("POST", "/api/users/logout"),
    profile=Call("PATCH", "/api/users/{user_id}", {"name": "{name}"}),
    register=Call("POST", "/api/users", {"email": "{identifier}", "password": "{password}", "name": "{name}"}),
    forgot=Call("POST", "/api/users/forgot-password", {"email": "{identifier}"}),
    reset=Call("POST", "/api/users/reset-password", {"token": "{code}", "password": "{new_password}"}),
    verify_email=Call("POST", "/api/users/verify/{code}"),
    change_password=Call("PATCH", "/api/users/{user_id}", {"password": "{new_password}"}),
    checks_current_password=False,
    min_password_length=3,
    token="token|refreshedToken",
    token_header="Authorization: JWT {token}",
    expires="exp:at",
    user_at="user|doc",
    meanings=(
        Rule(200, "user", None, Meaning.SESSION_OVER),
        Rule(401, "errors.0.message", "This user is locked*", Meaning.LOCKED),
    ),
    field_errors=FieldErrors("errors.0.data.errors", status=400),
    message="errors.0.message",
)
