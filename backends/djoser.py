"""djoser with JWTs (djangorestframework-simplejwt), below `/auth/`."""

from backends.base import Backend, Call, FieldErrors

backend = Backend(
    id="djoser",
    login=Call("POST", "/auth/jwt/create/", {"username": "{identifier}", "password": "{password}"}),
    user=Call("GET", "/auth/users/me/"),
    refresh=Call("POST", "/auth/jwt/refresh/", {"refresh": "{refresh_token}"}),
    register=Call("POST", "/auth/users/", {"username": "{identifier}", "email": "{email}", "password": "{password}"}),
    forgot=Call("POST", "/auth/users/reset_password/", {"email": "{email}"}),
    reset=Call(
        "POST",
        "/auth/users/reset_password_confirm/",
        {"uid": "{uid}", "token": "{code}", "new_password": "{new_password}"},
    ),
    verify_email=Call("POST", "/auth/users/activation/", {"uid": "{uid}", "token": "{code}"}),
    resend_verification=Call("POST", "/auth/users/resend_activation/", {"email": "{email}"}),
    change_password=Call(
        "POST", "/auth/users/set_password/", {"current_password": "{password}", "new_password": "{new_password}"}
    ),
    min_password_length=8,
    token="access",
    refresh_token="refresh",
    user_fields={"id": "id", "name": "username", "email": "email"},
    field_errors=FieldErrors("body", status=400),
    message="detail|non_field_errors.0",
)
