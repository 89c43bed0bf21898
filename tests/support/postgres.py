"""A PostgreSQL server of the test run's own: in a temporary folder, on a Unix socket alone, gone with the run.

The server is a direct child that ends with its parent, however that ends (Linux: PR_SET_PDEATHSIG). It refuses root, who
therefore runs it as `postgres`.
"""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

USER = "postgres"
_QUICK = {"fsync": "off", "full_page_writes": "off"}
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "autovacuum": "off",
    "jit": "off",
}


def programs() -> Path | None:
    """The folder of the newest `initdb`: on PATH, or where Debian keeps it; None when there is none."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    kept = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((path.parent for path in kept), key=lambda path: float(path.parent.name), default=None)


class Postgres:
    """A running server. `durable`: it waits for the disk as in production; otherwise a crash of the machine loses data."""

    def __init__(self, binaries: Path, *, durable: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="accord-pg-"))
        self._binaries, self._settings = binaries, _SETTINGS | ({} if durable else _QUICK)
        self._numbers = count(1)
        if os.geteuid() == 0:
            account = pwd.getpwnam(USER)
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        self._initialise()
        self._server = self._start()

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._server.pid

    def fresh(self) -> str:
        """The SQLAlchemy URL of a new, empty database."""
        name = f"d{next(self._numbers)}"
        with self._connect() as connection:
            # Up to 14 files are always copied; from 15 on the default writes them to the log too, five times as slow.
            copied = " STRATEGY file_copy" if connection.info.server_version >= 150_000 else ""
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0{copied}".encode())
        return f"postgresql+psycopg://{USER}@/{name}?host={self.folder}"

    def drop(self, url: str) -> None:
        """Removes a database that `fresh` made, whoever is connected to it."""
        name = url.partition("?")[0].rpartition("/")[2]
        with self._connect() as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    def stop(self) -> None:
        """Ends the server as SIGKILL of all its processes would: no checkpoint, and its log is what recovers it."""
        self._server.send_signal(signal.SIGQUIT)
        self._server.wait()

    def start(self) -> None:
        """Starts it again, on the same folder; returns when it answers."""
        self._server = self._start()

    def restart(self) -> None:
        """A crash, and the start after it."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stops the server and removes all that it kept."""
        self.stop()
        shutil.rmtree(self.folder)

    def _initialise(self) -> None:
        options = ["-D", self._data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(self._as_user("initdb", *options), check=True, capture_output=True, cwd="/")

    def _start(self) -> "subprocess.Popen[bytes]":
        settings = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        command = self._as_user("postgres", "-D", self._data, "-k", str(self.folder), *settings)
        with (self.folder / "log").open("ab") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/")
        self._await(server)
        return server

    def _await(self, server: "subprocess.Popen[bytes]") -> None:
        while True:
            try:
                self._connect().close()
            except psycopg.OperationalError:
                assert server.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.02)
            else:
                return

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(host=str(self.folder), user=USER, dbname=USER, autocommit=True)

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def _as_user(self, program: str, *arguments: str) -> list[str]:
        command = [str(self._binaries / program), *arguments]
        if sys.platform != "linux":
            return command
        other = ["--reuid", USER, "--regid", USER, "--init-groups"] if os.geteuid() == 0 else []
        return ["setpriv", *other, "--pdeathsig", "QUIT", *command]
