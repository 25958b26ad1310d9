"""`flask doctor --sign-in`: signs in at the backend with a real account, and proposes the settings that describe it.

`login.py`, `user.py` and `session.py` find the calls of a backend that no file of `backends/` describes; `trial.py`
then signs in with the settings. Every request goes through `BackendClient`, with the settings that are being tried.
"""

import re
from collections.abc import Mapping

import backends
import config
import errors
from doctor.sign_in.answers import signature
from doctor.sign_in.connection import (
    NO_ANSWER,
    Connection,
    StoppedError,
    has_setting,
    is_missing,
    missing_signatures,
)
from doctor.sign_in.learning import Account, Learning, required_settings
from doctor.sign_in.login import learn_login
from doctor.sign_in.report import Report
from doctor.sign_in.session import learn_logout, learn_meanings, learn_refresh, what_it_means
from doctor.sign_in.trial import Trial
from doctor.sign_in.user import learn_user
from services.backend.answer import Answer
from services.identifiers import normalize

WARNING = """\
This signs in at the backend with a real account, and signs out again. The backend sees it like any sign-in: it may
send a mail, write a log line or end other sessions. A wrong password is sent on purpose, once or twice. If the calls
are not known yet, paths are tried with empty requests, and the right password is sent up to 6 times, usually twice.
Use a test account if you can."""
_EXAMPLES = {"SITE_URL": "https://login.example.com", "SECRET_KEY": "<the output of: openssl rand -base64 33>"}


def run(environ: Mapping[str, str], named_calls: Mapping[str, str], identifier: str, password: str) -> bool:
    """Sign in and print what was learned. Returns whether the settings in the environment or those printed work.

    named_calls: settings of calls that the operator adds. All other settings of the backend are then learned again.
    """
    report = Report(password)
    connection = Connection(dict(environ), dict(named_calls))
    try:
        kind = _kind_of(connection, identifier)
        learning = Learning(connection, Account(kind, normalize(identifier, kind), password), report)
        return _fits(learning) or _fits_with_own_settings(learning) or _learn_and_try(learning)
    except config.SettingsError as error:
        for problem in error.problems:
            report.warning(problem.strip())
    except StoppedError as error:
        report.heading(str(error))
    return False


def _kind_of(connection: Connection, identifier: str) -> str:
    """The kind of identifier: from the setting, or guessed from the operator's identifier."""
    kind = connection.settings().login_identifier
    if connection.environ.get("LOGIN_IDENTIFIER") and kind != "any":
        return kind
    if "@" in identifier:
        return "email"
    looks_like = "phone" if re.fullmatch(r"\+?[\d\s()\-]{9,}", identifier) else "username"
    if kind != "any":
        connection.learned_settings["LOGIN_IDENTIFIER"] = looks_like
    return looks_like


def _fits(learning: Learning) -> bool:
    """Whether the site can sign in with its current settings. Raises `StoppedError` if only the password fails."""
    connection, report = learning.connection, learning.report
    name = connection.environ.get("BACKEND")
    is_described = name != "custom" or all(map(connection.environ.get, ("BACKEND_LOGIN", "BACKEND_TOKEN")))
    if connection.named_calls or not is_described or not _refuses_unknown_accounts(learning):
        return False
    trial = Trial(learning)
    outcome = trial.run(with_wrong_password=bool(name))
    if outcome.is_refused and name:
        raise StoppedError("Is the password right? Or try BACKEND=custom: it finds out what the login is.")
    if outcome.waits_for_step:
        report.heading(
            "The settings fit this backend, up to the next step. To check the rest, use an account without one."
        )
        return True
    if outcome.is_signed_in:
        if not name:  # only now is it certain that nothing has to be learned, with a wrong password of its own
            trial.try_wrong_password()
        report.heading("The settings fit this backend." + (" Lines for .env:\n" if connection.learned_settings else ""))
        report.settings(connection.learned_settings)
    return outcome.is_signed_in


