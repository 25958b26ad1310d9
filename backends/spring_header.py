"""Spring with its form login, the access token in the header `access`, and the refresh token in a cookie."""

from dataclasses import replace

from backends import spring
from backends.base import Call

_COOKIE = {"Cookie": "refresh={refresh_token}"}

backend = replace(
    spring.backend,
    id="spring-header",
    login=Call("POST", "/login", {"username": "{identifier}", "password": "{password}"}, form=True),
    refresh=Call("POST", "/reissue", headers=_COOKIE),
    logout=Call("POST", "/logout", headers=_COOKIE),
    token="header:access|header:Authorization",
    token_header="access: {token}",
    refresh_token="cookie:refresh",
)
