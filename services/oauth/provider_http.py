"""Calls to providers, within the deadline of the request."""

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlsplit

import errors
from services.http.client import HttpClient, UpstreamError
from services.http.response import UpstreamResponse
from services.request_context import RequestContext

log = logging.getLogger("munjigi.oauth")

OPTIONAL_SHARE = 0.5
"""The share of the request's remaining time for an optional call: the rest is for the backend."""
_USED_FIELDS = ("access_token", "id_token", "token_type", "error")
"""The fields of a token endpoint's response that are used."""


class ProviderHttp:
    def __init__(self, http: HttpClient) -> None:
        self._http = http

    def get_document(self, url: str, context: RequestContext, *, share_of_deadline: float = 1) -> Mapping[str, Any]:
        """A public JSON object; raises `ProviderUnavailable` for anything else."""
        response = self.send("GET", url, context, share_of_deadline=share_of_deadline)
        document = response.json() if response.status == 200 else None
        if not isinstance(document, dict):
            raise errors.ProviderUnavailable(
                f"{urlsplit(url).path} answered {response.status}{response.kind}, no object"
            )
        return document

    def get_json(
        self, url: str, access_token: str, context: RequestContext, *, kind: type = object, optional: bool = False
    ) -> Any:
        """JSON of this type about the owner of a token. If an `optional` call fails, log it and return None."""
        headers, share = {"Authorization": f"Bearer {access_token}"}, OPTIONAL_SHARE if optional else 1
        path = urlsplit(url).path
        try:
            response = self.send("GET", url, context, headers=headers, share_of_deadline=share)
            if response.status != 200:
                raise _refusal(response, path)
            if response.json() is None or not isinstance(response.json(), kind):
                raise errors.OAuthCallback(f"{path} answered 200{response.kind or ' with JSON of another type'}")
        except errors.SiteError as error:
            if not optional:
                raise
            log.warning("optional call to a provider failed: %s", error.reason)
            return None
        return response.json()

    def send(
        self,
        method: str,
        url: str,
        context: RequestContext,
        *,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        share_of_deadline: float = 1,
    ) -> UpstreamResponse:
        """Make one call within this share of the remaining time; raises `ProviderUnavailable`. GETs are retried."""
        all_headers = {"Accept": "application/json", **(headers or {})}
        within = share_of_deadline * context.deadline.seconds_left()
        try:
            return self._http.send(method, url, all_headers, within=within, form=form, retry=method == "GET")
        except UpstreamError as error:
            raise errors.ProviderUnavailable(f"{urlsplit(url).path}: {error.reason}", status=error.status) from None


class AuthlibSession:
    """A `requests`-like session for Authlib. It makes one call, to the token endpoint."""

    def __init__(self, http: ProviderHttp, context: RequestContext) -> None:
        self._http = http
        self._context = context

    def post(self, url: str, data: dict[str, str], headers: dict[str, str], auth: Any) -> "_TokenResponse":
        body = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in data.items())
        url, headers, body = auth.prepare("POST", url, dict(headers), body)
        form = dict(parse_qsl(body, keep_blank_values=True))
        return _TokenResponse(self._http.send("POST", url, self._context, headers=headers, form=form))


class _TokenResponse:
    def __init__(self, response: UpstreamResponse) -> None:
        self._response = response
        self.status_code = response.status

    def json(self) -> object:
        """The fields that are used. Authlib fails on an error description in Korean and on an infinite lifetime."""
        value = self._response.json()
        fields = {name: value[name] for name in _USED_FIELDS if name in value} if isinstance(value, dict) else {}
        if self.status_code == 429 or "error" not in fields:
            self.raise_for_status()
        return fields if isinstance(value, dict) else None

    def raise_for_status(self) -> None:
        if self.status_code != 200:
            raise _refusal(self._response, "the token endpoint")


def _refusal(response: UpstreamResponse, place: str) -> errors.SiteError:
    reason = f"{place} answered {response.status}{response.kind}"
    if response.status == 429 or response.status >= 500:
        return errors.ProviderUnavailable(reason, retry_after=response.retry_after())
    return errors.OAuthCallback(reason)
