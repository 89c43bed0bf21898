"""The registry's witness: what its settings must say, and that it never waits for the ledger."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from services.chassis.config import ConfigError, load_settings
from services.chassis.db import Database
from services.chassis.server import ServerSettings
from services.formats.trust import Trust
from services.registry import store
from services.registry.config import Settings
from services.registry.witnessing import witnessing
from tests.support.certificates import Site
from tests.support.ledger_simulator import Log
from tests.support.register import TRUST_DOMAIN
from tests.support.registry_process import write_settings

NOBODY = "127.0.0.1:1"
LOG = Log(f"{TRUST_DOMAIN}/ledger/1/0")


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as one:
        yield one


def settings(folder: Path, **changes: Any) -> Settings:
    site = Site(folder, TRUST_DOMAIN)
    server = ServerSettings("127.0.0.1:0", "127.0.0.1:0", site.files("/registry"), folder / "access.yaml")
    (folder / "trust.json").write_bytes(Trust(TRUST_DOMAIN, (LOG.signer.verifier,), ()).to_bytes())
    named: dict[str, Any] = {"ledger": NOBODY, "trust": folder / "trust.json"} | changes
    return Settings(server, "", TRUST_DOMAIN, folder / "lease.key", folder / "log.key", **named)


async def test_a_registry_without_a_ledger_to_witness_reads_no_trust_and_believes(
    tmp_path: Path, database: Database, executor: ThreadPoolExecutor
) -> None:
    async with witnessing(settings(tmp_path, ledger="", trust=None), database, executor) as require:
        require()


async def test_a_ledger_that_nobody_serves_yet_stops_nothing(
    tmp_path: Path, database: Database, executor: ThreadPoolExecutor
) -> None:
    async with witnessing(settings(tmp_path), database, executor) as require:
        require()
    with database.read() as connection:
        assert store.checkpoints(connection) == {}


@pytest.mark.parametrize(
    ("trust", "said"),
    [
        (b"nonsense", "not JSON"),
        (None, "No such file"),
        (Trust("other.example", (), ()).to_bytes(), "another trust domain"),
    ],
)
async def test_a_trust_that_cannot_be_used_stops_the_start(
    tmp_path: Path, database: Database, executor: ThreadPoolExecutor, trust: bytes | None, said: str
) -> None:
    given = settings(tmp_path)
    (tmp_path / "trust.json").unlink()
    if trust is not None:
        (tmp_path / "trust.json").write_bytes(trust)
    with pytest.raises(ConfigError, match=f"trust: .*{said}"):
        async with witnessing(given, database, executor):
            pass


async def test_a_checkpoint_that_trust_no_longer_explains_stops_the_start(
    tmp_path: Path, database: Database, executor: ThreadPoolExecutor
) -> None:
    stranger = Log(LOG.signer.name)
    with database.write() as connection:
        store.keep_checkpoint(connection, stranger.signer.name, stranger.note())
    with pytest.raises(ConfigError, match="trust: does not explain"):
        async with witnessing(settings(tmp_path), database, executor):
            pass


def test_a_ledger_without_trust_is_refused_by_the_settings(tmp_path: Path) -> None:
    path = write_settings(Site(tmp_path, TRUST_DOMAIN))
    text = path.read_text()
    path.write_text(f'ledger = "{NOBODY}"\n{text}')
    with pytest.raises(ConfigError, match="ledger needs trust"):
        load_settings(Settings, path)
    path.write_text(f'ledger = "{NOBODY}"\ntrust = "trust.json"\n{text}')
    assert load_settings(Settings, path).trust == tmp_path / "trust.json"


def test_a_checkpoint_replaces_the_one_before_of_its_log_only(database: Database) -> None:
    with database.write() as connection:
        for origin, note in (("a", "1"), ("b", "2"), ("a", "3")):
            store.keep_checkpoint(connection, origin, note)
    with database.read() as connection:
        assert store.checkpoints(connection) == {"a": "3", "b": "2"}
