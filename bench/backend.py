"""A fast stand-in backend: the endpoints of `dev/backend.py` for any email address of `email_of`.

Run it with `python -m bench.backend PORT`. For `wait300-visitor7@example.com` every response takes 300 ms.
"""

import asyncio
import json
import re
import secrets
import sys
from typing import cast

import uvloop

PASSWORD = "correct-horse"
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_BEARER = re.compile(rb"\r\nauthorization: *Bearer ([^\r]+)", re.IGNORECASE)
_EMAIL = re.compile(r"(?:wait([0-9]+)-)?visitor([0-9]+)@example\.com")

emails: dict[str, str] = {}
"""Email address of the user by token."""


def email_of(number: int, delay_ms: int = 0) -> str:
    return f"{f'wait{delay_ms}-' if delay_ms else ''}visitor{number}@example.com"


def user_of(email: str) -> dict[str, object]:
    """Return the user. Their id is the number in the address, which reveals a mixed-up session."""
    match = _EMAIL.fullmatch(email)
    number = int(match[2]) if match else 0
    return {"id": number, "name": f"Visitor {number}", "nick_name": None, "email": email}


class Backend(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, complete, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not complete or (length and len(body) < int(length[1])):
            return
        self._received = b""
        path = head.split(b" ", 2)[1]
        email, status, response_body = self._login(body) if path == b"/login" else self._user(head)
        text = json.dumps(response_body)
        text = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}"
        asyncio.get_running_loop().call_later(_delay(email), self._transport.write, text.encode())

    def _login(self, body: bytes) -> tuple[str, str, object]:
        credentials = json.loads(body)
        email = credentials["email"]
        if credentials["password"] != PASSWORD:
            return email, "422 Unprocessable Content", {"errors": {"email": ["No."]}}
        token = f"{len(emails) + 1}|{secrets.token_hex(24)}"
        emails[token] = email
        return email, "200 OK", {"data": {"token": {"plainTextToken": token}}}

    def _user(self, head: bytes) -> tuple[str, str, object]:
        bearer = _BEARER.search(head)
        email = emails.get(bearer[1].decode() if bearer else "", "")
        if not email:
            return email, "401 Unauthorized", {"message": "Unauthenticated."}
        return email, "200 OK", {"data": {"user": user_of(email)}}


def _delay(email: str) -> float:
    match = _EMAIL.fullmatch(email)
    return int(match[1] or 0) / 1000 if match else 0.0


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Backend, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
