"""`accord ledger reindex`: makes the auditors' search index anew from the log.

Guarantees that it changes nothing else, that the service may run meanwhile, and that it may be interrupted and run again.
"""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from services.chassis.config import ConfigError
from services.consent.indexing import Indexer
from services.consent.store.traces import Log
from services.ctl.ledger.opening import bars, opened, read_settings
from services.errors import AccordError

console, errors = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Adds `reindex`."""
    app.command()(reindex)


def reindex(
    config: Annotated[Path, typer.Option(help="The consent service's settings, a TOML file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Makes the search index anew from the log, where fsck finds rows of `trace` that are not what their entries say.

    Auditors' searches wait meanwhile; decisions do not. Verify the log itself first: what it says is not questioned here.

    Example: accord ledger reindex --config consent.toml
    """
    try:
        made = asyncio.run(_remake(config, quiet=as_json))
    except (AccordError, ConfigError, OSError, ValueError) as error:
        errors.print(f"[red]{error}[/]", highlight=False)
        raise typer.Exit(2) from None
    if as_json:
        print(json.dumps({"logs": [{"origin": log.origin, "entries": log.size} for log in made]}))
    for log in () if as_json else made:
        console.print(f"[green]✓[/] {log.origin}: {log.size} entries indexed", highlight=False)


async def _remake(config: Path, *, quiet: bool) -> list[Log]:
    settings, _ = read_settings(config)
    with opened(settings) as database, bars(quiet=quiet) as shown:
        indexer = Indexer(database)
        try:
            logs = indexer.logs()
            tasks = {log: shown.add_task(log.origin, total=log.size) for log in logs}
            for log in logs:
                await indexer.rebuild(log, lambda log, reached: shown.update(tasks[log], completed=reached))
        finally:
            await indexer.close()
    return logs
