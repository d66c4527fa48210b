"""`streamledger token`: bearer tokens of the query interface."""

from pathlib import Path

import click
from rich.table import Table

from streamledger import bootstrap
from streamledger.cli.options import console, json_option, store_options, store_settings, user_name
from streamledger.cli.terminal import say, say_json
from streamledger.domain.instants import instant_us
from streamledger.ledger.acts import Actor
from streamledger.operations.tokens import SCOPES, create_token, has_active_token, list_tokens, revoke_token


@click.group()
def token() -> None:
    """Tokens of the query interface: create, list, revoke. A change takes effect within seconds."""


@token.command()
@click.argument("name")
@click.option(
    "--scope",
    type=click.Choice(SCOPES),
    default="read",
    show_default=True,
    help="admin may also release and sees whole bodies.",
)
@json_option
@store_options
def create(config: Path | None, name: str, scope: str, as_json: bool, **store: object) -> None:
    """Make a token and print it, this once: only its hash is kept."""
    settings = store_settings(config, **store)
    with bootstrap.open_connection(settings, "token", make=True) as (database, connection):
        secret = create_token(
            connection, bootstrap.open_ledger(database), name, scope, _actor("token create")
        )
    if as_json:
        say_json({"name": name, "scope": scope, "token": secret})
    else:
        say(secret)


@token.command("list")
@json_option
@store_options
def list_all(config: Path | None, as_json: bool, **store: object) -> None:
    """List the tokens of the database; those of the settings are not among them."""
    settings = store_settings(config, **store)
    with bootstrap.open_connection(settings, "token") as (_, connection):
        found = list_tokens(connection)
    shown = [
        {
            "name": each.name,
            "scope": each.scope,
            "created_at": instant_us(each.created_at_us),
            "created_by": each.created_by,
            "revoked_at": None if each.revoked_at_us is None else instant_us(each.revoked_at_us),
            "revoked_by": each.revoked_by,
        }
        for each in found
    ]
    if as_json:
        say_json({"items": shown})
        return
    table = Table("name", "scope", "created", "by", "revoked", "by")
    for row in shown:
        table.add_row(*(value or "" for value in row.values()))
    console().print(table if shown else "No tokens.")


@token.command()
@click.argument("name")
@store_options
def revoke(config: Path | None, name: str, **store: object) -> None:
    """Revoke the token NAME. Its name is not free again."""
    settings = store_settings(config, **store)
    with bootstrap.open_connection(settings, "token") as (database, connection):
        revoked = revoke_token(connection, bootstrap.open_ledger(database), name, _actor("token revoke"))
        was_last = revoked and not has_active_token(connection)
    say(f"{name} is revoked." if revoked else f"{name} was revoked before.")
    if was_last:
        say(
            "It was the last one of the database: without one in the settings, a server on loopback is"
            " open to whoever reaches it, and one beyond it answers nobody. `streamledger token create`.",
            err=True,
        )


def _actor(reason: str) -> Actor:
    return Actor(by=f"cli:{user_name()}", reason=reason, at_us=bootstrap.now_us())
