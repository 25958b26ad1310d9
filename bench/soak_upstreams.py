"""The backend and the provider of `bench.soak`. They are stateless, so they can be killed at any time.

Run them with `python -m bench.soak_upstreams PORT`. A token contains the id of its user. The provider is at `/github`.
"""

import json
import secrets
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

PASSWORD = "correct-horse"
SOCIAL = 1_000_000
"""Offset of the ids of users who sign in with the provider."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        match self.path:
            case "/api/login":
                self._login(json.loads(body))
            case "/api/login/social/callback/github":
                self._token(int(json.loads(body)["social_token"].partition("-")[2]) + SOCIAL)
            case "/api/user":
                self._user()
            case "/github/login/oauth/access_token":
                code = parse_qs(body.decode())["code"][0]
                self._respond(200, {"access_token": f"of-{code}", "token_type": "bearer", "scope": ""})
            case _:
                self._respond(204, None)

    def do_GET(self) -> None:
        if self.path.endswith("/emails"):
            self._respond(200, [])
        else:
            self._respond(200, {"id": int(self._bearer().partition("-")[2]), "login": "somebody"})

    def _login(self, credentials: dict[str, str]) -> None:
        if credentials["password"] != PASSWORD:
            self._respond(401, {"message": "No."})
        else:
            self._token(int("".join(filter(str.isdigit, credentials["email"]))))

    def _token(self, number: int) -> None:
        self._respond(200, {"data": {"token": {"plainTextToken": f"{number}|{secrets.token_hex(20)}"}}})

    def _user(self) -> None:
        number = int(self._bearer().partition("|")[0])
        user = {"id": number, "name": f"Visitor {number}", "nick_name": None, "email": f"v{number}@example.com"}
        self._respond(200, {"data": {"user": user}})

    def _bearer(self) -> str:
        return str(self.headers["Authorization"]).removeprefix("Bearer ")

    def _respond(self, status: int, value: object) -> None:
        body = json.dumps(value).encode() if value is not None else b""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
