"""Spring with the access token in JSON or in a header, and the refresh token in a cookie that `/reissue` reads."""

from backends.base import Backend, Call, Meaning, Rule

_COOKIE = {"Cookie": "refreshToken={refresh_token}"}

backend = Backend(
    id="spring-cookie",
    login=Call("POST", "/api/auth/login", {"email": "{identifier}", "password": "{password}"}),
    user=Call("GET", "/api/users/me"),
    refresh=Call("POST", "/api/auth/reissue", headers=_COOKIE),
    logout=Call("POST", "/api/auth/logout", headers=_COOKIE),
    token="accessToken|access_token|data.accessToken|header:Authorization",
    refresh_token="cookie:refreshToken",
    user_at="data|body",
    user_fields={
        "id": "id|userId|memberId",
        "name": "name|username",
        "nick_name": "nickname|nickName",
        "email": "email",
    },
    meanings=(
        Rule(400, "body", ..., Meaning.WRONG_CREDENTIALS),  # often a plain text
        Rule(403, "*", ..., Meaning.SESSION_OVER),  # Spring Security without an AuthenticationEntryPoint
    ),
    logout_revokes=False,
)
