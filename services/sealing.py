"""Encrypts values that the site stores in Redis or in cookies, so that reading and writing them needs `SECRET_KEY`."""

import base64
import json
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class Sealer:
    """Authenticated encryption of JSON values (Fernet). Each `purpose` has keys of its own (HKDF, RFC 5869)."""

    def __init__(self, secret_keys: Sequence[str], purpose: str) -> None:
        """secret_keys: newest first; the first one encrypts, the others only decrypt."""
        self._fernet = MultiFernet([Fernet(_derive_key(key, purpose)) for key in secret_keys])

    def seal(self, name: str, value: object) -> bytes:
        """Encrypt a value that belongs to this name."""
        return self._fernet.encrypt(json.dumps([name, value], default=str).encode())

    def open(self, name: str, token: bytes) -> object:
        """Return the value; raises `ValueError` if it was not sealed for this name with one of the keys."""
        try:
            sealed_name, value = json.loads(self._fernet.decrypt(token))
        except InvalidToken:
            raise ValueError("no key decrypts this value") from None
        if sealed_name != name:
            raise ValueError("the value has another name")
        return value


def _derive_key(secret: str, purpose: str) -> bytes:
    hkdf = HKDF(SHA256(), length=32, salt=None, info=f"Munjigi {purpose}".encode())
    return base64.urlsafe_b64encode(hkdf.derive(secret.encode()))
