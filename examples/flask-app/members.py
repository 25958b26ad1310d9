"""A service with the same host name as Munjigi. It identifies the signed-in user by the session cookie."""

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


@app.get("/fetched")
def fetched() -> dict[str, Any]:
    return {"user": fetch_user(request.headers.get("Cookie", "")) or abort(401)}


@app.get("/decrypted")
def decrypted() -> dict[str, Any]:
    return {"user": decrypt_user(request.cookies, os.environ["SECRET_KEY"]) or abort(401)}


def fetch_user(cookies: str) -> dict[str, Any] | None:
    """Return the user of this `Cookie` header, or None. Raises `requests.RequestException` if Munjigi fails."""
    response = requests.get(f"{MUNJIGI_URL}/api/auth/session", headers={"Cookie": cookies}, timeout=10)
    response.raise_for_status()
    user: dict[str, Any] | None = response.json().get("user")
    return user


def decrypt_user(cookies: Mapping[str, str], secret: str) -> dict[str, Any] | None:
    """Return the user in the session cookie, or None. A long session is split into numbered cookies."""
    token = cookies.get(COOKIE) or "".join(cookies.get(f"{COOKIE}.{number}", "") for number in range(3))
    key = HKDF(SHA256(), 32, salt=b"", info=b"NextAuth.js Generated Encryption Key").derive(secret.encode())
    try:
        decrypted = jwe.decrypt_compact(token, OctKey.import_key(key), algorithms=["dir", "A256GCM"])
    except (JoseError, ValueError):
        return None
    claims = json.loads(decrypted.plaintext or b"{}")
    return claims.get("user") if claims["exp"] > time.time() else None
