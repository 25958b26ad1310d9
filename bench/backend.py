"""A backend that costs next to nothing: the protocol of `dev/backend.py` for any address, in bare asyncio on uvloop.

Run as `python -m bench.backend PORT`. Addresses that start with `patient` get their answers after 300 ms.
"""

import asyncio
import json
import re
import secrets
import sys
from typing import cast

import uvloop

PASSWORD = "correct-horse"
PATIENT, DELAY = "patient", 0.3
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_BEARER = re.compile(rb"\r\nauthorization: *Bearer ([^\r]+)", re.IGNORECASE)

owners: dict[str, str] = {}
"""Token -> e-mail address."""


def user_of(email: str) -> dict[str, object]:
    """Their number is the one in their address: nobody is taken for anybody else unnoticed."""
    number = int("".join(filter(str.isdigit, email)))
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
        delay = DELAY if email.startswith(PATIENT) else 0
        asyncio.get_running_loop().call_later(delay, self._transport.write, text.encode())

    def _login(self, body: bytes) -> tuple[str, str, object]:
        sent = json.loads(body)
        if sent["password"] != PASSWORD:
            return sent["email"], "422 Unprocessable Content", {"errors": {"email": ["No."]}}
        token = f"{len(owners) + 1}|{secrets.token_hex(24)}"
        owners[token] = sent["email"]
        return sent["email"], "200 OK", {"data": {"token": {"plainTextToken": token}}}

    def _user(self, head: bytes) -> tuple[str, str, object]:
        bearer = _BEARER.search(head)
        email = owners.get(bearer[1].decode() if bearer else "", "")
        if not email:
            return email, "401 Unauthorized", {"message": "Unauthenticated."}
        return email, "200 OK", {"data": {"user": user_of(email)}}


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Backend, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
