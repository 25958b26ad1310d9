"""Spring with a pair of JWTs in JSON, bare or below `data`."""

from backends.base import Backend, Call, Meaning, Rule

backend = Backend(
    id="spring",
    login=Call("POST", "/api/auth/login", {"email": "{identifier}", "password": "{password}"}),
    user=Call("GET", "/api/users/me"),
    refresh=Call("POST", "/api/auth/refresh", {"refreshToken": "{refresh_token}"}),
    logout=Call("POST", "/api/auth/logout"),
    token="accessToken|access_token|token|data.accessToken|data.access_token",
    refresh_token="refreshToken|refresh_token|data.refreshToken|data.refresh_token",
    user_at="data|body",
    user_fields={
        "id": "id|userId|memberId",
        "name": "name|username",
        "nick_name": "nickname|nickName",
        "email": "email",
    },
    meanings=(
        Rule(400, "body", ..., Meaning.WRONG_CREDENTIALS),  # often a plain text
        # Without an AuthenticationEntryPoint, Spring Security answers so to whatever it refuses.
        Rule(403, "body", "", Meaning.WRONG_CREDENTIALS),
        Rule(403, "*", ..., Meaning.SESSION_OVER),
    ),
    logout_revokes=False,
)
