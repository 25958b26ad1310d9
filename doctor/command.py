"""The command `flask doctor`."""

import json
import os
import sys
from dataclasses import asdict

import click
from dotenv import find_dotenv, load_dotenv

from doctor import CreateApp, check
from doctor.finding import ERROR, OK, WARNING, Finding

_SYMBOLS = {OK: ("✓", "green"), WARNING: ("!", "yellow"), ERROR: ("✗", "red")}
_KIND_WIDTH = max(map(len, _SYMBOLS))


def doctor_command(create_app: CreateApp) -> click.Command:
    """Make the command. It exits with status 1 if there is an error, else with 0."""

    @click.command("doctor")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
    def doctor(as_json: bool) -> None:
        """Check the settings, the backend, the providers, Redis and the running site."""
        load_dotenv(find_dotenv(usecwd=True))
        findings = list(check(dict(os.environ), create_app))
        if as_json:
            click.echo(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False, indent=1))
        else:
            for finding in findings:
                _print(finding)
        sys.exit(any(finding.kind == ERROR for finding in findings))

    return doctor


def _print(finding: Finding) -> None:
    symbol, color = _SYMBOLS[finding.kind]
    is_terminal = sys.stdout.isatty()
    label = click.style(symbol, fg=color, bold=True) if is_terminal else finding.kind.ljust(_KIND_WIDTH)
    click.echo(f"{label} {finding.subject}: {finding.message}")
    if finding.fix:
        click.echo(f"{' ' * (2 if is_terminal else _KIND_WIDTH + 1)}{finding.fix}")
