"""NestJS with the routes of its documentation, docs.nestjs.com/security/authentication."""

from backends.base import Backend, Call, Meaning, Rule

backend = Backend(
    id="nestjs",
    login=Call("POST", "/auth/login", {"username": "{identifier}", "password": "{password}"}),
    user=Call("GET", "/auth/profile"),
    refresh=Call("POST", "/auth/refresh", headers={"Authorization": "Bearer {refresh_token}"}),
    logout=Call("POST", None),
    token="access_token|accessToken|token",
    refresh_token="refresh_token|refreshToken",
    user_fields={
        "id": "sub|userId|id",
        "name": "name|firstName+lastName|username",
        "nick_name": "nickname",
        "email": "email",
    },
    meanings=(Rule(422, "errors.email", "needLoginViaProvider:*", Meaning.OTHER_WAY),),
    logout_revokes=False,
)
