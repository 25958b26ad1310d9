"""Tokens for this site alone, encrypted within the session: the backend's refresh token, and a provider's id_token.

NextAuth apps that share `SECRET_KEY` read all claims of the session cookie, with `getToken()` for example. So these
tokens are encrypted once more, each kind with a key of its own. That prevents accidents. It is no barrier for an app
that is taken over: the keys are derived from `SECRET_KEY`. A sealed token belongs to one session, by its `sid`.

It is decrypted only when needed, because that takes as long as reading the rest of the session.
"""

from collections.abc import Sequence
from enum import Enum

from services.bearer_token import validate_token
from services.sealing import Sealer


class Kind(Enum):
    """The values are the purposes of their keys."""

    REFRESH = "refresh token"
    ID = "id_token"


class TokenSealer:
    def __init__(self, secret_keys: Sequence[str], kind: Kind) -> None:
        self._sealer = Sealer(secret_keys, kind.value)

    def seal(self, sid: str, token: str | None) -> str | None:
        return None if token is None else self._sealer.seal(sid, token).decode()

    def open(self, sid: str, sealed: str | None) -> str | None:
        """The token; None if it was not sealed for this session."""
        if sealed is None:
            return None
        try:
            return validate_token(self._sealer.open(sid, sealed.encode()))
        except ValueError:
            return None

    def reseal(self, sid: str, sealed: str | None) -> str | None:
        """The same token, sealed with the current key."""
        return self.seal(sid, self.open(sid, sealed))
