"""Forms and their validation. The backend decides whether a password is correct."""

import re
import unicodedata
from collections.abc import Mapping
from typing import ClassVar

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString
from flask_wtf import FlaskForm
from werkzeug.datastructures import MultiDict
from wtforms import PasswordField, StringField
from wtforms.validators import DataRequired, InputRequired, Length, Regexp, ValidationError

import errors
from services import identifiers
from services.backend.user import User, has_visible_character

_EMAIL_PATTERN = r"^[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+$"
"""Something before and after one `@`. Stricter rules would reject addresses that the backend accepts."""
_NO_CONTROLS_PATTERN = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z"
"""Neither control characters nor Unicode's line breaks."""


_CLIENT_NAMES = ("identifier", "email", "username", "phone")
"""Names of the identifier that clients may use with every value of `LOGIN_IDENTIFIER`."""

MAX_EMAIL_LENGTH = 254
"""RFC 5321, 4.5.3.1.3, without the angle brackets."""
MAX_USERNAME_LENGTH = 255
"""Databases have a column of 255 characters for it, or a shorter one."""
MIN_PHONE_DIGITS = 4
"""The shortest national numbers."""
MAX_PHONE_DIGITS = 15
"""ITU-T E.164, 6.2.1."""
MAX_PASSWORD_LENGTH = 1024
"""Backends hash passwords slowly; a longer one only costs them time. OWASP asks for at least 64."""
MAX_NAME_LENGTH = 200
"""The session cookie holds both names: `_MAX_TEXT` in `services/backend/user.py`."""


def without_controls(text: str) -> str:
    """Text to show in a field again. HTML does not allow control characters (HTML, 13.2.3.5)."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "", text)


def _clean(text: str | None) -> str | None:
    return identifiers.clean(text) if text else text


def _clean_username(text: str | None) -> str | None:
    return identifiers.clean_username(text) if text else text


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


def _check_phone_number(_form: object, field: StringField) -> None:
    """A validator: digits, once separators are removed. The backend knows which numbers there are."""
    number = identifiers.normalize(field.data or "", "phone").removeprefix("+")
    if not re.fullmatch(f"[0-9]{{{MIN_PHONE_DIGITS},{MAX_PHONE_DIGITS}}}", number):
        raise ValidationError(_("Enter a phone number in the right format, like 010-1234-5678 or +12025550147."))


def _password() -> PasswordField:
    return PasswordField(  # passed to the backend as typed: no stripping, no normalization
        _l("Password"),
        validators=[
            InputRequired(_l("Enter your password.")),
            Length(max=MAX_PASSWORD_LENGTH, message=_l("This password is too long. Use %(max)d characters or fewer.")),
        ],
    )


_NOT_VERIFIED = _l("Your account is not verified yet. Verify it, then sign in again.")


class LoginForm(_Form):
    """The sign-in form. Each value of `LOGIN_IDENTIFIER` has a class, which names the first field and its messages."""

    identifier_name: ClassVar[str]
    """The name of the first field, which is also its id."""
    input_type: ClassVar[str] = "text"
    """Neither `email` nor `tel` where these could change or refuse what is typed; `inputmode` chooses the keyboard.
    The autofill field `username` does not allow `tel` (HTML, 4.10.18.7.1)."""
    inputmode: ClassVar[str | None] = None
    nextauth_provider_name: ClassVar[str]
    """The name of this way to sign in for `getProviders()` of next-auth."""
    messages: ClassVar[Mapping[type[errors.SiteError], LazyString]] = {}
    """Messages of errors that name the identifier, where it is no email address."""

    password: PasswordField

    @classmethod
    def read(cls, fields: Mapping[str, str]) -> "LoginForm":
        """The form with these fields of a request."""
        values = {cls.identifier_name: cls._identifier_in(fields), "password": fields.get("password")}
        return cls(MultiDict({name: value for name, value in values.items() if value is not None}))

    @classmethod
    def without_password(cls, fields: Mapping[str, str]) -> "LoginForm":
        """The same without the password, to be shown again."""
        return cls(MultiDict({cls.identifier_name: cls._identifier_in(fields) or ""}))

    @property
    def identifier_field(self) -> StringField:
        field: StringField = self[self.identifier_name]
        return field

    @property
    def typed(self) -> str:
        """The identifier as it was typed, without invisible characters."""
        return self.identifier_field.data or ""

    def show_errors(self, messages: Mapping[str, str]) -> None:
        """As above. The backend's message for the identifier belongs to the first field, whatever its name."""
        super().show_errors(
            {self.identifier_name if name == "email" else name: text for name, text in messages.items()}
        )

    @classmethod
    def _identifier_in(cls, fields: Mapping[str, str]) -> str | None:
        """What was sent as identifier: under the name of the field, or else under one that a client also uses."""
        sent = [fields[name] for name in (cls.identifier_name, *_CLIENT_NAMES) if name in fields]
        return next(filter(None, sent), sent[0] if sent else None)


