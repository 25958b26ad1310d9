"""What a form requests in addition to the sign-in itself."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SignInOptions:
    user_id: str | None = None
    """The only user who may sign in, because this confirms their session; `AccountMismatch` for another."""
    end_others: bool = False
    """End all other sessions of this user."""
    end_others_of: str | None = None
    """End them only if this is the `account_hash` of what the person signs in with, or of their email address."""
    remember: bool = False
    """Whether the person asked to stay signed in."""


NO_OPTIONS = SignInOptions()
