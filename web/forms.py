"""The shapes of what people type. Nothing is decided here: whether a password is right, the backend says."""

import unicodedata
from collections.abc import Mapping

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import PasswordField, StringField
from wtforms.validators import InputRequired, Length, Regexp

_ADDRESS = r"^[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+$"
"""One `@` between two somethings: finer rules would lock out addresses that a backend once took."""
_NO_CONTROLS = r"^[^\x00-\x1f\x7f]*$"


def _normal_address(text: str | None) -> str | None:
    """NFKC: the full-width sign of a Korean keyboard is an `@`, and two spellings are one account."""
    return unicodedata.normalize("NFKC", text).strip() if text else text


def _stripped(text: str | None) -> str | None:
    return text.strip() if text else text


class _Form(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no type hints
    class Meta:
        csrf = False  # checked for every request before its view, in csrf.py

    def show_errors(self, messages: Mapping[str, str]) -> None:
        """Show what another judge has to say of some fields: field name -> one sentence."""
        for name, message in messages.items():
            self[name].errors = [message]


class LoginForm(_Form):
    email = StringField(
        _l("Email address"),
        filters=[_normal_address],
        validators=[
            InputRequired(_l("Enter your email address.")),
            Length(max=254, message=_l("This email address is too long. Check it.")),
            Regexp(_ADDRESS, message=_l("Enter an email address in the right format, like name@example.com.")),
        ],
    )
    password = PasswordField(  # taken exactly as typed: no trimming, no normalising
        _l("Password"),
        validators=[
            InputRequired(_l("Enter your password.")),
            Length(max=1024, message=_l("This password is too long. Check it.")),
        ],
    )


class ProfileForm(_Form):
    name = StringField(
        _l("Name"),
        filters=[_stripped],
        validators=[
            InputRequired(_l("Enter your name.")),
            Length(max=200, message=_l("Use 200 characters or fewer.")),
            Regexp(_NO_CONTROLS, message=_l("Use only letters, numbers and symbols.")),
        ],
    )
    nick_name = StringField(
        _l("Nickname"),
        filters=[_stripped],
        validators=[
            Length(max=200, message=_l("Use 200 characters or fewer.")),
            Regexp(_NO_CONTROLS, message=_l("Use only letters, numbers and symbols.")),
        ],
    )
