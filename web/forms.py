"""Forms and their validation. The backend decides whether a password is correct."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from typing import Any, ClassVar

from flask_babel import get_locale
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString
from flask_wtf import FlaskForm
from werkzeug.datastructures import MultiDict
from wtforms import BooleanField, DateField, PasswordField, StringField
from wtforms.validators import DataRequired, InputRequired, Length, Optional, Regexp, ValidationError

import errors
from services import identifiers
from services.backend.user import User, has_visible_character
from settings_readers import RegisterField

_EMAIL_PATTERN = r"^[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+$"
"""Text before and after one `@`. Stricter rules would reject addresses that the backend accepts."""
_NO_CONTROLS_PATTERN = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z"
"""Neither control characters nor Unicode's line breaks."""


_CLIENT_NAMES = ("identifier", "email", "username", "phone")
"""Names of the identifier that clients may use with every value of `LOGIN_IDENTIFIER`."""

MAX_EMAIL_LENGTH = 254
"""RFC 5321, 4.5.3.1.3, without the angle brackets."""
MAX_USERNAME_LENGTH = 255
"""The usual size of a database column."""
MIN_PHONE_DIGITS = 4
"""The shortest national numbers."""
MAX_PHONE_DIGITS = 15
"""ITU-T E.164, 6.2.1."""
MAX_PASSWORD_LENGTH = 1024
"""Hashing a longer password would only cost the backend time. OWASP asks for at least 64 characters."""
MAX_CODE_LENGTH = 2048
"""The code of a mail. Some backends use a JWT, which fits into a link of this length."""
MAX_FIELD_LENGTH = 1000
"""A field of `REGISTER_FIELDS`, such as a postal address of several lines."""
MAX_STEP_CODE_LENGTH = 64
"""Codes have six to ten digits; recovery codes are longer."""
MAX_NAME_LENGTH = 200
"""The session cookie holds both names: `_MAX_TEXT` in `services/backend/user.py`."""


