"""The backend and the provider of `bench.soak`, without any state, so that they can be killed at any time.

Run as `python -m bench.soak_upstreams PORT`. A token holds its user's id. The provider is `/github` on the same port.
"""

import json
import secrets
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

PASSWORD = "correct-horse"
SOCIAL = 1_000_000
"""Added to the id of users who sign in with the provider."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        match self.path:
            case "/api/login":
                self._login(json.loads(sent))
            case "/api/login/social/callback/github":
                self._token(int(json.loads(sent)["social_token"].partition("-")[2]) + SOCIAL)
            case "/api/user":
                self._user()
            case "/github/login/oauth/access_token":
                code = parse_qs(sent.decode())["code"][0]
                self._answer(200, {"access_token": f"of-{code}", "token_type": "bearer", "scope": ""})
            case _:
                self._answer(204, None)

    def do_GET(self) -> None:
        if self.path.endswith("/emails"):
            self._answer(200, [])
        else:
            self._answer(200, {"id": int(self._bearer().partition("-")[2]), "login": "somebody"})

    def _login(self, sent: dict[str, str]) -> None:
        if sent["password"] != PASSWORD:
            self._answer(401, {"message": "No."})
        else:
            self._token(int("".join(filter(str.isdigit, sent["email"]))))

    def _token(self, number: int) -> None:
        self._answer(200, {"data": {"token": {"plainTextToken": f"{number}|{secrets.token_hex(20)}"}}})

    def _user(self) -> None:
        number = int(self._bearer().partition("|")[0])
        user = {"id": number, "name": f"Visitor {number}", "nick_name": None, "email": f"v{number}@example.com"}
        self._answer(200, {"data": {"user": user}})

    def _bearer(self) -> str:
        return str(self.headers["Authorization"]).removeprefix("Bearer ")

    def _answer(self, status: int, value: object) -> None:
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
