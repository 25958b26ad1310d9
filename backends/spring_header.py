"""Spring with its form login, the access token in the header `access`, and the refresh token in a cookie."""

from backends.base import Backend, Call, Meaning, Rule

_COOKIE = {"Cookie": "refresh={refresh_token}"}

backend = Backend(
    id="spring-header",
    login=Call("POST", "/login", {"username": "{identifier}", "password": "{password}"}, form=True),
    user=Call("GET", "/api/users/me"),
    refresh=Call("POST", "/reissue", headers=_COOKIE),
    logout=Call("POST", "/logout", headers=_COOKIE),
    token="header:access|header:Authorization",
    token_header="access: {token}",
    refresh_token="cookie:refresh",
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
