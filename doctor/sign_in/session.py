"""Learns how tokens are refreshed and revoked, and the meaning of refusals that no rule of the site covers."""

import secrets
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, product
from typing import NamedTuple

import backends
import errors
from backends.base import Meaning, placeholders
from config import Settings
from doctor.sign_in.answers import codes, fields_named, is_token, plain, signature
from doctor.sign_in.connection import CLOCK, is_missing
from doctor.sign_in.learning import Learning, lines_of
from doctor.sign_in.tokens import access_token, refresh_token
from services.backend import results
from services.backend.answer import Answer
from services.backend.tokens import Tokens

_REFRESH_NAMES = (
    "refresh", "reissue", "token/refresh", "token/reissue", "refresh-token", "refreshToken", "tokens/refresh", "renew",
    "refreshtoken",
    "refresh_token", "token/renew", "auth/refresh", "auth/reissue", "session/refresh", "token",
)  # fmt: skip
_LOGOUT_NAMES = ("logout", "signout", "sign-out", "auth/logout", "log-out", "token/revoke", "revoke", "users/logout")
_REFRESH_WORDS = ("refresh", "reissue", "renew")
_LOGOUT_WORDS = ("logout", "signout", "sign-out", "log-out")
_MAX_SENDS = 16
"""How often a refresh token is sent while the call is learned."""


def learn_refresh(learning: Learning, login: Answer) -> Tokens:
    """Learn the refresh call, if there is a refresh token. Returns the tokens that are valid now."""
    learned_settings, report = learning.connection.learned_settings, learning.report
    tokens = Tokens(str(login.get(learning.token_place)))
    place = learned_settings.get("BACKEND_REFRESH_TOKEN")
    if place is None:
        return tokens
    report.heading("Looking for the refresh")
    tokens = replace(tokens, refresh=str(login.get(place)))
    for change in islice(_refresh_changes(learning, place), _MAX_SENDS):
        answer = learning.connection.probe("refresh", {"refresh_token": tokens.refresh or ""}, **change)
        new = access_token(answer) if answer is not None and 200 <= answer.status < 300 else None
        if answer is None or new is None:
            continue
        report.answer(f"{change['BACKEND_REFRESH']} with {change['BACKEND_REFRESH_SEND']}", answer)
        learned_settings |= change
        _add_place(learned_settings, "BACKEND_TOKEN", answer, new)
        if new_refresh := refresh_token(answer):
            _add_place(learned_settings, "BACKEND_REFRESH_TOKEN", answer, new_refresh)
            tokens = replace(tokens, refresh=str(answer.get(new_refresh)))
        return replace(tokens, access=str(answer.get(new)))
    report.line("no call takes the refresh token: set BACKEND_REFRESH and BACKEND_REFRESH_SEND, if there is one")
    report.line("without it, a session ends when its access token expires")
    del learned_settings["BACKEND_REFRESH_TOKEN"]
    return Tokens(tokens.access)


def _refresh_changes(learning: Learning, place: str) -> Iterator[dict[str, str]]:
    """Yield the settings of calls that may be the refresh: first those that certainly exist, in all ways of sending."""
    uncertain = []
    for line in _refresh_lines(learning):
        settings = {"BACKEND_REFRESH": line, "BACKEND_REFRESH_SEND": "json:refreshToken"}
        refusal = learning.connection.probe("refresh", {}, **settings)
        if refusal is None or is_missing(refusal):
            continue
        send_setting = learning.connection.environ.get("BACKEND_REFRESH_SEND")
        sends = [send_setting] if send_setting else _refresh_sends(place, refusal)
        changes = [{"BACKEND_REFRESH": line, "BACKEND_REFRESH_SEND": send} for send in sends]
        if signature(refusal) in learning.missing:
            uncertain.append(changes[0])
        else:
            yield from changes
    yield from uncertain


def _add_place(learned_settings: dict[str, str], setting: str, answer: Answer, place: str) -> None:
    """Add the place that an answer to the refresh has, if the login's has nothing in this answer."""
    if not is_token(answer.get(learned_settings[setting])):
        learned_settings[setting] += f"|{place}"


