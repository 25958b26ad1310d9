"""The command `munjigi`. Each subcommand imports the part of the site that it needs, when it runs."""
# ruff: noqa: PLC0415 -- `import serve` and the like work after `add_to_path()` only

import sys
from importlib.util import find_spec

import click

import munjigi


class _Commands(click.Group):
    """A group that makes `doctor` when it is needed: it imports the whole site, and `serve` must not."""

    def list_commands(self, _: click.Context) -> list[str]:
        return ["run", "serve", "doctor"]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name != "doctor":
            return super().get_command(context, name)
        from app import create_app
        from doctor.command import doctor_command

        return doctor_command(create_app)


def _show_version(context: click.Context, _: click.Parameter, is_requested: bool) -> None:
    if is_requested:
        from services import __version__

        click.echo(f"Munjigi {__version__}, Python {sys.version.partition(' ')[0]}")
        context.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show versions."
)
def commands() -> None:
    """Munjigi, a sign-in site in front of your own backend.

    Settings are environment variables, and lines of the file .env in this folder or one above it.
    """


@commands.command()
@click.option("--port", default=8080, show_default=True, help="The site's port. The stand-ins use the next one.")
@click.pass_context
def run(context: click.Context, port: int) -> None:
    """Start the site for development, with a stand-in backend and providers."""
    stand_ins = find_spec("dev")
    if stand_ins is None:
        raise click.ClickException("this installation has no stand-ins; `munjigi serve` starts the site")
    from dotenv import find_dotenv, load_dotenv
    from flask.cli import ScriptInfo, run_command

    from dev import create_app

    load_dotenv(find_dotenv(usecwd=True))
    context.obj = ScriptInfo(create_app=create_app)
    context.invoke(run_command, host="localhost", port=port)


@commands.command()
def serve() -> None:
    """Start the production server."""
    import serve

    serve.main()


def main() -> None:
    munjigi.add_to_path()
    commands(prog_name="munjigi")
