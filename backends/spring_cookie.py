"""Spring with the access token in JSON or in a header, and the refresh token in a cookie that `/reissue` reads."""

from dataclasses import replace

from backends import spring
from backends.base import Call

_COOKIE = {"Cookie": "refreshToken={refresh_token}"}

backend = replace(
    spring.backend,
    id="spring-cookie",
    refresh=Call("POST", "/api/auth/reissue", headers=_COOKIE),
    logout=Call("POST", "/api/auth/logout", headers=_COOKIE),
    token="accessToken|access_token|data.accessToken|header:Authorization",
    refresh_token="cookie:refreshToken",
)
