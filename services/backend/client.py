"""The backend that owns the users. No other module knows its paths and its JSON.

The paths are settings. What each status means is documented in `docs/decisions/0005-what-a-backends-answer-means.md`.
"""

import logging
from collections.abc import Mapping

import errors
from config import Settings
from providers.base import Identity
from services.backend import login_errors
from services.backend.user import User
from services.bearer_token import validate_token
from services.http.client import HttpClient, UpstreamError
from services.http.response import UpstreamResponse
from services.request_context import RequestContext

log = logging.getLogger("munjigi.backend")

LOGOUT_SECONDS = 3.0
"""The most that revoking a token may take."""
_MIN_LOGOUT_SECONDS = 0.4
"""The time it may take even if the request has no time left."""


class Backend:
    def __init__(self, settings: Settings, http: HttpClient) -> None:
        self._settings = settings
        self._http = http

    def login(self, email: str, password: str, context: RequestContext) -> str:
        """Return the backend's token for these credentials. They are sent once; raises a `SiteError`."""
        path = self._settings.backend_login_path
        response = self._send("POST", path, "/login", context, json={"email": email, "password": password})
        if response.status in (200, 201):
            return _token(response, errors.CredentialsSignin)
        raise login_errors.login_error(response)

    def social_login(self, name: str, identity: Identity, with_email: bool, context: RequestContext) -> str:
        """Return the backend's token for a person whose identity a provider has proven. Sent once.

        name: what the backend calls the provider. with_email: send the address too, if the provider has verified it.
        """
        path = self._settings.backend_social_path.replace("{provider}", name)
        email = {"email": identity.email} if with_email and identity.email_verified else {}
        response = self._send(
            "POST", path, "the social path", context, json={"social_token": identity.social_token, **email}
        )
        if response.status in (200, 201):
            return _token(response, errors.Callback)
        raise login_errors.social_login_error(response)

    def user(self, access_token: str, context: RequestContext, within: float | None = None) -> User:
        """Return the user of a token; raises `SessionExpired` if the backend no longer accepts it.

        within: seconds, by default what is left of the request's deadline.
        """
        path = self._settings.backend_user_path
        response = self._send("POST", path, "/user", context, access_token, within=within, retry=True)
        if response.status in (200, 201):
            return _user(response)
        if response.status == 401:
            raise errors.SessionExpired("/user answered 401")
        if response.status == 403:
            raise errors.EmailNotVerified("/user answered 403")
        raise login_errors.backend_error(response, "/user")

    def save_profile(self, access_token: str, name: str | None, nick_name: str | None, context: RequestContext) -> User:
        """Save both names. Returns the user as the backend has it afterwards."""
        path = self._settings.backend_profile_path or ""
        names = {"name": name, "nick_name": nick_name}
        response = self._send("PATCH", path, "the profile path", context, access_token, json=names)
        if response.status == 401:
            raise errors.SessionExpired("the profile path answered 401")
        if response.status == 422:
            raise errors.InvalidFields(login_errors.field_messages(response, ("name", "nick_name")))
        if not 200 <= response.status < 300:
            raise login_errors.backend_error(response, "the profile path")
        has_user = response.get_path("data", "user") is not None
        return _user(response) if has_user else self.user(access_token, context)

    def logout(self, access_token: str, context: RequestContext) -> bool:
        """Revoke a token. Returns whether it is certain that the backend no longer accepts it."""
        path = self._settings.backend_logout_path
        if path is None:
            return False
        within = min(LOGOUT_SECONDS, max(context.deadline.seconds_left(), _MIN_LOGOUT_SECONDS))
        try:
            response = self._send("POST", path, "the logout path", context, access_token, within=within, retry=True)
        except errors.SiteError as error:
            log.error("token not revoked: %s", error.reason)
            return False
        if 200 <= response.status < 300 or response.status == 401:  # 401: the token was revoked before
            return True
        log.error("token not revoked: the logout path answered %d", response.status)
        return False

    def _send(
        self,
        method: str,
        path: str,
        place: str,
        context: RequestContext,
        access_token: str | None = None,
        *,
        json: object = None,
        within: float | None = None,
        retry: bool = False,
    ) -> UpstreamResponse:
        """Send one call; raises a `SiteError` if no answer comes, or one that is not the backend's own.

        place: what the log calls the path.
        """
        if within is None:
            within = context.deadline.seconds_left()
        url, headers = self._settings.backend_url + path, _headers(context, access_token)
        try:
            response = self._http.send(method, url, headers, within=within, json=json, retry=retry)
        except UpstreamError as error:
            raise errors.BackendUnavailable(f"{path}: {error.reason}", status=error.status) from None
        login_errors.check_answer(response, place)
        return response


def _headers(context: RequestContext, access_token: str | None) -> Mapping[str, str]:
    """Headers of every call. Without Origin, Referer and Cookie: with these, Sanctum would require a CSRF token."""
    headers = {
        # Laravel answers a wrong password with a redirect to HTML unless JSON is the first type here.
        "Accept": "application/json",
        "Content-Type": "application/json",
        "Accept-Language": context.locale,
        "X-Request-Id": context.request_id,
    }
    if context.client_ip:
        headers["X-Forwarded-For"] = context.client_ip
    if access_token:
        headers["Authorization"] = f"Bearer {access_token}"
    return headers


def _token(response: UpstreamResponse, rejected: type[errors.SiteError]) -> str:
    try:
        return validate_token(response.get_path("data", "token", "plainTextToken"))
    except ValueError:
        pass
    if response.get_path("two_factor") is True:
        raise errors.SecondFactorRequired("the backend asks for a second factor")
    if response.get_path("success") is False:
        raise rejected("200 with success: false")
    raise errors.BackendUnavailable(f"a sign-in was answered with {response.status}{response.kind}, no valid token")


def _user(response: UpstreamResponse) -> User:
    try:
        return User.from_json(response.get_path("data", "user"))
    except ValueError as error:
        raise errors.BackendUnavailable(f"/user answered {response.status}{response.kind}: {error}") from None
