"""The authorization endpoint of a stand-in provider (RFC 6749, 4.1): who signs in, do they agree, back to the site."""

from urllib.parse import urlencode

from flask import Blueprint, Response, redirect, render_template, request
from flask.typing import ResponseReturnValue

from dev.failures import offered
from dev.grants import Grant, Grants
from dev.providers.base import Client, Failure, Provider
from dev.signing import Keys, PublishedKeys

_SIGN_IN_PATH = "/further/sign-in"
_PARTS = {
    "grant": "The callback",
    "callback": "The callback",
    "token": "The token endpoint",
    "id_token": "The id_token",
    "user": "The user endpoint",
    "backend": "The backend, afterwards",
}


class Authorization:
    """Everything is in the address of the page: whoever goes back, or waits, or signs in twice finds it in order."""

    def __init__(self, provider: Provider, client: Client, grants: Grants, keys: Keys) -> None:
        self.provider = provider
        self.client = client
        self.grants = grants
        self.keys = keys
        self.consented: set[str] = set()

    def add_to(self, bp: Blueprint) -> None:
        path = _SIGN_IN_PATH if self.provider.further_origin else self.provider.authorization_path
        bp.add_url_rule(path, view_func=self.sign_in, methods=["GET", "POST"])
        if self.provider.further_origin:
            bp.add_url_rule(self.provider.authorization_path, view_func=self.go_further)

    def go_further(self) -> ResponseReturnValue:
        """On to another host of the provider, where its people sign in."""
        if objection := self._objection():
            return self._refusal(objection)
        accounts = self.client.base_url.replace("127.0.0.1", "localhost")
        return redirect(f"{accounts}{_SIGN_IN_PATH}?{request.query_string.decode()}")

    def sign_in(self) -> ResponseReturnValue:
        if objection := self._objection():
            return self._refusal(objection)
        if error := self._error():
            return self._back({"error": error})
        action = request.form.get("action")
        if action == "approve":
            return self._approve()
        if action == "cancel":
            return self._back(dict(self.provider.cancelled))
        return self._page(self._housekeeping(action))

    def _objection(self) -> str | None:
        """What keeps the person here: nobody is sent to an address that is not registered (RFC 6749, 4.1.2.1)."""
        wish = request.args
        if any(len(values) > 1 for _, values in wish.lists()):
            return "a parameter is there twice"
        if wish.get("client_id") != self.client.settings["CLIENT_ID"]:
            return "client_id is not registered"
        if wish.get("redirect_uri") != self.client.redirect_uri:
            return f"redirect_uri is not the registered one, {self.client.redirect_uri}"
        return self.provider.objection(wish)

    def _error(self) -> str | None:
        if request.args.get("response_type") != "code":
            return "unsupported_response_type"
        challenged = request.args.get("code_challenge") and request.args.get("code_challenge_method") == "S256"
        return None if challenged or not self.provider.pkce_required else "invalid_request"

    def _approve(self) -> ResponseReturnValue:
        persona = self.provider.persona(request.form.get("person", ""))
        scopes = request.args.get("scope", "").replace(",", " ").split()
        grant = Grant(
            persona,
            scopes,
            self.client.redirect_uri,
            code_challenge=request.args.get("code_challenge", ""),
            nonce=request.args.get("nonce", ""),
            failure=self._failure(),
        )
        spoiled = grant.has_failure("grant")
        grant = spoiled.change(grant) if spoiled and spoiled.change else grant
        callback = {"code": self.grants.issue_code(grant)} | self.provider.callback_extras(persona, scopes)
        asks = {"name", "email"} & set(scopes)
        if asks and persona.first_consent and persona.subject not in self.consented:
            self.consented.add(persona.subject)
            callback["user"] = persona.first_consent
        return self._back(callback)

    def _failure(self) -> Failure | None:
        return offered(self.provider).get(request.form.get("failure", ""))

    def _back(self, callback: dict[str, str]) -> ResponseReturnValue:
        """To the site, by redirect or as a form that posts itself; `state` as it came."""
        if "state" in request.args:
            callback["state"] = request.args["state"]
        failure = self._failure()
        if failure and failure.where == "callback" and failure.change:
            callback = failure.change(callback)
        if request.args.get("response_mode") == "form_post":
            return render_template("form_post.html", action=self.client.redirect_uri, callback=callback)
        return redirect(f"{self.client.redirect_uri}?{urlencode(callback)}")

    def _housekeeping(self, action: str | None) -> str:
        if action == "rotate" and isinstance(self.keys, PublishedKeys):
            self.keys.rotate()
            return "A new key signs from here on."
        if action == "forget":
            self.consented.clear()
            return "Consent is forgotten: the next sign-in counts as the first."
        return ""

    def _page(self, done: str) -> str:
        failures: dict[str, dict[str, Failure]] = {}
        for name, failure in offered(self.provider).items():
            failures.setdefault(_PARTS[failure.where], {})[name] = failure
        return render_template(
            "sign_in.html",
            provider=self.provider,
            scopes=request.args.get("scope", ""),
            failures=failures,
            rotates=isinstance(self.keys, PublishedKeys) and self.provider.id_token != "never",
            forgets=any(persona.first_consent for persona in self.provider.personas),
            done=done,
        )

    def _refusal(self, objection: str) -> Response:
        return Response(render_template("refused.html", provider=self.provider, objection=objection), 400)
