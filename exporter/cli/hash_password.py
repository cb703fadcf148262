"""`hash-password`: a bcrypt hash for basic_auth_users of the web config."""

from __future__ import annotations

import sys

import click

from exporter.web.server.passwords import hash_password as bcrypt_hash


@click.command("hash-password")
def hash_password() -> None:
    """Print the bcrypt hash of a password, for basic_auth_users of the web config.

    Asks twice on a terminal; else reads the first line of standard input, so that the
    password stands in no argument and no shell history.
    """
    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    try:
        click.echo(bcrypt_hash(password))
    except ValueError as error:
        raise click.ClickException(str(error)) from None
