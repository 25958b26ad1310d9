"""The backend that owns the users: the only module that knows its addresses and its JSON.

Another backend's paths are settings; another backend's JSON is this file. What each answer means is the
table of `docs/decisions/0005-what-a-backends-answer-means.md`.
"""

import logging
from collections.abc import Mapping

from flask import request
from flask_babel import get_locale

import errors
from config import Settings
from providers.base import Identity
from services.backend import login_errors
from services.backend.user import User
from services.http.client import HttpClient, UpstreamError, time_left
from services.http.response import UpstreamResponse
from services.observability.audit import client_address, request_id
from services.sessions.model import validate_token

log = logging.getLogger("munjigi.backend")

LOGOUT_SECONDS = 3.0
_SHORTEST_REVOCATION = 0.4


class Backend:
    def __init__(self, settings: Settings, upstream: HttpClient) -> None:
        self._settings = settings
        self._upstream = upstream

    def login(self, email: str, password: str) -> str:
        """The backend's token for these credentials, which are sent once and never again."""
        path = self._settings.backend_login_path
        answer = self._call("POST", path, json={"email": email, "password": password})
        if answer.status in (200, 201):
            return _token(answer, errors.CredentialsSignin)
        raise login_errors.of_login(answer)

    def social_login(self, name: str, identity: Identity, with_email: bool) -> str:
        """The backend's token for a person whom the provider that it calls `name` has proven. Never sent again."""
        path = self._settings.backend_social_path.replace("{provider}", name)
        email = {"email": identity.email} if with_email and identity.email_verified else {}
        answer = self._call("POST", path, json={"social_token": identity.social_token, **email})
        if answer.status in (200, 201):
            return _token(answer, errors.Callback)
        raise login_errors.of_social(answer)

    def user(self, access_token: str, within: float | None = None) -> User:
        """The user whose token this is; `SessionExpired` if the backend does not take it (any more)."""
        path = self._settings.backend_user_path
        answer = self._call("POST", path, access_token, within=within, retry=True)
        if answer.status in (200, 201):
            return _user(answer)
        if answer.status == 401:
            raise errors.SessionExpired("/user answered 401")
        if answer.status == 403:
            raise errors.EmailNotVerified("/user answered 403")
        raise login_errors.fault(answer, "/user")

    def save_profile(self, access_token: str, name: str | None, nick_name: str | None) -> User:
        """Save both names; the user as the backend has it afterwards."""
        path = self._settings.backend_profile_path or ""
        answer = self._call("PATCH", path, access_token, json={"name": name, "nick_name": nick_name})
        if answer.status == 401:
            raise errors.SessionExpired("the profile path answered 401")
        if answer.status == 422:
            raise errors.InvalidFields(login_errors.field_messages(answer, ("name", "nick_name")))
        if not 200 <= answer.status < 300:
            raise login_errors.fault(answer, "the profile path")
        return _user(answer) if answer.get_path("data", "user") is not None else self.user(access_token)

    def logout(self, access_token: str) -> bool:
        """Revoke the token, in little time even when the request has none left. Whether that is now certain."""
        path = self._settings.backend_logout_path
        if path is None:
            return False
        left = time_left(self._settings.backend_timeout)
        try:
            within = min(LOGOUT_SECONDS, max(left, _SHORTEST_REVOCATION))
            answer = self._call("POST", path, access_token, within=within, retry=True)
        except errors.BackendUnavailable as error:
            log.error("token not revoked: %s", error.reason)
            return False
        if 200 <= answer.status < 300 or answer.status == 401:  # 401: it was gone already
            return True
        log.error("token not revoked: the logout path answered %d", answer.status)
        return False

    def _call(
        self,
        method: str,
        path: str,
        access_token: str | None = None,
        *,
        json: object = None,
        within: float | None = None,
        retry: bool = False,
    ) -> UpstreamResponse:
        if within is None:
            within = time_left(self._settings.backend_timeout)
        url = self._settings.backend_url + path
        headers = _headers(access_token)
        try:
            return self._upstream.send(method, url, headers, within=within, json=json, retry=retry)
        except UpstreamError as fault:
            raise errors.BackendUnavailable(f"{path}: {fault.reason}", status=fault.status) from None


def _headers(access_token: str | None) -> Mapping[str, str]:
    """What the backend is told beside the body: who asks, for whom, in which language.

    No Origin, Referer or Cookie: Sanctum would take the call for a browser's and want a CSRF token.
    """
    headers = {
        # Laravel answers a wrong password with a redirect to HTML unless JSON comes first here.
        "Accept": "application/json",
        "Content-Type": "application/json",
        "Accept-Language": str(get_locale() or "en").replace("_", "-"),
        "X-Request-Id": request_id(),
    }
    if address := client_address(request.remote_addr):
        headers["X-Forwarded-For"] = address
    if access_token:
        headers["Authorization"] = f"Bearer {access_token}"
    return headers


def _token(answer: UpstreamResponse, refused: type[errors.SiteError]) -> str:
    try:
        return validate_token(answer.get_path("data", "token", "plainTextToken"))
    except ValueError:
        pass
    if answer.get_path("two_factor") is True:
        raise errors.SecondFactorRequired("the backend asks for a second factor")
    if answer.get_path("success") is False:
        raise refused("200 with success: false")
    raise errors.BackendUnavailable(f"a sign-in was answered with {answer.status} without a usable token")


def _user(answer: UpstreamResponse) -> User:
    try:
        return User.from_json(answer.get_path("data", "user"))
    except ValueError as error:
        raise errors.BackendUnavailable(f"{answer.status} without a usable user: {error}") from None
