"""`accord registry` against a running registry: what it moves, and the log that it shows only where that holds."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from accord.registry.v1 import registry_service_pb2 as registry_pb
from typer.testing import CliRunner, Result

from services.chassis.keys import note_signer
from services.ctl.registry import registry_app
from services.formats.trust import Trust
from tests.service.test_registry import call
from tests.support.certificates import Site
from tests.support.register import organization_message, service_message
from tests.support.registry_process import RunningRegistry, running_registry

NAME = "services/service-1"


async def live(registry: RunningRegistry) -> None:
    """A service is referenced, then suspended."""
    organization = registry_pb.CreateOrganizationRequest(organization=organization_message(1))
    await call(registry, "/registrar", "CreateOrganization", organization)
    await call(registry, "/registrar", "CreateService", registry_pb.CreateServiceRequest(service=service_message(1)))
    await call(registry, "/registrar", "ReferenceService", registry_pb.ReferenceServiceRequest(name=NAME))
    suspend = registry_pb.SuspendServiceRequest(name=NAME, justification="Manquement [bold]à la convention[/].")
    await call(registry, "/registrar", "SuspendService", suspend)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RunningRegistry]:
    with running_registry(Site(tmp_path)) as running:
        asyncio.run(live(running))
        yield running


def run(
    registry: RunningRegistry, *more: str, log: str = "log.key", who: str = "auditor", command: str = "log"
) -> Result:
    """The command, as this role; TRUST names the register's log with the key of this file."""
    site = registry.site
    folder = site.folder / "auditor"
    for part in ("tls", "ca"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    files = site.files(f"/{who}")
    for source, name in ((files.cert, f"tls/{who}.crt"), (files.key, f"tls/{who}.key"), (files.ca, "ca/ca.crt")):
        shutil.copy(source, folder / name)
    domain = site.ca.trust_domain
    verifier = note_signer(site.folder / log, f"{domain}/register/1").verifier
    (folder / "trust.json").write_bytes(Trust(domain, (), (), (verifier,)).to_bytes())
    where = ("--folder", str(folder), "--target", f"127.0.0.1:{registry.port}")
    return CliRunner().invoke(registry_app, [command, *where, *more])


def test_every_change_is_shown_with_who_and_why(registry: RunningRegistry) -> None:
    told = json.loads(run(registry, "--json").stdout)
    assert (told["origin"], told["size"]) == ("mes.example/register/1", 4)
    assert [item["type"] for item in told["entries"]] == [
        "organization.recorded",
        "service.applied",
        "service.referenced",
        "service.suspended",
    ]
    last = told["entries"][-1]
    assert (last["status"], last["author"]) == ("SUSPENDED", "spiffe://mes.example/registrar")
    assert last["justification"] == "Manquement [bold]à la convention[/]."
    only = json.loads(run(registry, NAME, "--json").stdout)
    assert {item["resource"] for item in only["entries"]} == {NAME}
    shown = run(registry, NAME)
    assert (shown.exit_code, "4 entries, all of the signed checkpoint" in shown.stdout) == (0, True)


def test_a_log_of_another_key_is_not_believed(registry: RunningRegistry) -> None:
    done = run(registry, log="lease.key")
    assert (done.exit_code, "checkpoint: mes.example/register/1" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "UPDATE entry SET body = CAST(replace(CAST(body AS TEXT), 'Manquement', 'Rien......') AS BLOB) WHERE idx = 3",
            "not what its entry commits",
        ),
        ("UPDATE entry SET data = (SELECT data FROM entry WHERE idx = 0) WHERE idx = 1", "not those of the signed"),
        ("DELETE FROM entry WHERE idx = 2", "not those of the signed"),
    ],
    ids=["a justification", "an entry", "an entry taken away"],
)
def test_what_was_changed_in_the_database_is_found(registry: RunningRegistry, change: str, said: str) -> None:
    with sqlite3.connect(registry.site.folder / "registry.db") as connection:
        connection.execute(change)
    connection.close()
    done = run(registry)
    assert (done.exit_code, said in done.stderr) == (1, True)


def test_a_service_and_its_organization_are_suspended_and_reinstated(registry: RunningRegistry) -> None:
    def move(command: str, name: str, *more: str) -> Result:
        return run(registry, name, *more, who="registrar", command=command)

    why, organization = ("--justification", "Liquidation.", "--evidence", "2026-114"), "organizations/org-1"
    back = move("reinstate", NAME)
    assert (back.exit_code, f"{NAME}: REFERENCED_WITHOUT_EXCHANGE" in back.stdout) == (0, True)
    held = json.loads(move("suspend", organization, *why, "--json").stdout)
    assert held["suspended"]
    assert "the organisation is suspended" in move("reinstate", NAME).stderr
    own = move("suspend", NAME, *why)
    assert "SUSPENDED, by its organisation's suspension too" in own.stdout
    assert move("reinstate", organization, "--etag", "old").exit_code == 2
    assert "not suspended" in move("reinstate", organization, "--etag", held["etag"]).stdout
    assert f"{NAME}: REFERENCED_WITHOUT_EXCHANGE" in move("reinstate", NAME).stdout
    assert move("suspend", NAME).exit_code == 2, "without a justification"
    wrong = move("suspend", "lumen", *why)
    assert (wrong.exit_code, "neither services/" in wrong.stderr) == (2, True)
    (told,) = [item for item in json.loads(run(registry, organization, "--json").stdout)["entries"] if item["status"]]
    assert (told["justification"], told["evidence"]) == ("Liquidation.", "2026-114")