def _refresh_lines(learning: Learning) -> Iterator[str]:
    if line := learning.connection.environ.get("BACKEND_REFRESH"):
        yield line
        return
    documented_lines = [
        each.line for each in learning.operations if each.method == "POST" and _has(each.path, _REFRESH_WORDS)
    ]
    presets = lines_of([backends.find(name).refresh for name in backends.names()])
    yield from dict.fromkeys([*documented_lines, *learning.common_lines(_REFRESH_NAMES), *presets])


def _has(path: str, words: tuple[str, ...]) -> bool:
    return not placeholders(path) and any(word in path.lower() for word in words)


def _refresh_sends(place: str, refusal: Answer) -> list[str]:
    """The ways to send the refresh token, the likely one first: as the refusal calls it, or the answer to the login."""
    kind, _, rest = place.rpartition(":")
    name = rest.rpartition(".")[2]
    named_fields = [field for field in fields_named(refusal) if "refresh" in plain(field) or "token" in plain(field)]
    usual_fields = ["refreshToken", "refresh_token", "refresh", "token"]
    names = list(dict.fromkeys([*named_fields, *([] if kind else [name]), *usual_fields]))
    sends = [f"json:{name}" for name in names]
    if kind == "cookie":
        return [f"cookie:{name}", *sends]
    return [*sends[:3], "bearer", f"form:{names[0]}", f"cookie:{names[0]}", *sends[3:]]


def learn_logout(learning: Learning, tokens: Tokens, user: Answer | None) -> Answer | None:
    """Learn the logout call, and whether it ends the token. Returns the answer of the user call to the ended token.

    user: the answer of the user call to a valid token.
    """
    learning.report.heading("Looking for the logout")
    values = {"token": tokens.access, **({"refresh_token": tokens.refresh} if tokens.refresh else {})}
    logout_setting = learning.connection.environ.get("BACKEND_LOGOUT")
    for line, body in product(_logout_lines(learning), _logout_bodies(learning)):
        answer, refuses = _log_out(learning, line, body, values)
        if answer is None:
            continue
        after = learning.connection.probe("user", values) if user is not None else None
        is_ended = user is not None and after is not None and signature(after) != signature(user)
        if refuses and not is_ended:
            continue
        learning.report.answer(f"{line}{' with the refresh token' if body else ''}", answer)
        learning.connection.learned_settings |= {"BACKEND_LOGOUT": line, **body}
        if is_ended:
            return after
        learning.connection.learned_settings["BACKEND_LOGOUT_REVOKES"] = "false"
        learning.report.line("the access token is still accepted" if after else "whether it ends the token is unknown")
        return None
    if logout_setting:
        learning.connection.learned_settings["BACKEND_LOGOUT_REVOKES"] = "false"
        learning.report.warning(f"BACKEND_LOGOUT={logout_setting} is kept, but nothing shows that it ends the token.")
        return None
    learning.report.line(
        "no call was found: set BACKEND_LOGOUT, if there is one; else tokens stay valid after sign-out"
    )
    return None


def _log_out(learning: Learning, line: str, body: dict[str, str], values: dict[str, str]) -> tuple[Answer | None, bool]:
    """The answer of this call, and whether it may be a refusal with status 200: it is the same without a valid token.

    No answer: there is no such call, or it certainly refuses.
    """
    probe = learning.connection.probe
    refusal = probe("logout", {"token": "none"}, BACKEND_LOGOUT=line)
    if refusal is None or is_missing(refusal):
        return None, True
    answer = probe("logout", values, BACKEND_LOGOUT=line, **body)
    if answer is None or not 200 <= answer.status < 300 or answer.response.is_html:
        return None, True
    return answer, bool(codes(answer)) and signature(answer) == signature(refusal)


