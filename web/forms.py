"""Forms and their validation. The backend decides whether a password is correct."""

import unicodedata
from collections.abc import Mapping

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import PasswordField, StringField
from wtforms.validators import InputRequired, Length, Regexp

_EMAIL_PATTERN = r"^[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+$"
"""Something before and after one `@`. Stricter rules would reject addresses that the backend accepts."""
_NO_CONTROLS_PATTERN = r"^[^\x00-\x1f\x7f]*$"


def _normalize_email(text: str | None) -> str | None:
    """Normalize to NFKC (Unicode UAX #15), which maps a full-width `@` to `@`, and strip white space."""
    return unicodedata.normalize("NFKC", text).strip() if text else text


def _strip(text: str | None) -> str | None:
    return text.strip() if text else text


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
        filters=[_normalize_email],
        validators=[
            InputRequired(_l("Enter your email address.")),
            Length(max=254, message=_l("This email address is too long. Check it.")),
            Regexp(_EMAIL_PATTERN, message=_l("Enter an email address in the right format, like name@example.com.")),
        ],
    )
    password = PasswordField(  # passed to the backend as typed: no stripping, no normalization
        _l("Password"),
        validators=[
            InputRequired(_l("Enter your password.")),
            Length(max=1024, message=_l("This password is too long. Check it.")),
        ],
    )


class ProfileForm(_Form):
    name = StringField(
        _l("Name"),
        filters=[_strip],
        validators=[
            InputRequired(_l("Enter your name.")),
            Length(max=200, message=_l("Use 200 characters or fewer.")),
            Regexp(_NO_CONTROLS_PATTERN, message=_l("Remove line breaks and control characters.")),
        ],
    )
    nick_name = StringField(
        _l("Nickname"),
        filters=[_strip],
        validators=[
            Length(max=200, message=_l("Use 200 characters or fewer.")),
            Regexp(_NO_CONTROLS_PATTERN, message=_l("Remove line breaks and control characters.")),
        ],
    )
