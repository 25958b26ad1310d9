"""FastAPI-Users with its JWT strategy and bearer transport."""

from backends.base import Backend, Call, FieldErrors, Meaning, Rule

_PASSWORD_CALLS = ("REGISTER", "RESET_PASSWORD", "UPDATE_USER")

backend = Backend(
    id="fastapi-users",
    login=Call("POST", "/auth/jwt/login", {"username": "{identifier}", "password": "{password}"}, form=True),
    user=Call("GET", "/users/me"),
    logout=Call("POST", "/auth/jwt/logout"),
    register=Call("POST", "/auth/register", {"email": "{identifier}", "password": "{password}"}),
    forgot=Call("POST", "/auth/forgot-password", {"email": "{identifier}"}),
    reset=Call("POST", "/auth/reset-password", {"token": "{code}", "password": "{new_password}"}),
    verify_email=Call("POST", "/auth/verify", {"token": "{code}"}),
    resend_verification=Call("POST", "/auth/request-verify-token", {"email": "{identifier}"}),
    change_password=Call("PATCH", "/users/me", {"password": "{new_password}"}),
    checks_current_password=False,
    token="access_token",
    meanings=(
        Rule(400, "detail", "LOGIN_USER_NOT_VERIFIED", Meaning.NOT_VERIFIED),
        Rule(400, "detail", "REGISTER_USER_ALREADY_EXISTS", Meaning.TAKEN),
        *(Rule(400, "detail.code", f"{call}_INVALID_PASSWORD", Meaning.WEAK_PASSWORD) for call in _PASSWORD_CALLS),
    ),
    field_errors=FieldErrors("detail"),
    message="detail.reason|detail",
    logout_revokes=False,
)
