"""The command `flask doctor`."""

import json
import os
import sys
from dataclasses import asdict

import click
from dotenv import find_dotenv, load_dotenv
from flask import Flask

from doctor import CreateApp, check, sign_in
from doctor.finding import ERROR, OK, WARNING, Finding

_SYMBOLS = {OK: ("✓", "green"), WARNING: ("!", "yellow"), ERROR: ("✗", "red")}
_KIND_WIDTH = max(map(len, _SYMBOLS))


def is_requested() -> bool:
    """Whether `flask doctor` is the command line. Flask creates the application to learn its commands."""
    return click.get_current_context(silent=True) is not None and "doctor" in sys.argv[1:]


def command_app(create_app: CreateApp) -> Flask:
    """An application that has this command and nothing else: no setting is needed, and nothing is written to disk."""
    app = Flask("doctor", static_folder=None)
    app.cli.add_command(doctor_command(create_app))
    return app


def doctor_command(create_app: CreateApp) -> click.Command:
    """Make the command. It exits with status 1 if there is an error, else with 0."""

    @click.command("doctor")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
    @click.option(
        "--sign-in", "signs_in", is_flag=True, help="Sign in at the backend once, and propose settings for it."
    )
    @click.option("--account", help="With --sign-in: who signs in. The password is asked for, or read from stdin.")
    @click.option("--login", help='With --sign-in: the login call, such as "POST /api/v1/session".')
    @click.option("--login-body", help='With --sign-in: its fields, such as "id={identifier} pw={password}".')
    @click.option("--user", help='With --sign-in: the call that returns the user, such as "GET /api/me".')
    def doctor(as_json: bool, signs_in: bool, account: str | None, **calls: str | None) -> None:
        """Check the settings, the backend, the providers, Redis and the running site."""
        if signs_in:
            if as_json:
                raise click.UsageError("--json and --sign-in exclude each other.")
            sys.exit(not _sign_in(account, calls))
        if account or any(calls.values()):
            raise click.UsageError("--account, --login, --login-body and --user need --sign-in.")
        findings = _findings(create_app)
        if as_json:
            click.echo(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False, indent=1))
        else:
            for finding in findings:
                _print(finding)
        sys.exit(any(finding.kind == ERROR for finding in findings))

    return doctor


def _sign_in(account: str | None, calls: dict[str, str | None]) -> bool:
    """Ask for the account, and sign in. `calls`: the options that name calls."""
    try:
        load_dotenv(find_dotenv(usecwd=True))
    except (OSError, UnicodeDecodeError):
        raise click.ClickException(".env cannot be read. Run this as the user that runs the site.") from None
    named_calls = {f"BACKEND_{name.upper()}": text for name, text in calls.items() if text}
    click.echo(sign_in.WARNING)
    if sys.stdin.isatty():
        click.confirm("Continue?", abort=True)
        account = account or click.prompt("Account")
        password = click.prompt("Password", hide_input=True)
    else:
        account = account or sys.stdin.readline().strip()
        password = sys.stdin.readline().rstrip("\r\n")
    if not account or not password:
        raise click.UsageError("An account and a password are required: lines of stdin, or a terminal to ask at.")
    return sign_in.run(dict(os.environ), named_calls, account, password)


def _findings(create_app: CreateApp) -> list[Finding]:
    path = find_dotenv(usecwd=True)
    try:
        load_dotenv(path)
    except (OSError, UnicodeDecodeError) as error:
        return [
            Finding(ERROR, "settings", f"{path} cannot be read: {error}", "Run this as the user that runs the site.")
        ]
    return list(check(dict(os.environ), create_app))


def _print(finding: Finding) -> None:
    symbol, color = _SYMBOLS[finding.kind]
    is_terminal = sys.stdout.isatty()
    label = click.style(symbol, fg=color, bold=True) if is_terminal else finding.kind.ljust(_KIND_WIDTH)
    click.echo(f"{label} {finding.subject}: {finding.message}")
    if finding.fix:
        click.echo(f"{' ' * (2 if is_terminal else _KIND_WIDTH + 1)}{finding.fix}")