def _fits_with_own_settings(learning: Learning) -> bool:
    """Whether a kind of backend fits that needs settings of its own, such as an API key, and has them."""
    connection = learning.connection
    if connection.named_calls or connection.environ.get("BACKEND") not in (None, "", "custom"):
        return False
    learned_settings = connection.learned_settings
    for name in backends.names():
        needed = required_settings(backends.find(name))
        if not needed or not all(has_setting(connection.environ, setting) for setting in needed):
            continue
        connection.learned_settings = {"BACKEND": name, **learned_settings}
        answer = connection.probe("login", learning.account.unknown)
        if answer is None or signature(answer) in missing_signatures(connection):
            continue
        if not isinstance(what_it_means(connection.settings(), "login", answer), errors.CredentialsSignin):
            continue
        outcome = Trial(learning).run(with_wrong_password=True)
        if outcome.is_signed_in or outcome.waits_for_step:
            learning.report.heading("The settings fit this backend. Lines for .env:\n")
            learning.report.settings(connection.learned_settings)
            return True
    connection.learned_settings = learned_settings
    return False


def _refuses_unknown_accounts(learning: Learning) -> bool:
    """Whether the backend refuses an account that cannot exist, in a way that the settings describe."""
    settings = learning.connection.settings()
    answer = learning.connection.probe("login", learning.account.unknown)
    if answer is None:
        raise StoppedError(NO_ANSWER)
    error = what_it_means(settings, "login", answer)
    if error is None:
        raise StoppedError("The backend signs in an account that does not exist. Check BACKEND_LOGIN.")
    is_told = bool(learning.connection.environ.get("BACKEND"))
    if signature(answer) in learning.missing and (is_missing(answer) or not is_told):
        learning.report.heading(f"BACKEND={settings.backend.id} does not fit: its login path is unknown there")
        return False
    if not isinstance(error, errors.Rejected):
        learning.report.heading(f"BACKEND={settings.backend.id} does not fit")
        learning.report.error("The site would answer an unknown account with", error)
        return False
    return True


def _learn_and_try(learning: Learning) -> bool:
    connection, report = learning.connection, learning.report
    environ = dict(connection.environ)
    connection.describe_anew()
    login = learn_login(learning)
    is_known = _use_known_backend(learning, login)
    if not is_known:
        user = learn_user(learning, login)
        tokens = learn_refresh(learning, login)
        ended_token_answer = learn_logout(learning, tokens, user)
        learn_meanings(learning, login, user, ended_token_answer)
    is_signed_in = Trial(learning).run(with_wrong_password=is_known).is_signed_in
    report.heading("Lines for .env, in place of other settings of the backend:\n")
    report.settings(connection.block)
    if superfluous := connection.superfluous(environ):
        report.line(f"remove {', '.join(superfluous)}")
    for name, example in _EXAMPLES.items():
        if not environ.get(name) and not environ.get(f"{name}_FILE"):
            report.line(f"{name} is not set yet; for example: {name}={example}")
    report.heading("They were tried: the sign-in works." if is_signed_in else "They were tried: there is no sign-in.")
    return is_signed_in


def _use_known_backend(learning: Learning, login: Answer) -> bool:
    """Use the file of `backends/` that has the same login and whose user call works, if there is one."""
    learned_settings = learning.connection.learned_settings
    call = learning.connection.settings().backend.login
    identifier = {name: text for name, text in learned_settings.items() if name == "LOGIN_IDENTIFIER"}
    for name in backends.names() if not learning.connection.named_calls else ():
        preset = backends.find(name)
        if (preset.login, bool(preset.settings)) != (call, False) or not preset.user:
            continue
        learning.connection.learned_settings = {"BACKEND": name, **identifier}
        settings = learning.connection.settings()
        has_refresh_token = bool(preset.refresh_token and login.get(preset.refresh_token))
        is_token = what_it_means(settings, "login", login) is None
        if has_refresh_token is not ("BACKEND_REFRESH_TOKEN" in learned_settings):
            continue
        values = {"token": str(login.get(preset.token))}
        user = learning.connection.probe("user", values) if is_token else None
        if user is not None and what_it_means(settings, "user", user) is None:
            learning.report.line(f"these are the calls of BACKEND={name}")
            return True
    learning.connection.learned_settings = learned_settings
    return False
