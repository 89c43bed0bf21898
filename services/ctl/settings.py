"""The settings files of a stack on one machine."""

from pathlib import Path
from typing import Protocol

from services.chassis.tls import TlsFiles
from services.ctl import keys

POLICY = Path(__file__).parents[2] / "deploy" / "k8s" / "files" / "access.yaml"


class Plan(Protocol):
    """What the settings depend on; `ports` are (RPC, health) by service."""

    folder: Path
    trust_domain: str
    ports: dict[str, tuple[int, int]]
    allow_test_ins: bool
    check_authors: bool

    def tls(self, name: str) -> TlsFiles:
        """The leaf of a service."""

    def target(self, name: str) -> str:
        """host:port of a service."""


def _server(plan: Plan, name: str, *more: str) -> str:
    listen, health = plan.ports[name]
    files = plan.tls(name)
    return f"""
[server]
{chr(10).join(more)}
listen = "127.0.0.1:{listen}"
health_listen = "127.0.0.1:{health}"
access_policy = "{POLICY}"
[server.tls]
cert = "{files.cert}"
key = "{files.key}"
ca = "{files.ca}"
"""


def _database(plan: Plan, name: str) -> str:
    return f"sqlite:///{plan.folder}/data/{name}.db"


def _registry(plan: Plan) -> str:
    return f"""trust_domain = "{plan.trust_domain}"
database_url = "{_database(plan, "registry")}"
lease_key = "keys/{keys.LEASE}"
log_key = "keys/{keys.REGISTER_LOG}"
ledger = "{plan.target("consent")}"
trust = "trust.json"
allow_local_endpoints = true
{_server(plan, "registry")}"""


def _consent(plan: Plan) -> str:
    return f"""trust_domain = "{plan.trust_domain}"
trust = "trust.json"
database_url = "{_database(plan, "consent")}"
registry = "{plan.target("registry")}"
allow_test_ins = {str(plan.allow_test_ins).lower()}
[keys]
log = "keys/{keys.LOG}"
permit = "keys/{keys.PERMIT}"
master = "keys/{keys.MASTER}"
{_server(plan, "consent")}"""


def _exchange(plan: Plan) -> str:
    return f"""trust_domain = "{plan.trust_domain}"
trust = "trust.json"
database_url = "{_database(plan, "exchange")}"
spool = "spool"
signing_key = "keys/{keys.BROKER}"
registry = "{plan.target("registry")}"
consent = "{plan.target("consent")}"
allow_test_ins = {str(plan.allow_test_ins).lower()}
check_author_identifiers = {str(plan.check_authors).lower()}
{_server(plan, "exchange", "max_message_bytes = 524288")}"""


RENDER = {"registry": _registry, "consent": _consent, "exchange": _exchange}
