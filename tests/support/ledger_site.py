"""A consent service's folder as an operator has it: settings, keys, TRUST and the ledger's database."""

import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from services.chassis.clock import SystemClock
from services.chassis.db import Database
from services.chassis.keys import load_ed25519
from services.chassis.migrations import migrate
from services.consent.across import Across
from services.consent.domain import commands as c
from services.consent.handlers import build_handlers
from services.consent.ledger import Ledger
from services.consent.migrations import FOLDER
from services.consent.shard import ShardLog
from services.ctl import keys
from services.ctl.ledger.opening import read_settings, secrets_of
from services.tlog.note import NoteSigner
from tests.support.ledgers import RECIPIENT, SENDER, HeldView, ins, record

DOMAIN = "accord.example"
SETTINGS = """trust_domain = "{domain}"
trust = "trust.json"
database_url = "sqlite:///{folder}/ledger.db"
registry = "127.0.0.1:1"
epoch = {epoch}
[keys]
log = "keys/{log}"
permit = "keys/{permit}"
master = "keys/{master}"
[server]
listen = "127.0.0.1:0"
health_listen = "127.0.0.1:0"
access_policy = "access.yaml"
[server.tls]
cert = "tls.crt"
key = "tls.key"
ca = "ca.crt"
"""


@dataclass
class Site:
    """The folder, and the ledger in it, which lives from call to call."""

    folder: Path
    view: HeldView = field(default_factory=HeldView)
    patients: int = 0

    def __post_init__(self) -> None:
        keys.init_keys(self.folder / "keys")
        self.configure(1)
        self.view.set([record(SENDER), record(RECIPIENT)])

    @property
    def config(self) -> Path:
        return self.folder / "consent.toml"

    def configure(self, epoch: int) -> None:
        """Settings and TRUST of an epoch."""
        names = {"log": keys.LOG, "permit": keys.PERMIT, "master": keys.MASTER}
        self.config.write_text(SETTINGS.format(domain=DOMAIN, folder=self.folder, epoch=epoch, **names))
        (self.folder / "trust.json").write_bytes(keys.trust_of(self.folder / "keys", DOMAIN, epoch=epoch).to_bytes())

    async def grow(self, patients: int) -> str:
        """Opens and pairs some more patients; answers the log's checkpoint. A process that starts, writes and ends."""
        settings, _ = read_settings(self.config)
        key, known = load_ed25519(settings.keys.log), secrets_of(settings)
        signer = NoteSigner(f"{DOMAIN}/ledger/{settings.epoch}/0", key.sign, key.public_key().public_bytes_raw())
        database, clock = Database(settings.database_url), SystemClock()
        migrate(database, FOLDER)
        log = ShardLog(0, database, signer, known.vault, clock, os.urandom, 1000, settings.epoch)
        handlers = build_handlers(known.vault, known.identifiers, secrets.randbits)
        ledger = Ledger(database, [log], self.view, known.vault, clock, handlers)  # type: ignore[arg-type]
        across = Across(database, ledger, clock)
        try:
            ledger.start()
            for _ in range(patients):
                self.patients += 1
                profile = await across.open_profile(c.OpenProfile(ins(self.patients)))
                await ledger.do(c.Pair(profile.address, SENDER))
            return ledger.proofs.checkpoints()[0]
        finally:
            await ledger.close()
            database.close()
