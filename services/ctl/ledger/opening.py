"""What the consent service's settings lead to: its database, its TRUST, the secrets of its ledger; and how work is shown."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.chassis.config import ConfigError, load_settings
from services.chassis.db import Database
from services.chassis.keys import derive, load_secret
from services.chassis.migrations import require
from services.consent.config import Settings
from services.consent.domain.identifiers import Identifiers
from services.consent.integrity import Secrets
from services.consent.migrations import SUPPORTED
from services.consent.vault import Vault
from services.formats.canonical import FormatError
from services.formats.trust import Trust, parse_trust


def read_settings(config: Path) -> tuple[Settings, Trust]:
    """The settings of a consent service, and the TRUST that they name. Raises: ConfigError."""
    settings = load_settings(Settings, config)
    try:
        return settings, parse_trust(settings.trust.read_bytes())
    except (OSError, FormatError) as error:
        raise ConfigError(f"trust: {settings.trust}: {error}") from None


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """The ledger's database, closed at the end. Raises: SchemaError where it is not this release's, saying what to do."""
    database = Database(settings.database_url)
    try:
        require(database, SUPPORTED)
        yield database
    finally:
        database.close()


def secrets_of(settings: Settings) -> Secrets:
    """What the master secret opens. Raises: ConfigError."""
    master = load_secret(settings.keys.master)
    vault = Vault(partial(derive, master), os.urandom)
    return Secrets(vault, Identifiers(lambda audience: derive(master, f"identifiers of {audience}")))


def bars(*, quiet: bool) -> Progress:
    """Progress on standard error, a bar for each log."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True, soft_wrap=True), disable=quiet, transient=True)
