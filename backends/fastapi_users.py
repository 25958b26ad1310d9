"""FastAPI-Users with its JWT strategy and bearer transport."""

from backends.base import Backend, Call, FieldErrors, Meaning, Rule

backend = Backend(
    id="fastapi-users",
    login=Call("POST", "/auth/jwt/login", {"username": "{identifier}", "password": "{password}"}, form=True),
    user=Call("GET", "/users/me"),
    logout=Call("POST", "/auth/jwt/logout"),
    token="access_token",
    meanings=(Rule(400, "detail", "LOGIN_USER_NOT_VERIFIED", Meaning.NOT_VERIFIED),),
    field_errors=FieldErrors("detail"),
    message="detail",
    logout_revokes=False,
)
