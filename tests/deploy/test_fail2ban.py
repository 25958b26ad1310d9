"""The filter of fail2ban finds failed sign-ins in the lines of the site, and no sent text can name an address."""

import configparser
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import errors
from tests.support.commands import ROOT
from tests.support.logs import captured_log
from tests.support.site import running_site

FOLDER = ROOT / "deploy" / "fail2ban"
FILTER = FOLDER / "filter.d" / "munjigi.conf"
TRACEPARENT = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
ADDRESSES = ("203.0.113.7", "2001:db8:1:2::7")
VICTIM = "198.51.100.66"
FORGED = (
    f"2026-11-28T14:49:55.341Z info    sign_in_failed request=0123456789abcdef address={VICTIM} provider=email "
    "outcome=CredentialsSignin reason=x",
    f"info sign_in_failed request=0123456789abcdef address={VICTIM} provider=email outcome=CredentialsSignin ",
    f"x address={VICTIM} provider=email outcome=CredentialsSignin ",
    '{"time": "2026-11-28T14:49:55.341Z", "level": "info", "logger": "munjigi.audit", "event": "rate_limited", '
    f'"request": "0123456789abcdef", "address": "{VICTIM}", "limit": "address"',
    f'", "address": "{VICTIM}", "provider": "email", "outcome": "CredentialsSignin"',
)
"""Texts that people send in the hope that they stand in the log."""


def definition() -> dict[str, str]:
    parser = configparser.ConfigParser()
    parser.read(FILTER, "utf-8")
    return dict(parser["Definition"])


def banned(lines: str) -> list[str]:
    """The address of each line that the filter finds. As fail2ban does, without the time at the start of a line."""
    fields = definition()
    # The formats of a time, as regular expressions.
    time = re.sub(r"%f", r"\\d+", re.sub(r"%[YmdHMS]", r"\\d+", fields["datepattern"])).replace("%z", "Z")
    expressions = [
        re.compile(text.strip().replace("<ADDR>", r"(?P<address>[0-9a-fA-F:.]+)"))
        for text in fields["failregex"].splitlines()
    ]
    assert len(expressions) == 4
    found = []
    for line in lines.splitlines():
        without_time, times = re.subn(time, "", line, count=1)
        assert times == 1, line
        matches = [match for expression in expressions if (match := expression.search(without_time))]
        assert len(matches) <= 1, "a failure counts once"
        found += [match["address"] for match in matches]
    return found


@cache
def attacked(log_format: str) -> str:
    """The log of a site at which two addresses fail to sign in, and send forged log lines wherever text can be sent."""
    with (
        running_site(proxy_hops=1, login_limit_per_ip="6/minute") as site,
        captured_log(log_format) as log,
    ):
        for address in ADDRESSES:
            visitor = site.new_visitor()
            visitor.headers.update({"X-Forwarded-For": f"{VICTIM}, {address}", **TRACEPARENT})
            visitor.sign_in()
            for text in FORGED:
                visitor.sign_in(email=text, password="wrong")
                visitor.get(f"/auth/{text}", headers={"Accept": "application/json", "User-Agent": text})
                visitor.get("/auth/login/email", params={"callbackUrl": text, "error": text})
                visitor.post("/api/auth/signin/email", data={text: text}, headers={"Origin": text, "Referer": text})
                visitor.post("/api/auth/_log", data={"level": text, "code": text, "message": text})
            token = visitor.csrf_token()
            for _ in range(3):
                fields = {"csrfToken": token, "email": "jun@example.com", "password": "wrong"}
                visitor.post("/auth/login/email", data=fields)
        other = site.new_visitor()
        other.headers["X-Forwarded-For"] = f"{VICTIM} sign_in_failed address={VICTIM}"
        other.sign_in(password="wrong")
    return log.getvalue()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_failed_sign_ins_count_for_the_address_that_sent_them_and_for_no_other(log_format: str) -> None:
    log = attacked(log_format)
    found = banned(log)
    assert VICTIM not in found
    for address in ADDRESSES:
        assert found.count(address) == len([line for line in failures(log) if address in line]) >= 3
    assert set(found) <= {*ADDRESSES, "127.0.0.1"}


def failures(log: str) -> Iterator[str]:
    """The lines that should count: found by other means than the filter's."""
    for line in log.splitlines():
        words = set(re.findall(r"[\w-]+", line))
        is_wrong = {"sign_in_failed", "CredentialsSignin"} <= words and "reference_shown" not in words
        if is_wrong or {"rate_limited", "limit", "address", "wait"} <= words:
            yield line


def test_who_signs_in_or_meets_a_limit_of_an_account_is_not_counted() -> None:
    with running_site(login_limit_per_account_and_ip="2/minute") as site, captured_log() as log:
        visitor = site.new_visitor()
        visitor.sign_in()
        for _ in range(4):
            visitor.sign_in(password="wrong")
    assert banned(log.getvalue()) == ["127.0.0.1"] * 2


def test_lines_of_the_journal_are_found_too() -> None:
    line = "login munjigi[812]: 2026-11-28T14:49:55.341Z info    rate_limited "
    line += "request=0123456789abcdef address=::1 limit=address wait=60"
    expression = definition()["failregex"].splitlines()[1].replace("<ADDR>", r"(?P<address>[0-9a-fA-F:.]+)")
    match = re.search(expression, line)
    assert match is not None
    assert match["address"] == "::1"


def test_the_outcomes_are_codes_of_the_site() -> None:
    codes = {each.code for each in all_errors(errors.SiteError)}
    (text,) = set(re.findall(r"\(\?:(CredentialsSignin[\w|]*)\)", FILTER.read_text("utf-8")))
    assert set(text.split("|")) <= codes


def all_errors(kind: type[errors.SiteError]) -> Iterator[type[errors.SiteError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from all_errors(each)


def test_the_jail_uses_the_filter_and_allows_more_failures_than_the_site_does_at_once() -> None:
    parser = configparser.ConfigParser()
    parser.read(FOLDER / "jail.d" / "munjigi.conf", "utf-8")
    jail = parser["munjigi"]
    assert jail["filter"] == FILTER.stem
    assert int(jail["maxretry"]) >= 20
    assert "munjigi.service" in definition()["journalmatch"]
    assert (ROOT / "deploy" / "munjigi.service").exists()


@pytest.mark.external
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_fail2ban_finds_the_same_lines(tmp_path: Path, log_format: str) -> None:
    program = shutil.which("fail2ban-regex")
    if program is None:
        pytest.skip("fail2ban is not installed")
    log = tmp_path / "munjigi.log"
    log.write_text(attacked(log_format), "utf-8")
    filters = tmp_path / "filter.d"
    filters.mkdir()
    shutil.copy(FILTER, filters)
    command = [program, "--print-all-matched", "--out", "ip", str(log), str(filters / FILTER.name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == banned(attacked(log_format))
