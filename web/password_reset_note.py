"""After a new password was set with the code of a mail, the next sign-in of that person ends all their other sessions.

The visitor cookie notes that, and whose password it is: somebody else may be the next to sign in at this computer.
"""

import flask

from services import services
from services.sign_in_options import SignInOptions

_KEY = "endOthers"
MAX_AGE_SECONDS = 3600
"""How long the note is valid. People sign in with the new password at once, and later others may use the computer."""


def save(account: str | None) -> None:
    """account: the `account_hash` of the person; None if neither the form nor the backend says who it is."""
    flask.session[_KEY] = [account, int(services().clock.time()) + MAX_AGE_SECONDS]


def sign_in_options(*, remember: bool = False, with_password: bool = False) -> SignInOptions:
    """The options of a sign-in in this browser.

    with_password: if it is not known whose password was set, the note is for the next person who signs in with one.
    """
    note = flask.session.get(_KEY)
    account, expires_at = note if isinstance(note, list) else (None, 0)
    is_valid = services().clock.time() < expires_at
    return SignInOptions(
        end_others=is_valid and account is None and with_password,
        end_others_of=account if is_valid else None,
        remember=remember,
    )
