"""The session of a person at a stand-in provider, and the page that ends it.

OpenID Connect RP-Initiated Logout 1.0; Kakao's "log out with Kakao account" differs in the name of one parameter.
"""

from urllib.parse import urlencode

from flask import Blueprint, Response, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.http import dump_cookie

from dev.providers.base import Client, Persona, Provider


class Logout:
    def __init__(self, provider: Provider, client: Client) -> None:
        self.provider = provider
        self.client = client
        self._cookie = f"stand-in-{provider.id}"

    def register(self, bp: Blueprint) -> None:
        if self.provider.logout_path:
            bp.add_url_rule(self.provider.logout_path, view_func=self.logout, methods=["GET", "POST"])

    def persona(self) -> Persona | None:
        """Who is signed in at the provider in this browser."""
        key = request.cookies.get(self._cookie)
        return next((persona for persona in self.provider.personas if persona.key == key), None)

    def start_session(self, persona: Persona, answer: ResponseReturnValue) -> Response:
        response = make_response(answer)
        if self.provider.logout_path:
            self._set_cookie(response, persona.key)
        return response

    def logout(self) -> ResponseReturnValue:
        """Ask whether to sign out, and go back to the site."""
        if self.provider.has_separate_sign_in_host and request.host.startswith("127.0.0.1"):
            base_url = self.client.base_url.replace("127.0.0.1", "localhost")
            return redirect(f"{base_url}{self.provider.logout_path}?{request.query_string.decode()}")
        if error := self._request_error():
            return Response(render_template("error.html", provider=self.provider, error=error), 400)
        action = request.form.get("action")
        if action not in ("sign-out", "stay"):
            return render_template("logout.html", provider=self.provider, persona=self.persona())
        state = {"state": request.args["state"]} if "state" in request.args else {}
        response = make_response(redirect(f"{self.client.logout_redirect_uri}?{urlencode(state)}"))
        if action == "sign-out":
            self._set_cookie(response, "", max_age=0)
        return response

    def _set_cookie(self, response: Response, value: str, max_age: int | None = None) -> None:
        cookie = dump_cookie(self._cookie, value, max_age, path=f"/{self.provider.id}", httponly=True, samesite="Lax")
        response.headers.add("Set-Cookie", cookie)

    def _request_error(self) -> str | None:
        if any(len(values) > 1 for _, values in request.args.lists()):
            return "a parameter is repeated"
        if request.args.get("client_id") != self.client.settings["CLIENT_ID"]:
            return "client_id is not registered"
        if request.args.get(self.provider.logout_redirect_param) != self.client.logout_redirect_uri:
            name = self.provider.logout_redirect_param
            return f"{name} is not the registered one, {self.client.logout_redirect_uri}"
        return None
