"""djoser with JWTs (djangorestframework-simplejwt), below `/auth/`."""

from backends.base import Backend, Call, FieldErrors

backend = Backend(
    id="djoser",
    login=Call("POST", "/auth/jwt/create/", {"username": "{identifier}", "password": "{password}"}),
    user=Call("GET", "/auth/users/me/"),
    refresh=Call("POST", "/auth/jwt/refresh/", {"refresh": "{refresh_token}"}),
    token="access",
    refresh_token="refresh",
    user_fields={"id": "id", "name": "username", "email": "email"},
    field_errors=FieldErrors("body", status=400),
    message="detail|non_field_errors.0",
)
