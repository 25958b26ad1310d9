"""The backend's refresh token, encrypted within the session.

NextAuth apps that share `SECRET_KEY` can read all claims of the session cookie, with `getToken()` for example. The
refresh token is for this site alone, so the claim is encrypted once more, with a key of its own. It belongs to one
session, by its `sid`.

It is opened only where it is needed: that takes as long as reading the rest of the session.
"""

from collections.abc import Sequence

from services.bearer_token import validate_token
from services.sealing import Sealer


class RefreshTokenSealer:
    def __init__(self, secret_keys: Sequence[str]) -> None:
        self._sealer = Sealer(secret_keys, "refresh token")

    def seal(self, sid: str, refresh_token: str | None) -> str | None:
        return None if refresh_token is None else self._sealer.seal(sid, refresh_token).decode()

    def open(self, sid: str, sealed: str | None) -> str | None:
        """The refresh token; None if this is not one that was sealed for this session."""
        if sealed is None:
            return None
        try:
            return validate_token(self._sealer.open(sid, sealed.encode()))
        except ValueError:
            return None

    def reseal(self, sid: str, sealed: str | None) -> str | None:
        """The same token, sealed with the current key."""
        return self.seal(sid, self.open(sid, sealed))