def _logout_lines(learning: Learning) -> list[str]:
    if line := learning.connection.environ.get("BACKEND_LOGOUT"):
        return [line]
    documented_lines = [
        each.line
        for each in learning.operations
        if each.method in ("POST", "DELETE") and _has(each.path, _LOGOUT_WORDS)
    ]
    path = learning.login_path
    same_path = [f"DELETE {path}"] if "session" in path.rpartition("/")[2] else []
    same_path += [f"DELETE {path.removesuffix('sign_in')}sign_out"] if path.endswith("/sign_in") else []  # Devise
    presets = lines_of([backends.find(name).logout for name in backends.names()])
    preset_lines = [line for line in presets if _has(line, _LOGOUT_WORDS)]
    return list(dict.fromkeys([*documented_lines, *same_path, *learning.common_lines(_LOGOUT_NAMES), *preset_lines]))


def _logout_bodies(learning: Learning) -> list[dict[str, str]]:
    """Without a body first: the token in the header is enough for most backends."""
    where, _, name = learning.connection.learned_settings.get("BACKEND_REFRESH_SEND", "").partition(":")
    if where not in ("json", "form"):
        return [{}]
    form = {"BACKEND_LOGOUT_FORM": "true"} if where == "form" else {}
    return [{}, {"BACKEND_LOGOUT_BODY": f"{name}={{refresh_token}}", **form}]


class _Refusal(NamedTuple):
    word: Meaning
    error: type[errors.SiteError]


_REFUSALS = {
    "login": _Refusal(Meaning.WRONG_CREDENTIALS, errors.CredentialsSignin),
    "user": _Refusal(Meaning.SESSION_OVER, errors.SessionExpired),
}
"""Call -> meaning of the refusal that `learn_meanings` provokes."""


def learn_meanings(learning: Learning, login: Answer, user: Answer | None, ended_token_answer: Answer | None) -> None:
    """Learn what refusals mean, from one wrong password, an unknown account, a made-up token and an ended one.

    login, user: the answers of the calls if they refuse nothing. ended_token_answer: that of the user call after the
    logout.
    """
    learning.report.heading("A wrong password, on purpose, and a token that was never issued")
    probe, account = learning.connection.probe, learning.account
    wrong, unknown = probe("login", account.with_wrong_password), probe("login", account.unknown)
    made_up = probe("user", {"token": secrets.token_urlsafe(24)}) if user is not None else None
    rules = [
        _rule(learning, "login", wrong, login, "a wrong password"),
        _rule(learning, "login", unknown, login, "an unknown account"),
        _rule(learning, "user", made_up, user, "a made-up token"),
        _rule(learning, "user", ended_token_answer, user, "an ended token"),
    ]
    if wrong and unknown and signature(wrong) != signature(unknown):
        learning.report.line("the two logins differ: at this backend, anybody can find out which accounts exist")
    if unique_rules := list(dict.fromkeys(filter(None, rules))):
        learning.connection.learned_settings["BACKEND_MEANINGS"] = "; ".join(unique_rules)


def _rule(learning: Learning, call: str, refusal: Answer | None, success: Answer | None, what: str) -> str:
    """A rule of `BACKEND_MEANINGS` for a refusal: by its code, or else by its status. Empty if none is needed."""
    if refusal is None or success is None:
        return ""
    learning.report.answer(f"{what}:", refusal)
    word, error = _REFUSALS[call]
    if isinstance(what_it_means(learning.connection.settings(), call, refusal), error):
        return ""
    success_codes = codes(success)
    for place, value in codes(refusal).items():
        if success_codes.get(place) != value and value not in (str(refusal.status), learning.account.identifier):
            return f"{refusal.status} {place}={value} {word}"
    if refusal.status == success.status or refusal.status >= 500 or refusal.response.is_html:
        learning.report.warning(f"Nothing in this answer says that it means {word}.")
        return ""
    learning.report.warning(f"Guessed: every answer {refusal.status} means {word}.")
    return f"{refusal.status} * {word}"


def what_it_means(settings: Settings, call: str, answer: Answer) -> errors.SiteError | None:
    """The error that the site makes of this answer; None if it accepts it."""
    try:
        if call == "user":
            results.user(settings.backend, call, answer)
        else:
            results.tokens(settings.backend, call, answer, CLOCK.time())
    except errors.SiteError as error:
        return error
    return None
