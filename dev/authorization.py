"""The authorization endpoint of a stand-in provider (RFC 6749, section 4.1): account choice, consent and redirect."""

from urllib.parse import urlencode

from flask import Blueprint, Response, redirect, render_template, request
from flask.typing import ResponseReturnValue

from dev.failures import available_failures
from dev.grants import Grant, Grants
from dev.logout import Logout
from dev.providers.base import Client, Failure, Persona, Provider
from dev.signing import Keys, PublishedKeys

_SIGN_IN_PAGE_PATH = "/further/sign-in"
_STEP_LABELS = {
    "grant": "The callback",
    "callback": "The callback",
    "token": "The token endpoint",
    "id_token": "The id_token",
    "user": "The user endpoint",
    "backend": "The backend, afterwards",
}


class Authorization:
    """The sign-in page. It keeps all state in its URL, so the back button and several tabs work."""

    def __init__(self, provider: Provider, client: Client, grants: Grants, keys: Keys, logout: Logout) -> None:
        self.provider = provider
        self.client = client
        self.grants = grants
        self.keys = keys
        self.logout = logout
        self.consented: set[str] = set()

    def register(self, bp: Blueprint) -> None:
        path = _SIGN_IN_PAGE_PATH if self.provider.has_separate_sign_in_host else self.provider.authorization_path
        bp.add_url_rule(path, view_func=self.sign_in, methods=["GET", "POST"])
        if self.provider.has_separate_sign_in_host:
            bp.add_url_rule(self.provider.authorization_path, view_func=self.redirect_to_sign_in_host)

    def redirect_to_sign_in_host(self) -> ResponseReturnValue:
        """Redirect to another host of the provider, as Kakao does for its sign-in page."""
        if error := self._request_error():
            return self._error_page(error)
        base_url = self.client.base_url.replace("127.0.0.1", "localhost")
        return redirect(f"{base_url}{_SIGN_IN_PAGE_PATH}?{request.query_string.decode()}")

    def sign_in(self) -> ResponseReturnValue:
        if error := self._request_error():
            return self._error_page(error)
        if error_code := self._redirect_error():
            return self._redirect_back({"error": error_code})
        if request.args.get("prompt") == "none":
            return self._answer_without_page()
        action = request.form.get("action")
        if action == "approve":
            return self._approve(self.provider.persona(request.form.get("person", "")))
        if action == "cancel":
            return self._redirect_back(dict(self.provider.cancel_error))
        return self._page(self._run_page_action(action))

    def _request_error(self) -> str | None:
        """Return an error that must not be sent to the redirect URI (RFC 6749, section 4.1.2.1), or None."""
        params = request.args
        if any(len(values) > 1 for _, values in params.lists()):
            return "a parameter is repeated"
        if params.get("client_id") != self.client.settings["CLIENT_ID"]:
            return "client_id is not registered"
        if params.get("redirect_uri") != self.client.redirect_uri:
            return f"redirect_uri is not the registered one, {self.client.redirect_uri}"
        return self.provider.validate_request(params)

    def _redirect_error(self) -> str | None:
        """Return the error code that the callback gets (RFC 6749, section 4.1.2.1), or None."""
        if request.args.get("response_type") != "code":
            return "unsupported_response_type"
        has_challenge = request.args.get("code_challenge") and request.args.get("code_challenge_method") == "S256"
        return None if has_challenge or not self.provider.pkce_required else "invalid_request"

    def _answer_without_page(self) -> ResponseReturnValue:
        """Answer for who is signed in at the provider in this browser (OpenID Connect Core 1.0, 3.1.2.1, `prompt`)."""
        persona = self.logout.persona()
        return self._approve(persona) if persona else self._redirect_back(dict(self.provider.no_page_error))

    def _approve(self, persona: Persona) -> ResponseReturnValue:
        scopes = request.args.get("scope", "").replace(",", " ").split()
        grant = Grant(
            persona,
            scopes,
            self.client.redirect_uri,
            code_challenge=request.args.get("code_challenge", ""),
            nonce=request.args.get("nonce", ""),
            failure=self._failure(),
        )
        failure = grant.failure_at("grant")
        grant = failure.transform(grant) if failure and failure.transform else grant
        callback = {"code": self.grants.issue_code(grant)} | self.provider.extra_callback_parameters(persona, scopes)
        requests_user = bool({"name", "email"} & set(scopes))
        if requests_user and persona.first_consent_user and persona.subject not in self.consented:
            self.consented.add(persona.subject)
            callback["user"] = persona.first_consent_user
        return self.logout.start_session(persona, self._redirect_back(callback))

    def _failure(self) -> Failure | None:
        return available_failures(self.provider).get(request.form.get("failure", ""))

    def _redirect_back(self, callback: dict[str, str]) -> ResponseReturnValue:
        """Send these callback parameters and `state` to the site, by redirect or as a form that submits itself."""
        if "state" in request.args:
            callback["state"] = request.args["state"]
        failure = self._failure()
        if failure and failure.step == "callback" and failure.transform:
            callback = failure.transform(callback)
        if request.args.get("response_mode") == "form_post":
            return render_template("form_post.html", action=self.client.redirect_uri, callback=callback)
        return redirect(f"{self.client.redirect_uri}?{urlencode(callback)}")

    def _run_page_action(self, action: str | None) -> str:
        """Run one of the small buttons of the page. Returns a notice for the page, or an empty string."""
        if action == "rotate" and isinstance(self.keys, PublishedKeys):
            self.keys.rotate()
            return "The signing key was rotated."
        if action == "forget":
            self.consented.clear()
            return "Consent was reset: the next sign-in is treated as the first one."
        return ""

    def _page(self, notice: str) -> str:
        failures: dict[str, dict[str, Failure]] = {}
        for name, failure in available_failures(self.provider).items():
            failures.setdefault(_STEP_LABELS[failure.step], {})[name] = failure
        return render_template(
            "sign_in.html",
            provider=self.provider,
            scopes=request.args.get("scope", ""),
            failures=failures,
            can_rotate_key=isinstance(self.keys, PublishedKeys) and self.provider.id_token != "never",
            can_forget_consent=any(persona.first_consent_user for persona in self.provider.personas),
            notice=notice,
            signed_in=self.logout.persona(),
        )

    def _error_page(self, error: str) -> Response:
        return Response(render_template("error.html", provider=self.provider, error=error), 400)
