"""A whole Accord on one machine: authority, leaves, keys, settings, and the three processes, all in one folder.

Guarantees that a prepared folder is used again as it is (only leaves are issued anew), that `start` returns when all three
report SERVING, and that every process started is stopped. Leaves listening on anything but loopback to the chart.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.chassis.identity import Identity
from services.chassis.tls import TlsFiles
from services.ctl import keys, pki, settings
from services.ctl.private_files import write_private
from services.formats.trust import Trust

ROOT = Path(__file__).parents[2]
NAMES = ("registry", "consent", "exchange")
ROLES = ("portal", "platform", "registrar", "auditor")
START_S = 30.0


class StackError(Exception):
    """The stack cannot start; the message holds what the process said."""


@dataclass
class Stack:
    """A stack in `folder`; ports from `base_port` on, or any free ones; test identities allowed unless told otherwise."""

    folder: Path
    trust_domain: str = "accord.example"
    base_port: int | None = None
    allow_test_ins: bool = True
    check_authors: bool = False
    python: tuple[str, ...] = (sys.executable,)
    ports: dict[str, tuple[int, int]] = field(default_factory=dict)
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Processes run elsewhere: every path they get is absolute."""
        self.folder = self.folder.resolve()

    @property
    def shown(self) -> Path:
        """The folder as a person in the current one would write it."""
        here = Path.cwd()
        return self.folder.relative_to(here) if self.folder.is_relative_to(here) else self.folder

    def prepare(self) -> None:
        """Writes all files. Raises: PkiError, ConfigError."""
        if not settings.POLICY.exists():
            raise StackError(
                "run this from a checkout of Accord: deploy/ and examples/ are not installed with the package"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        ca = self.folder / "ca"
        authority = pki.load_ca(ca) if (ca / pki.CA_KEY).exists() else pki.init_ca(ca, self.trust_domain, _now())
        for name in (*NAMES, *ROLES):
            self._issue(authority, name, f"/{name}")
        keys.init_keys(self.folder / "keys")
        (self.folder / "trust.json").write_bytes(self.trust.to_bytes())
        for folder in ("data", "logs", "spool"):
            (self.folder / folder).mkdir(exist_ok=True)
        self.ports = self.ports or self._choose_ports()
        for name in NAMES:
            (self.folder / f"{name}.toml").write_text(settings.RENDER[name](self))

    @property
    def trust(self) -> Trust:
        """TRUST of this stack."""
        return keys.trust_of(self.folder / "keys", self.trust_domain, from_ms=0)

    def issue_service(self, service_id: str) -> TlsFiles:
        """A leaf for a referenced service."""
        self._issue(pki.load_ca(self.folder / "ca"), service_id, f"/service/{service_id}")
        return self.tls(service_id)

    def tls(self, name: str) -> TlsFiles:
        """The files of a leaf that was issued."""
        folder = self.folder / "tls"
        return TlsFiles(folder / f"{name}.crt", folder / f"{name}.key", self.folder / "ca" / pki.CA_CERTIFICATE)

    def target(self, name: str) -> str:
        """host:port of a service."""
        return f"127.0.0.1:{self.ports[name][0]}"

    def start(self) -> None:
        """Starts the three processes, each when those it needs serve. Raises: StackError."""
        for name in NAMES:
            self.start_one(name)
            self.wait_serving(name)

    def start_one(self, name: str) -> None:
        """Starts one process; its log goes to logs/."""
        command = [*self.python, "-m", f"services.{name}", "--config", str(self.folder / f"{name}.toml")]
        with (self.folder / "logs" / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, env=environment())

    def wait_serving(self, name: str, *, seconds: float = START_S) -> None:
        """Waits until a process reports SERVING. Raises: StackError."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.processes[name].poll() is not None:
                raise StackError(f"{name} ended at its start:\n{self.last_words(name)}")
            if self.serving(name):
                return
            time.sleep(0.05)
        raise StackError(f"{name} does not serve after {seconds:.0f} s:\n{self.last_words(name)}")

    def serving(self, name: str) -> bool:
        """Whether a process reports SERVING on its health port."""
        with grpc.insecure_channel(f"127.0.0.1:{self.ports[name][1]}", [("grpc.enable_http_proxy", 0)]) as channel:
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=2)
            except grpc.RpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def last_words(self, name: str) -> str:
        """The end of a process's log."""
        return "\n".join((self.folder / "logs" / f"{name}.log").read_text(errors="replace").splitlines()[-8:])

    def stop(self) -> None:
        """Asks every process to drain, the broker first; kills what does not end in 30 s."""
        for name in reversed(list(self.processes)):
            self.stop_one(name)

    def stop_one(self, name: str) -> None:
        """Stops one process."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _issue(self, authority: pki.Authority, name: str, path: str) -> None:
        files = self.tls(name)
        files.key.parent.mkdir(exist_ok=True)
        key = pki.new_key()
        leaf = pki.issue_leaf(
            authority, Identity(self.trust_domain, path), key.public_key(), _now(), loopback=name in NAMES
        )
        files.key.unlink(missing_ok=True)
        write_private(files.key, pki.private_pem(key))
        files.cert.write_bytes(leaf)

    def _choose_ports(self) -> dict[str, tuple[int, int]]:
        if self.base_port is not None:
            return {name: (self.base_port + i, self.base_port + 10 + i) for i, name in enumerate(NAMES)}
        free = free_ports(2 * len(NAMES))
        return {name: (free[2 * i], free[2 * i + 1]) for i, name in enumerate(NAMES)}


def environment() -> dict[str, str]:
    """The environment of a process of this checkout."""
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "services" / "gen")])}


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    for item in sockets:
        item.bind(("127.0.0.1", 0))
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


def _now() -> datetime:
    return datetime.now(UTC)
