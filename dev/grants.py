"""Codes and tokens that a stand-in provider has given out, kept in memory."""

import base64
import hashlib
import hmac
import secrets
import threading
import time
from dataclasses import dataclass, field, replace

from dev.providers.base import Failure, Persona

_CODE_LIVES = 60
_KEPT = 1000


@dataclass(frozen=True)
class Grant:
    """What a person has allowed the site, as far as the code and its tokens stand for it."""

    persona: Persona
    scopes: list[str]
    redirect_uri: str
    code_challenge: str = ""
    nonce: str = ""
    failure: Failure | None = None
    used: bool = False
    since: float = field(default_factory=time.time)

    def has_failure(self, where: str) -> Failure | None:
        return self.failure if self.failure and self.failure.where == where else None

    def is_proved_by(self, code_verifier: str) -> bool:
        """RFC 7636, 4.6; S256 alone."""
        digest = hashlib.sha256(code_verifier.encode()).digest()
        ours = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return hmac.compare_digest(ours, self.code_challenge)


class Grants:
    """Guarded by one lock: the stand-ins answer in threads."""

    def __init__(self) -> None:
        self._codes: dict[str, Grant] = {}
        self._tokens: dict[str, Grant] = {}
        self._lock = threading.Lock()

    def issue_code(self, grant: Grant) -> str:
        code = secrets.token_urlsafe(24)
        self._keep(self._codes, code, grant)
        return code

    def redeem(self, code: str) -> Grant | None:
        """Good once, and for a minute."""
        with self._lock:
            grant = self._codes.get(code)
            if grant is None or grant.used or time.time() - grant.since > _CODE_LIVES:
                return None
            self._codes[code] = replace(grant, used=True)
        return grant

    def issue_token(self, grant: Grant, token: str = "") -> str:
        token = token or secrets.token_urlsafe(30)
        self._keep(self._tokens, token, grant)
        return token

    def of_token(self, token: str) -> Grant | None:
        with self._lock:
            return self._tokens.get(token)

    def _keep(self, kept: dict[str, Grant], key: str, grant: Grant) -> None:
        with self._lock:
            kept[key] = grant
            if len(kept) > _KEPT:
                del kept[next(iter(kept))]
