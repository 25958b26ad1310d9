"""What the command prints: its own sentences, settings, and the keys of answers. Never a value of an answer."""

from collections.abc import Mapping

import click

import errors
from doctor.sign_in.answers import describe_types, is_token, values_of
from services.backend.answer import Answer

_MIN_SECRET = 4
"""Shorter values may be parts of ordinary words, and no backend issues tokens of this length."""


class Report:
    def __init__(self, *secrets: str) -> None:
        self._secrets = {secret for secret in secrets if len(secret) >= _MIN_SECRET}

    def heading(self, text: str) -> None:
        click.echo(f"\n{text}")

    def line(self, text: str) -> None:
        click.echo(f"  {text}")

    def warning(self, text: str) -> None:
        click.echo(f"! {text}")

    def error(self, prefix: str, error: errors.SiteError) -> None:
        """Print what the site makes of an answer. The reason may have keys of the answer."""
        text = f"{prefix} {error.status} {error.code}: {error.reason}"
        for secret in self._secrets:
            text = text.replace(secret, "<key>")
        self.warning(text)

    def answer(self, request: str, answer: Answer) -> None:
        """Print the status and the keys of an answer."""
        self._secrets |= {str(value.value) for value in values_of(answer) if is_token(value.value)}
        self.line(f"{request} answered {answer.status}{answer.response.kind}")
        for line in describe_types(answer, self._secrets):
            self.line(f"    {line}")

    def settings(self, settings: Mapping[str, str]) -> None:
        """Print lines for `.env`."""
        for name, value in settings.items():
            click.echo(f"{name}={_quoted(value)}")


def _quoted(value: str) -> str:
    return f"'{value}'" if any(char in value for char in "#\"'$\\") else value
