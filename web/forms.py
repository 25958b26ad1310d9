"""Forms and their validation. The backend decides whether a password is correct."""

import re
import unicodedata
from collections.abc import Mapping

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from werkzeug.datastructures import MultiDict
from wtforms import PasswordField, StringField
from wtforms.validators import DataRequired, InputRequired, Length, Regexp

from services import identifiers
from services.backend.user import User, has_visible_character

_EMAIL_PATTERN = r"^[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+$"
"""Something before and after one `@`. Stricter rules would reject addresses that the backend accepts."""
_NO_CONTROLS_PATTERN = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z"
"""Neither control characters nor Unicode's line breaks."""


MAX_EMAIL_LENGTH = 254
"""RFC 5321, 4.5.3.1.3, without the angle brackets."""
MAX_PASSWORD_LENGTH = 1024
"""Backends hash passwords slowly; a longer one only costs them time. OWASP asks for at least 64."""
MAX_NAME_LENGTH = 200
"""The session cookie holds both names: `_MAX_TEXT` in `services/backend/user.py`."""


def without_controls(text: str) -> str:
    """Text to show in a field again. HTML does not allow control characters (HTML, 13.2.3.5)."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "", text)


def _clean_identifier(text: str | None) -> str | None:
    return identifiers.clean(text) if text else text


def _normalize_name(text: str | None) -> str | None:
    """Normalize to NFC (Unicode UAX #15) and strip white space. A name without a visible character is no name."""
    return unicodedata.normalize("NFC", text).strip() if text and has_visible_character(text) else None


class _Form(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no type hints
    class Meta:
        csrf = False  # web/csrf.py checks the token before the view runs

    def show_errors(self, messages: Mapping[str, str]) -> None:
        """Show errors of the backend. `messages`: field name -> message."""
        for name, message in messages.items():
            self[name].errors = [message]


class LoginForm(_Form):
    email = StringField(
        _l("Email address"),
        filters=[_clean_identifier],
        validators=[
            InputRequired(_l("Enter your email address.")),
            Length(
                max=MAX_EMAIL_LENGTH, message=_l("This email address is too long. Use %(max)d characters or fewer.")
            ),
            Regexp(_EMAIL_PATTERN, message=_l("Enter an email address in the right format, like name@example.com.")),
        ],
    )
    password = PasswordField(  # passed to the backend as typed: no stripping, no normalization
        _l("Password"),
        validators=[
            InputRequired(_l("Enter your password.")),
            Length(max=MAX_PASSWORD_LENGTH, message=_l("This password is too long. Use %(max)d characters or fewer.")),
        ],
    )


class ProfileForm(_Form):
    name = StringField(
        _l("Name"),
        filters=[_normalize_name],
        validators=[
            DataRequired(_l("Enter your name.")),
            Length(max=MAX_NAME_LENGTH, message=_l("Use 200 characters or fewer.")),
            Regexp(_NO_CONTROLS_PATTERN, message=_l("Remove line breaks and control characters.")),
        ],
    )
    nick_name = StringField(
        _l("Nickname"),
        filters=[_normalize_name],
        validators=[
            Length(max=MAX_NAME_LENGTH, message=_l("Use 200 characters or fewer.")),
            Regexp(_NO_CONTROLS_PATTERN, message=_l("Remove line breaks and control characters.")),
        ],
    )

    @classmethod
    def for_changes(cls, user: User, changes: Mapping[str, str | None]) -> "ProfileForm":
        """The form with these changes of the user's names. Names that are not among them stay as they are."""
        names = {"name": user.name, "nick_name": user.nick_name, **changes}
        return cls(MultiDict({name: value for name, value in names.items() if value is not None}))

    def accepts(self, changes: Mapping[str, str | None]) -> bool:
        """Whether there are changes, all of them valid. A user may have no name yet and change the nickname."""
        return (self.validate() or set(self.errors).isdisjoint(changes)) and bool(changes)
