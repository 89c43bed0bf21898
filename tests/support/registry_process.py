"""The registry as a process of its own, over real mutual TLS, with certificates made for the occasion."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from services.chassis.channel import open_channel
from services.chassis.keys import load_signer
from services.ctl.private_files import write_private
from services.formats.jwk import LocalSigner
from services.formats.trust import DatedKey, KeyRole, Trust
from tests.support.certificates import Site
from tests.support.register import signer

ROOT = Path(__file__).parents[2]
CONFIG = """\
database_url = "sqlite:///{folder}/registry.db"
trust_domain = "{trust_domain}"
lease_key = "lease.key"
log_key = "log.key"
allow_local_endpoints = {allow_local}

[server]
listen = "127.0.0.1:0"
health_listen = "127.0.0.1:0"
access_policy = "{root}/deploy/k8s/files/access.yaml"
drain_s = 2.0

[server.tls]
cert = "registry.crt"
key = "registry.key"
ca = "registry.roots"
"""


@dataclass
class RunningRegistry:
    """A registry that listens, and who may speak to it."""

    site: Site
    process: "subprocess.Popen[str]"
    port: int
    health_port: int

    def channel(self, path: str) -> grpc.aio.Channel:
        """A channel from the identity of this path."""
        return open_channel(f"127.0.0.1:{self.port}", self.site.files(path), self.site.identity("/registry"))

    @property
    def lease_key(self) -> LocalSigner:
        """The key that signs its leases."""
        return load_signer(self.site.folder / "lease.key")

    def trust(self) -> Trust:
        """What those who follow it trust."""
        key = DatedKey(KeyRole.LEASE, self.lease_key.verify_key, 0)
        return Trust(self.site.ca.trust_domain, (), (key,))


def write_settings(site: Site, *, allow_local: bool = False, trust_domain: str | None = None) -> Path:
    """The registry's certificate, keys and settings, in the site's folder."""
    site.files("/registry")
    for name in ("lease.key", "log.key"):
        if not (site.folder / name).exists():
            pem = signer().private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            write_private(site.folder / name, pem)
    path = site.folder / "registry.toml"
    values = {"allow_local": str(allow_local).lower(), "trust_domain": trust_domain or site.ca.trust_domain}
    path.write_text(CONFIG.format(folder=site.folder, root=ROOT, **values))
    return path


def start(settings: Path) -> "subprocess.Popen[str]":
    """The process, just started."""
    command = [sys.executable, "-m", "services.registry", "--config", str(settings)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


@contextmanager
def running_registry(site: Site, *, allow_local: bool = False) -> Iterator[RunningRegistry]:
    """A registry from its start to the end of its drain, on the database in the site's folder."""
    process = start(write_settings(site, allow_local=allow_local))
    try:
        ports = _ports(process)
        yield RunningRegistry(site, process, ports["rpc_port"], ports["health_port"])
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _ports(process: "subprocess.Popen[str]") -> dict[str, int]:
    assert process.stderr is not None
    for line in process.stderr:
        record = json.loads(line)
        if record["message"] == "listening":
            return {name: record[name] for name in ("rpc_port", "health_port")}
    raise AssertionError(f"the registry ended with {process.wait()} before it listened")
