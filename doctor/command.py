"""`flask doctor`, or `python -m doctor` where only the production server is."""

import json
import os
import sys
from dataclasses import asdict

import click
from dotenv import find_dotenv, load_dotenv

from doctor import examine
from doctor.finding import ADVICE, OK, WRONG, Finding

_SIGNS = {OK: ("✓", "green"), ADVICE: ("!", "yellow"), WRONG: ("✗", "red")}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="One JSON array instead of lines.")
def command(as_json: bool) -> None:
    """Check settings, backend, providers and shared state, as production would use them."""
    load_dotenv(find_dotenv(usecwd=True))
    findings = list(examine(dict(os.environ)))
    if as_json:
        click.echo(json.dumps([asdict(one) for one in findings], ensure_ascii=False, indent=1))
    else:
        for one in findings:
            _print(one)
    sys.exit(any(one.kind == WRONG for one in findings))


def _print(one: Finding) -> None:
    sign, colour = _SIGNS[one.kind]
    sign = click.style(sign, fg=colour, bold=True) if sys.stdout.isatty() else f"{one.kind:6}"
    click.echo(f"{sign} {one.what}: {one.found}")
    if one.do:
        click.echo(f"         {one.do}")
