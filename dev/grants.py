"""The authorization codes and tokens of a stand-in provider, in memory."""

import base64
import hashlib
import hmac
import secrets
import threading
import time
from dataclasses import dataclass, field, replace

from dev.providers.base import Failure, Persona

_CODE_SECONDS = 60
_MAX_GRANTS = 1000


@dataclass(frozen=True)
class Grant:
    """An authorization that a user granted to the site. Its code and tokens refer to it."""

    persona: Persona
    scopes: list[str]
    redirect_uri: str
    code_challenge: str = ""
    nonce: str = ""
    failure: Failure | None = None
    used: bool = False
    issued_at: float = field(default_factory=time.time)

    def failure_at(self, step: str) -> Failure | None:
        """Return the chosen failure if it happens at this step (see `Failure.step`)."""
        return self.failure if self.failure and self.failure.step == step else None

    def matches_verifier(self, code_verifier: str) -> bool:
        """Verify the PKCE code verifier (RFC 7636, section 4.6). Only S256 is supported."""
        digest = hashlib.sha256(code_verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return hmac.compare_digest(challenge, self.code_challenge)


class Grants:
    """Grants by code and by token, guarded by a lock: the stand-ins serve requests in threads."""

    def __init__(self) -> None:
        self._codes: dict[str, Grant] = {}
        self._tokens: dict[str, Grant] = {}
        self._lock = threading.Lock()

    def issue_code(self, grant: Grant) -> str:
        code = secrets.token_urlsafe(24)
        self._store(self._codes, code, grant)
        return code

    def redeem(self, code: str) -> Grant | None:
        """Return the grant of a code, which is valid once and for one minute, or None."""
        with self._lock:
            grant = self._codes.get(code)
            if grant is None or grant.used or time.time() - grant.issued_at > _CODE_SECONDS:
                return None
            self._codes[code] = replace(grant, used=True)
        return grant

    def issue_token(self, grant: Grant, token: str = "") -> str:
        token = token or secrets.token_urlsafe(30)
        self._store(self._tokens, token, grant)
        return token

    def grant_for_token(self, token: str) -> Grant | None:
        with self._lock:
            return self._tokens.get(token)

    def _store(self, grants: dict[str, Grant], key: str, grant: Grant) -> None:
        with self._lock:
            grants[key] = grant
            if len(grants) > _MAX_GRANTS:
                del grants[next(iter(grants))]
