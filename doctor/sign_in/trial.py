"""Signs in once with settings as they are, through the same code as the site, and says what each step showed."""

from dataclasses import dataclass

import errors
from doctor.sign_in.answers import printable
from doctor.sign_in.connection import CLOCK, context
from doctor.sign_in.learning import Learning
from doctor.sign_in.session import what_it_means
from services.backend import results
from services.backend.answer import Answer
from services.backend.client import Revocation
from services.backend.next_step import read_step
from services.backend.tokens import Tokens


@dataclass(frozen=True)
class Outcome:
    is_signed_in: bool
    is_refused: bool = False
    """The backend refuses these credentials: the description of the backend fits, as far as it was used."""
    waits_for_step: bool = False
    """The credentials are right, and the site would ask for a next step, such as a code."""


class Trial:
    def __init__(self, learning: Learning) -> None:
        self._settings = learning.connection.settings()
        self._backend = self._settings.backend
        self._connection = learning.connection
        self._client = learning.connection.client()
        self._account = learning.account
        self._report = learning.report

    def run(self, *, with_wrong_password: bool) -> Outcome:
        """Sign in, read the user, refresh twice, sign out, read again.

        with_wrong_password: try a wrong password first. A sign-in then resets the count of failures.
        """
        self._report.heading(f"Sign-in with BACKEND={self._backend.id}")
        if with_wrong_password and not self.try_wrong_password():
            return Outcome(is_signed_in=False)
        try:
            answer = self._call("login", self._account.values)
            self._report.answer(self._line("login"), answer)
            tokens = results.tokens(self._backend, "login", answer, CLOCK.time())
            self._report_tokens(answer, tokens)
            self._read_user(answer, tokens)
        except errors.SecondFactorRequired as error:
            return self._report_next_step(answer, error)
        except errors.SiteError as error:
            self._report.error("The site would answer", error)
            return Outcome(is_signed_in=False, is_refused=isinstance(error, errors.Rejected))
        tokens = self._refresh_twice(tokens)
        self._sign_out(tokens)
        return Outcome(is_signed_in=True)

    def _report_next_step(self, answer: Answer, error: errors.SiteError) -> Outcome:
        """Say what this account needs beside its password."""
        try:
            step = read_step(self._backend, answer, self._settings.backend_next_step_urls)
        except errors.SiteError as refusal:
            step, error = None, refusal
        if step is None:
            self._report.error("This account needs a next step. The site would answer", error)
            return Outcome(is_signed_in=False)
        step_text = "a visit to another page" if step.url else f"a code ({', '.join(step.methods.values())})"
        self._report.line(f"the password is right, and this account needs a next step: {step_text}")
        self._report.line("the site asks for it at /auth/login/verify; nothing was tried beyond this point")
        return Outcome(is_signed_in=False, waits_for_step=True)

    def try_wrong_password(self) -> bool:
        """Say how the backend refuses a wrong password. Returns whether it answers."""
        try:
            answer = self._call("login", self._account.with_wrong_password)
        except errors.SiteError as failure:
            self._report.error("The site would answer", failure)
            return False
        self._report.answer(f"{self._line('login')} with a wrong password", answer)
        error = what_it_means(self._settings, "login", answer)
        if not isinstance(error, errors.CredentialsSignin):
            if error:
                self._report.error("The site would answer", error)
            self._report.warning("This is not read as a wrong password: set BACKEND_MEANINGS.")
        return True

    def _call(self, name: str, values: dict[str, str]) -> Answer:
        return self._connection.call(name, values, self._settings)

    def _line(self, name: str) -> str:
        call = self._backend.calls[name]
        return f"{call.method} {call.path}"

    def _report_tokens(self, login: Answer, tokens: Tokens) -> None:
        self._report.line(f"took the access token from {_place_with_value(login, self._backend.token)}")
        if places := self._backend.refresh_token:
            where = f"from {_place_with_value(login, places)}" if tokens.refresh else "nowhere: none is there"
            self._report.line(f"took the refresh token {where}")
        if tokens.expires_at is None:
            self._report.line("nothing says when the access token expires")
        else:
            seconds = tokens.expires_at - int(CLOCK.time())
            self._report.line(f"the access token expires in {seconds} seconds")

    def _read_user(self, login: Answer, tokens: Tokens) -> None:
        claims = self._settings.user_claims
        if self._backend.user_from_login:
            user = results.user(self._backend, "user", login, claims)
        else:
            answer = self._call("user", {"token": tokens.access})
            self._report.answer(self._line("user"), answer)
            user = results.user(self._backend, "user", answer, claims)
        fields = [field for field, value in user.to_json().items() if value is not None]
        self._report.line(f"took the user's {', '.join(fields)}")
        if missing := [claim.name for claim in claims if claim.name not in user.claims]:
            self._report.warning(f"USER_CLAIMS: the user has no {', '.join(missing)}, or it is too large.")
        if (
            user.email
            and "@" in self._account.identifier
            and user.email.casefold() != self._account.identifier.casefold()
        ):
            self._report.warning("The user has another e-mail address than the one that you typed.")

    def _refresh_twice(self, tokens: Tokens) -> Tokens:
        if not self._client.can_refresh(has_refresh_token=tokens.refresh is not None):
            self._report.line("no refresh: a session ends when its access token expires")
            return tokens
        try:
            new = self._client.refresh(tokens, context(self._settings))
        except errors.SiteError as error:
            self._report.error(
                "The refresh fails. Check BACKEND_REFRESH and BACKEND_REFRESH_SEND. The site would answer", error
            )
            return tokens
        rotates = new.refresh != tokens.refresh
        self._report.line(f"{self._line('refresh')} gave new tokens; " + _ROTATION[rotates])
        try:
            again = self._client.refresh(tokens, context(self._settings))
        except errors.SessionExpired:
            self._report.line("a second refresh with the same token is refused")
            self._report_after_second_refresh(new)
            return new
        except errors.SiteError as error:
            self._report.error("A second refresh with the same token fails, but not as a refusal:", error)
            return new
        self._report.line("a second refresh with the same token is accepted")
        return again

    def _report_after_second_refresh(self, tokens: Tokens) -> None:
        if self._is_accepted(tokens) is False:
            self._report.warning("The second use has ended the new tokens too. The site refreshes each token once.")

    def _is_accepted(self, tokens: Tokens) -> bool | None:
        """Whether the user can be read with these tokens; None if that is not known."""
        if not self._client.can_reread_user:
            return None
        try:
            self._client.user(tokens.access, context(self._settings))
        except errors.SessionExpired:
            return False
        except errors.SiteError as error:
            self._report.error("Reading the user is refused, but not as an ended session. Set BACKEND_MEANINGS.", error)
            return None
        return True

    def _sign_out(self, tokens: Tokens) -> None:
        revocation = self._client.logout(tokens, context(self._settings))
        if revocation is Revocation.UNSUPPORTED:
            self._report.line("no logout call: tokens stay valid after sign-out. Set BACKEND_LOGOUT, if there is one")
            return
        if revocation is Revocation.FAILED:
            self._report.warning("The logout was refused. Check BACKEND_LOGOUT.")
            return
        self._report.line(f"{self._line('logout')} signed out")
        is_accepted = self._is_accepted(tokens)
        if is_accepted and revocation is Revocation.REVOKED:
            self._report.warning(
                "The access token is still accepted after the logout. Set BACKEND_LOGOUT_REVOKES=false."
            )
        elif is_accepted is False:
            self._report.line("the access token is no longer accepted")
            if revocation is Revocation.ACCEPTED:
                self._report.line("set BACKEND_LOGOUT_REVOKES=true: the logout ends it")
        elif is_accepted:
            self._report.line("the access token stays valid until it expires, as the settings say")


def _place_with_value(answer: Answer, places: str) -> str:
    """The first of these places that has a value in this answer."""
    return next(printable(place) for place in places.split("|") if answer.get(place) not in (None, ""))


_ROTATION = {True: "the refresh token is a new one (it rotates)", False: "the refresh token stays the same"}
