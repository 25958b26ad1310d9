"""A service beside Munjigi, at the same host name: it gets the browser's cookies, and so knows who is signed in."""

import json
import os
import time
from collections.abc import Mapping
from typing import Any

import requests
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from flask import Flask, abort, request
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

MUNJIGI_URL = os.environ.get("MUNJIGI_URL", "http://localhost:8080")
COOKIE = "next-auth.session-token"  # on https: __Secure-next-auth.session-token

app = Flask(__name__)


@app.get("/asked")
def asked() -> dict[str, Any]:
    return {"user": ask_munjigi(request.headers.get("Cookie", "")) or abort(401)}


@app.get("/opened")
def opened() -> dict[str, Any]:
    return {"user": open_cookie(request.cookies, os.environ["SECRET_KEY"]) or abort(401)}


def ask_munjigi(cookies: str) -> dict[str, Any] | None:
    """The person whose browser sent these cookies. Without an answer there is an error, and nobody gets in."""
    answer = requests.get(f"{MUNJIGI_URL}/api/auth/session", headers={"Cookie": cookies}, timeout=10)
    answer.raise_for_status()
    user: dict[str, Any] | None = answer.json().get("user")
    return user


def open_cookie(cookies: Mapping[str, str], secret: str) -> dict[str, Any] | None:
    """The same person, read from the cookie itself; a long one comes in numbered pieces."""
    token = cookies.get(COOKIE) or "".join(cookies.get(f"{COOKIE}.{number}", "") for number in range(3))
    derived = HKDF(SHA256(), 32, salt=b"", info=b"NextAuth.js Generated Encryption Key").derive(secret.encode())
    try:
        opened = jwe.decrypt_compact(token, OctKey.import_key(derived), algorithms=["dir", "A256GCM"])
    except (JoseError, ValueError):
        return None
    claims = json.loads(opened.plaintext or b"{}")
    return claims.get("user") if claims["exp"] > time.time() else None