def without_controls(text: str) -> str:
    """Remove control characters, which HTML does not allow (HTML, 13.2.3.5), from the value of a field."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "", text)


def _clean(text: str | None) -> str | None:
    return identifiers.clean(text) if text else text


def _clean_username(text: str | None) -> str | None:
    return identifiers.clean_username(text) if text else text


def _clean_name(text: str | None) -> str | None:
    """Normalize to NFC (Unicode UAX #15) and strip white space. A name without a visible character is empty."""
    return unicodedata.normalize("NFC", text).strip() if text and has_visible_character(text) else None


class _Form(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no type hints
    class Meta:
        csrf = False  # web/csrf.py checks the token before the view runs

    def show_errors(self, messages: Mapping[str, str]) -> None:
        """Add messages of the backend to the fields. messages: field name -> message."""
        for name, message in messages.items():
            self[name].errors = [message]


def _check_phone_number(_form: object, field: StringField) -> None:
    """A validator for telephone numbers: only digits after normalization. Whether a number exists is not checked."""
    number = identifiers.normalize(field.data or "", "phone").removeprefix("+")
    if not re.fullmatch(f"[0-9]{{{MIN_PHONE_DIGITS},{MAX_PHONE_DIGITS}}}", number):
        raise ValidationError(_("Enter a phone number in the right format, like 010-1234-5678 or +12025550147."))


def _password(label: LazyString | None = None, missing: LazyString | None = None) -> PasswordField:
    return PasswordField(  # passed to the backend as typed: no stripping, no normalization
        label or _l("Password"),
        validators=[
            InputRequired(missing or _l("Enter your password.")),
            Length(max=MAX_PASSWORD_LENGTH, message=_l("This password is too long. Use %(max)d characters or fewer.")),
        ],
    )


_NOT_VERIFIED = _l("Your account is not verified yet. Verify it, then sign in again.")


class LoginForm(_Form):
    """The sign-in form. Each value of `LOGIN_IDENTIFIER` has a class, which names the first field and its messages."""

    identifier_name: ClassVar[str]
    """The name of the first field, which is also its id."""
    input_type: ClassVar[str] = "text"
    """Not `email` or `tel` if browsers would then change or reject the text; `inputmode` chooses the keyboard.
    The autofill field `username` does not allow `tel` (HTML, 4.10.18.7.1)."""
    inputmode: ClassVar[str | None] = None
    nextauth_provider_name: ClassVar[str]
    """The name of this way to sign in for `getProviders()` of next-auth."""
    messages: ClassVar[Mapping[type[errors.SiteError], LazyString]] = {}
    """Error -> message for identifiers that are not an email address."""

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
        """Add messages of the backend to the fields. The message for the identifier belongs to the first field."""
        super().show_errors(
            {self.identifier_name if name == "email" else name: text for name, text in messages.items()}
        )

    @classmethod
    def _identifier_in(cls, fields: Mapping[str, str]) -> str | None:
        """The submitted identifier: under the name of the field, or under another name that clients use."""
        identifiers = [fields[name] for name in (cls.identifier_name, *_CLIENT_NAMES) if name in fields]
        return next(filter(None, identifiers), identifiers[0] if identifiers else None)


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
"""Value of `LOGIN_IDENTIFIER` -> form."""


_CODE_SEPARATORS = re.compile(r"[\s.\-\u00ad\u00b7\u2010-\u2015\u2212\u30fc]")
"""Separators between the digits of a code."""


def _clean_typed_code(text: str | None) -> str | None:
    """A code without white space, and without separators if it then consists of digits. Full-width digits are mapped.

    The dash of a recovery code is kept, because it may belong to the code.
    """
    if not text:
        return text
    text = re.sub(r"\s", "", identifiers.clean(text))
    text = "".join(str(unicodedata.decimal(char, char)) for char in text)
    digits = _CODE_SEPARATORS.sub("", text)
    return digits if digits.isascii() and digits.isdigit() else text


def _step_code(label: LazyString) -> StringField:
    return StringField(
        label,
        filters=[_clean_typed_code],
        validators=[
            InputRequired(_l("Enter the code.")),
            Length(max=MAX_STEP_CODE_LENGTH, message=_l("This code is too long. Use %(max)d characters or fewer.")),
            Regexp(r"^[!-~]*\Z", message=_l("A code has only digits and letters.")),
        ],
    )


class StepCodeForm(_Form):
    """The code of a next step."""

    code = _step_code(_l("Code"))

    @classmethod
    def read(cls, fields: Mapping[str, str]) -> "StepCodeForm":
        return cls(MultiDict({"code": fields["code"]} if "code" in fields else {}))


class RecoveryCodeForm(StepCodeForm):
    code = _step_code(_l("Recovery code"))


class ProfileForm(_Form):
    name = StringField(
        _l("Name"),
        filters=[_clean_name],
        validators=[
            DataRequired(_l("Enter your name.")),
            Length(max=MAX_NAME_LENGTH, message=_l("Use 200 characters or fewer.")),
            Regexp(_NO_CONTROLS_PATTERN, message=_l("Remove line breaks and control characters.")),
        ],
    )
    nick_name = StringField(
        _l("Nickname"),
        filters=[_clean_name],
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
        """Whether there are changes and all are valid. A user without a name may change only the nickname."""
        return (self.validate() or set(self.errors).isdisjoint(changes)) and bool(changes)


def _text_field(label: str | LazyString, *, required: bool, missing: str | LazyString, **options: Any) -> StringField:
    return StringField(
        label,
        filters=[_clean_username],
        validators=[
            DataRequired(missing) if required else Optional(),
            Length(max=MAX_FIELD_LENGTH, message=_l("Use %(max)d characters or fewer.")),
            Regexp(_NO_CONTROLS_PATTERN, message=_l("Remove line breaks and control characters.")),
        ],
        **options,
    )


_KNOWN_LABELS: Mapping[str, LazyString] = {
    "email": _l("Email address"),
    "username": _l("Username"),
    "phone": _l("Phone number"),
    "name": _l("Name"),
    "nick_name": _l("Nickname"),
    "first_name": _l("First name"),
    "last_name": _l("Last name"),
}
"""Labels of fields for which `REGISTER_FIELDS` needs none."""
_AUTOCOMPLETE = {
    "email": "email",
    "phone": "tel",
    "name": "name",
    "nick_name": "nickname",
    "first_name": "given-name",
    "last_name": "family-name",
    "company": "organization",
    "birthday": "bday",
}
"""Field name -> value of the `autocomplete` attribute (HTML, 4.10.18.7.1)."""
_INPUTMODES = {"email": "email", "tel": "tel"}


@dataclass(frozen=True)
class RegisterInput:
    """The attributes of a field of the sign-up form, for the template."""

    name: str
    type: str
    autocomplete: str
    inputmode: str | None = None


class RegisterForm(_Form):
    """The base of the sign-up form. `register_form` makes the class for a site."""

    identifier_name: ClassVar[str]
    inputs: ClassVar[tuple[RegisterInput, ...]]
    further: ClassVar[tuple[RegisterField, ...]]

    password: PasswordField

    @classmethod
    def without_password(cls, fields: Mapping[str, str]) -> "RegisterForm":
        """The form with these fields of a request, to be shown again. The password is never sent back."""
        return cls(MultiDict({name: text for name, text in fields.items() if name != "password"}))

    @classmethod
    def with_values(cls, values: Mapping[str, str]) -> "RegisterForm":
        """The form with these initial values."""
        return cls(MultiDict(values))

    @property
    def identifier(self) -> str:
        return self[self.identifier_name].data or ""

    @property
    def values(self) -> dict[str, Any]:
        """The values of the call's placeholders. Empty ones are left out."""
        names = [self.identifier_name, *_KNOWN_LABELS, "password"]
        return {name: self[name].data for name in names if name in self and self[name].data}

    @property
    def further_values(self) -> dict[str, object]:
        """The values of `REGISTER_FIELDS`, by their names in the body. Empty ones are left out."""
        data = {field.name: self[field.key].data for field in self.further}
        return {
            name: value.isoformat() if isinstance(value, date) else value
            for name, value in data.items()
            if value is not None and value != ""
        }

    def show_errors(self, messages: Mapping[str, str]) -> None:
        """Add messages of the backend to the fields. Identifier and password have other names in this form."""
        names = {"email": "email" if "email" in self else self.identifier_name, "new_password": "password"}
        super().show_errors(
            {names.get(name, name): text for name, text in messages.items() if names.get(name, name) in self}
        )


def register_form(identifier_kind: str, placeholders: frozenset[str], further: Sequence[RegisterField]) -> type:
    """Return the class of the sign-up form.

    placeholders: the values that the backend requires. The identifier comes first, the password after all other text
    fields, then the checkboxes.
    """
    login_form = LOGIN_FORMS["email" if identifier_kind == "any" else identifier_kind]
    identifier = login_form.identifier_name
    own = {field.key for field in further}
    further = [*_known_fields(placeholders - own - {identifier}), *further]
    texts = [field for field in further if field.kind != "checkbox"]
    checkboxes = [field for field in further if field.kind == "checkbox"]
    new_password = RegisterInput("password", "password", "new-password")
    inputs = [
        RegisterInput(identifier, login_form.input_type, "username", login_form.inputmode),
        *map(_register_input, texts),
        new_password,
        *map(_register_input, checkboxes),
    ]
    members: dict[str, Any] = {identifier: _copy_field(getattr(login_form, identifier))}
    members |= {field.key: _register_field(field) for field in texts}
    members["password"] = _password(missing=_l("Choose a password."))
    members |= {field.key: _register_field(field) for field in checkboxes}
    own_fields = tuple(field for field in further if field.key in own)
    return type(
        "SiteRegisterForm",
        (RegisterForm,),
        {**members, "identifier_name": identifier, "inputs": tuple(inputs), "further": own_fields},
    )


def new_account_form(names: Sequence[str], further: Sequence[RegisterField]) -> type[RegisterForm]:
    """Return the class of the sign-up form after a sign-in with a provider. It has no password.

    names: the fields that the backend requires, in this order. Checkboxes come last.
    """
    own = [replace(field, required=True) for field in further if field.key in names]
    common = _known_fields(frozenset(names) - {field.key for field in own})
    fields = [replace(field, required=True) for field in common] + own
    fields = sorted(fields, key=lambda field: (field.kind == "checkbox", names.index(field.key)))
    members = {field.key: _register_field(field) for field in fields}
    inputs = tuple(map(_register_input, fields))
    members |= {"identifier_name": "email", "inputs": inputs, "further": tuple(own)}
    return type("NewAccountForm", (RegisterForm,), members)


def _known_fields(placeholders: frozenset[str]) -> list[RegisterField]:
    kinds = {"email": "email", "phone": "tel"}
    return [
        RegisterField(name, kinds.get(name, "text"), required=name != "nick_name", labels={})
        for name in _KNOWN_LABELS
        if name in placeholders
    ]


def _copy_field(field: Any) -> Any:
    """A copy of the field: WTForms sorts the fields of a form by the order of their creation."""
    return field.field_class(*field.args, **field.kwargs)


def _register_input(field: RegisterField) -> RegisterInput:
    # Not `email` or `tel` as the type: browsers would change or reject the text.
    kind = field.kind if field.kind in ("checkbox", "date") else "text"
    autocomplete = _AUTOCOMPLETE.get(field.key, "off")
    return RegisterInput(field.key, kind, autocomplete, _INPUTMODES.get(field.kind))


def _register_field(field: RegisterField) -> Any:
    label = LazyString(_localized, field.labels) if field.labels else _KNOWN_LABELS.get(field.key, field.key)
    text = label if field.required else _l("%(label)s (optional)", label=label)
    missing = _l("Fill in this field: %(label)s.", label=label)
    match field.kind:
        case "checkbox":
            missing = _l("Tick this box to continue: %(label)s", label=label)
            return BooleanField(text, validators=[DataRequired(missing)] if field.required else [])
        case "date":
            validators = [DataRequired(missing) if field.required else Optional()]
            return DateField(text, validators=validators)
        case "email":
            return _with_label(EmailLoginForm.email, text, required=field.required)
        case "tel":
            return _with_label(PhoneLoginForm.phone, text, required=field.required)
    if field.key in ("name", "nick_name"):
        return _with_label(getattr(ProfileForm, field.key), text, required=field.required)
    return _text_field(text, required=field.required, missing=missing)


def _with_label(field: Any, label: str | LazyString, *, required: bool) -> Any:
    """A copy of the field with another label. It may be left empty if it is not required."""
    validators = [each for each in field.kwargs["validators"] if not isinstance(each, DataRequired | InputRequired)]
    first = next((each for each in field.kwargs["validators"] if isinstance(each, DataRequired | InputRequired)), None)
    if required:
        validators.insert(0, first or DataRequired(_l("Fill in this field: %(label)s.", label=label)))
    else:
        validators.insert(0, Optional())
    return field.field_class(label, filters=field.kwargs["filters"], validators=validators)


def _localized(texts: Mapping[str, str]) -> str:
    locale = get_locale()
    codes = [str(locale), locale.language, ""] if locale else [""]
    return next(texts[code] for code in codes if code in texts)


def localized(texts: Mapping[str, str]) -> str:
    """The text of a setting in the language of the page."""
    return _localized(texts)


def _code() -> StringField:
    return StringField(
        _l("Code from the email"),
        filters=[_clean],
        validators=[
            InputRequired(_l("Enter the code from the email.")),
            Length(max=MAX_CODE_LENGTH, message=_l("Use %(max)d characters or fewer.")),
            Regexp(r"^(?=.*[A-Za-z0-9])[\x21-\x7e]*\Z", message=_l("Enter the code from the email.")),
        ],
    )


def _uid() -> StringField:
    return StringField(
        validators=[
            Length(max=MAX_USERNAME_LENGTH),
            Regexp(r"^(?=.*[A-Za-z0-9])[\x21-\x7e]*\Z|^\Z"),
        ]
    )


FROM_LINK = "link"
"""The field that says that the code comes from a link, and was not typed."""


class CodeForm(_Form):
    """The base of forms with the code of a mail, from its link or typed."""

    code = _code()
    uid = _uid()

    @classmethod
    def read(cls, fields: Mapping[str, str]) -> "CodeForm":
        """The form with these fields of a request. A code that was typed is cleaned; that of a link stays as it is."""
        values = MultiDict(fields)
        if fields.get("code") and FROM_LINK not in fields:
            values["code"] = _clean_typed_code(fields["code"]) or ""
        return cls(values)

    def show_errors(self, messages: Mapping[str, str]) -> None:
        super().show_errors({name: text for name, text in messages.items() if name in self})


class ResetPasswordForm(CodeForm):
    new_password = _password(_l("New password"), _l("Choose a new password."))


class VerifyEmailForm(CodeForm):
    pass


class ChangePasswordForm(_Form):
    password = _password(_l("Current password"), _l("Enter your current password."))
    new_password = _password(_l("New password"), _l("Choose a new password."))


class ConfirmPasswordForm(_Form):
    password = _password(_l("Current password"), _l("Enter your current password."))


class IdentifierForm(_Form):
    """A form with only the identifier, the first field of the sign-in form."""

    identifier_name: ClassVar[str]
    input_type: ClassVar[str]
    inputmode: ClassVar[str | None]

    @property
    def identifier_field(self) -> StringField:
        field: StringField = self[self.identifier_name]
        return field

    @property
    def typed(self) -> str:
        return self.identifier_field.data or ""

    @classmethod
    def read(cls, fields: Mapping[str, str]) -> "IdentifierForm":
        """The form with these fields of a request. Clients may send the identifier under another name."""
        sent = [fields[name] for name in (cls.identifier_name, *_CLIENT_NAMES) if name in fields]
        return cls(MultiDict({**fields, **({cls.identifier_name: sent[0]} if sent else {})}))


@lru_cache
def with_identifier(form: type[_Form], kind: str) -> type:
    """The class of this form with the identifier as a further field. kind: the value of `LOGIN_IDENTIFIER`."""
    login_form = LOGIN_FORMS[kind]
    name = login_form.identifier_name
    attributes = {name: _copy_field(getattr(login_form, name)), "identifier_name": name}
    attributes |= {"input_type": login_form.input_type, "inputmode": login_form.inputmode}
    bases = (form,) if issubclass(form, IdentifierForm) else (form, IdentifierForm)
    return type(f"{form.__name__}WithIdentifier", bases, attributes)
