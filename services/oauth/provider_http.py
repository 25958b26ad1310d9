"""Calls of a provider, within what is left of this request's time. Only `identities.py` and `endpoints.py` make any."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlsplit

import errors
from services.http.client import HttpClient, UpstreamError, time_left
from services.http.response import UpstreamResponse

_OF_USE = ("access_token", "id_token", "token_type", "error")
"""Of a token endpoint's answer."""


class ProviderHttp:
    def __init__(self, timeout: float, upstream: HttpClient) -> None:
        self._timeout = timeout
        self._upstream = upstream

    def time_left(self) -> float:
        return time_left(self._timeout)

    def document(self, url: str, briefly: bool) -> Mapping[str, Any]:
        """A public JSON object; raises `ProviderUnavailable` for anything else. `briefly`: in half of the time left."""
        answer = self.send("GET", url, part=0.5 if briefly else 1)
        found = answer.json() if answer.status == 200 else None
        if not isinstance(found, dict):
            raise errors.ProviderUnavailable(f"{urlsplit(url).path} answered {answer.status} without an object")
        return found

    def read(self, url: str, access_token: str, *, optional: bool = False) -> object:
        """JSON of any shape about the person whose token this is; None if `optional` and refused."""
        answer = self.send("GET", url, {"Authorization": f"Bearer {access_token}"})
        if answer.status == 200:
            return answer.json()
        if optional:
            return None
        raise _refusal(answer, urlsplit(url).path)

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        part: float = 1,
    ) -> UpstreamResponse:
        """One call, in at most this part of the time left; raises `ProviderUnavailable` without a whole answer."""
        sent = {"Accept": "application/json", **(headers or {})}
        again = method == "GET"  # a code is sent once
        within = part * self.time_left()
        try:
            return self._upstream.send(method, url, sent, within=within, form=form, retry=again)
        except UpstreamError as fault:
            raise errors.ProviderUnavailable(f"{urlsplit(url).path}: {fault.reason}", status=fault.status) from None


class Wire:
    """What Authlib takes for a session of `requests`: its one call goes out through our own door."""

    def __init__(self, api: ProviderHttp) -> None:
        self._api = api

    def post(self, url: str, data: dict[str, str], headers: dict[str, str], auth: Any) -> "_Response":
        body = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in data.items())
        url, headers, body = auth.prepare("POST", url, dict(headers), body)
        return _Response(self._api.send("POST", url, headers, dict(parse_qsl(body, keep_blank_values=True))))


class _Response:
    def __init__(self, answer: UpstreamResponse) -> None:
        self._answer = answer
        self.status_code = answer.status

    def json(self) -> object:
        """What matters of it. Authlib would stumble over a description in Korean and a lifetime without end."""
        found = self._answer.json()
        said = {name: found[name] for name in _OF_USE if name in found} if isinstance(found, dict) else {}
        if self.status_code == 429 or "error" not in said:
            self.raise_for_status()
        return said if isinstance(found, dict) else None

    def raise_for_status(self) -> None:
        if self.status_code != 200:
            raise _refusal(self._answer, "the token endpoint")


def _refusal(answer: UpstreamResponse, place: str) -> errors.SiteError:
    reason = f"{place} answered {answer.status}"
    if answer.status == 429 or answer.status >= 500:
        return errors.ProviderUnavailable(reason, retry_after=answer.retry_after())
    return errors.OAuthCallback(reason)
