"""The stand-in backend: it answers the calls of `dev/backend.py` for any e-mail address, at very low cost.

Run as `python -m bench.backend PORT`. For `wait300-visitor7@example.com` every answer takes 300 ms.
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
"""The e-mail address of the user that a token was issued to."""


def email_of(number: int, delay_ms: int = 0) -> str:
    return f"{f'wait{delay_ms}-' if delay_ms else ''}visitor{number}@example.com"


def user_of(email: str) -> dict[str, object]:
    """The user's id is the number in the address, so that a mixed-up session is noticed."""
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
        email, status, answer = self._login(body) if path == b"/login" else self._user(head)
        text = json.dumps(answer)
        text = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}"
        asyncio.get_running_loop().call_later(_delay(email), self._transport.write, text.encode())

    def _login(self, body: bytes) -> tuple[str, str, object]:
        sent = json.loads(body)
        if sent["password"] != PASSWORD:
            return sent["email"], "422 Unprocessable Content", {"errors": {"email": ["No."]}}
        token = f"{len(emails) + 1}|{secrets.token_hex(24)}"
        emails[token] = sent["email"]
        return sent["email"], "200 OK", {"data": {"token": {"plainTextToken": token}}}

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
