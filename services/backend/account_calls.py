"""The calls of forms about an account: sign-up, a new password, verification of an address.

Most are made for people who are not signed in. Their results must not reveal which accounts exist, unless the backend
itself reveals it at the sign-up.
"""

import logging
from collections.abc import Mapping
from typing import Any

import errors
from backends.base import Backend, Meaning, placeholders_of
from config import Settings
from services.backend import answer_errors, results
from services.backend.answer import Answer
from services.backend.client import BackendClient
from services.backend.results import Login
from services.backend.user import User
from services.clock import Clock
from services.request_context import RequestContext

log = logging.getLogger("munjigi.backend")

_CODE_FIELDS = frozenset({"code", "uid"})


class AccountCalls:
    def __init__(self, settings: Settings, client: BackendClient, clock: Clock) -> None:
        self._backend: Backend = settings.backend
        self._site_url = settings.site_url
        self._further_fields = {field.key: field.key for field in settings.register_fields}
        self._client = client
        self._clock = clock

    def has(self, name: str) -> bool:
        """Whether the backend has the call with this name."""
        return name in self._backend.calls

    def asks_for(self, name: str) -> frozenset[str]:
        """The placeholders that the templates of a call use; empty if there is no such call."""
        call = self._backend.calls.get(name)
        return placeholders_of(call) if call else frozenset()

    @property
    def checks_current_password(self) -> bool:
        return self._backend.checks_current_password and "password" in self.asks_for("change_password")

    def register(
        self, values: Mapping[str, Any], further: Mapping[str, object], context: RequestContext
    ) -> Login | None:
        """Create an account. Returns the tokens of its first session; None if the answer has none.

        further: values of `REGISTER_FIELDS`, by their names in the body.
        Raises `EmailNotVerified` if the address has to be verified first, another `SiteError` if there is no account.
        """
        values = {**values, "site_url": self._site_url, "locale": context.locale}
        answer = self._client.call("register", values, context, further=further)
        meaning = answer_errors.declared_meaning(self._backend, "register", answer)
        if meaning is not None or not 200 <= answer.status < 300:
            raise self._error("register", answer, meaning)
        return results.login(self._backend, answer, self._clock.time())

    def send_mail(self, name: str, identifier: str, context: RequestContext) -> None:
        """Ask the backend to send a mail: `forgot` or `resend_verification`.

        Errors of the backend are logged and not raised, since they may depend on whether the account exists. Raises
        `BackendUnavailable` if the backend cannot be reached.
        """
        values = {"identifier": identifier, "email": identifier, "site_url": self._site_url, "locale": context.locale}
        try:
            answer = self._client.call(name, values, context)
            meaning = answer_errors.declared_meaning(self._backend, name, answer)
        except errors.BackendUnavailable as error:
            if error.status == 503:  # no connection: the same for everybody
                raise
            log.error("mail not requested: %s", error.reason)
            return
        except errors.SiteError as error:
            log.error("mail not requested: %s", error.reason)
            return
        if answer.status >= 500 or meaning in (Meaning.CONFIGURATION, Meaning.UNAVAILABLE):
            log.error("mail not requested: the %s path answered %s", name, answer.status)

    def reset(self, values: Mapping[str, Any], context: RequestContext) -> tuple[Login | None, User | None]:
        """Set a new password with a code. Returns tokens and user, if the answer has them. Raises a `SiteError`."""
        answer = self._checked("reset", values, context)
        return results.login(self._backend, answer, self._clock.time()), results.user_if_any(self._backend, answer)

    def verify_email(self, values: Mapping[str, Any], context: RequestContext) -> None:
        """Verify an address with a code. Raises `InvalidCode`, or another `SiteError`."""
        self._checked("verify_email", values, context)

    def change_password(self, values: Mapping[str, Any], context: RequestContext) -> Login | None:
        """Change the password of the signed-in person. Returns new tokens, if the answer has them."""
        return results.login(self._backend, self._checked("change_password", values, context), self._clock.time())

    def _checked(self, name: str, values: Mapping[str, Any], context: RequestContext) -> Answer:
        answer = self._client.call(name, values, context)
        is_of_backend = not (answer.response.is_html or answer.response.protection)
        if is_of_backend and answer.status in self._backend.done.get(name, ()):
            return answer
        meaning = answer_errors.declared_meaning(self._backend, name, answer)
        if meaning is not None or not 200 <= answer.status < 300:
            raise self._error(name, answer, meaning)
        return answer

    def _error(self, name: str, answer: Answer, meaning: Meaning | None) -> errors.SiteError:
        if answer_errors.has_fields_error(self._backend, answer, meaning):
            error = self._fields_error(name, answer)
            if error:
                return error
        if name == "register" and meaning is None and answer_errors.has_fields_error(self._backend, answer, meaning):
            return errors.InvalidFields({}, f"the register path answered {answer.status}")
        return answer_errors.call_error(self._backend, name, answer, meaning)

    def _fields_error(self, name: str, answer: Answer) -> errors.SiteError | None:
        """The error of messages for fields of the form, for the code of a link, or for unknown fields."""
        further = self._further_fields if name == "register" else {}
        error = answer_errors.fields_error(self._backend, name, answer, further)
        if isinstance(error, errors.InvalidFields) and not _CODE_FIELDS.isdisjoint(error.fields):
            return errors.InvalidCode(f"the {name} path answered {answer.status}: errors for the code")
        return error