class EmailLoginForm(LoginForm):
    identifier_name = "email"
    input_type = "email"
    inputmode = "email"
    nextauth_provider_name = "E-mail"
    email = StringField(
        _l("Email address"),
        filters=[_clean],
        validators=[
            InputRequired(_l("Enter your email address.")),
            Length(
                max=MAX_EMAIL_LENGTH, message=_l("This email address is too long. Use %(max)d characters or fewer.")
            ),
            Regexp(_EMAIL_PATTERN, message=_l("Enter an email address in the right format, like name@example.com.")),
        ],
    )
    password = _password()


class UsernameLoginForm(LoginForm):
    identifier_name = "username"
    nextauth_provider_name = "Username"
    messages: ClassVar[Mapping[type[errors.SiteError], LazyString]] = {
        errors.CredentialsSignin: _l(
            "The username or password is incorrect. Check both and try again."
            " If this keeps happening, the account may be locked."
        )
    }
    username = StringField(
        _l("Username"),
        filters=[_clean_username],
        validators=[
            DataRequired(_l("Enter your username.")),
            Length(max=MAX_USERNAME_LENGTH, message=_l("This username is too long. Use %(max)d characters or fewer.")),
            Regexp(_NO_CONTROLS_PATTERN, message=_l("Remove line breaks and control characters.")),
        ],
    )
    password = _password()


class PhoneLoginForm(LoginForm):
    identifier_name = "phone"
    inputmode = "tel"
    nextauth_provider_name = "Phone number"
    messages: ClassVar[Mapping[type[errors.SiteError], LazyString]] = {
        errors.CredentialsSignin: _l(
            "The phone number or password is incorrect. Check both and try again."
            " If this keeps happening, the account may be locked."
        ),
        errors.EmailNotVerified: _NOT_VERIFIED,
    }
    phone = StringField(
        _l("Phone number"),
        filters=[_clean],
        validators=[DataRequired(_l("Enter your phone number.")), _check_phone_number],
    )
    password = _password()


class AnyLoginForm(LoginForm):
    identifier_name = "identifier"
    inputmode = "email"  # its keyboard has letters, digits and the @ sign
    nextauth_provider_name = "Email or username"
    messages: ClassVar[Mapping[type[errors.SiteError], LazyString]] = {
        errors.CredentialsSignin: _l(
            "The sign-in details are incorrect. Check them and try again."
            " If this keeps happening, the account may be locked."
        ),
        errors.EmailNotVerified: _NOT_VERIFIED,
    }
    identifier = StringField(
        _l("Email or username"),
        filters=[_clean_username],
        validators=[
            DataRequired(_l("Enter your email address or username.")),
            Length(
                max=MAX_USERNAME_LENGTH,
                message=_l("This email address or username is too long. Use %(max)d characters or fewer."),
            ),
            Regexp(_NO_CONTROLS_PATTERN, message=_l("Remove line breaks and control characters.")),
        ],
    )
    password = _password()


LOGIN_FORMS: Mapping[str, type[LoginForm]] = {
    "email": EmailLoginForm,
    "username": UsernameLoginForm,
    "phone": PhoneLoginForm,
    "any": AnyLoginForm,
}
"""By the value of `LOGIN_IDENTIFIER`."""


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
