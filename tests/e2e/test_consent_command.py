"""`accord consent` as an integrator and a portal's developer type it: ask, show, grant less, explain, narrow, withdraw."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from accord.consent.v1 import watch_service_pb2, watch_service_pb2_grpc
from typer.testing import CliRunner

from services.ctl.__main__ import app
from services.ctl.people import NOTICE
from services.ctl.stack import ROOT, environment
from tests.support.world import OTHER, RECIPIENT, SENDER, Visit, World, new_ins

CATEGORIES = ("--category", "class:10", "--category", "class:11")
SCOPE = (*CATEGORIES, "--direction", "deposit", "--direction", "read", "--purpose", "care", "--purpose", "prevention")
CODE = re.compile(r"[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}")


def flags(world: World) -> list[str]:
    """Where the ledger of a world is."""
    target = world.stack.target("consent")
    return ["--folder", str(world.stack.folder), "--target", target, "--trust-domain", "mes.example"]


def consent(world: World, *words: str, code: int = 0) -> str:
    """What `accord consent` prints, which must end with this code; with its errors where that is not 0."""
    done = CliRunner().invoke(app, ["consent", *words, *flags(world)])
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.output


def said(world: World, *words: str, code: int = 0) -> Any:
    """The same, as JSON."""
    return json.loads(consent(world, *words, "--json", code=code).splitlines()[0])


@contextmanager
def typed(world: World, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """`accord consent` that runs meanwhile, in a process of its own."""
    command = [sys.executable, "-m", "services.ctl", "consent", *words, *flags(world)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, text=True, env=environment() | {"NO_COLOR": "1"}, cwd=ROOT, **pipes)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def open_profile(world: World) -> str:
    """A patient's profile, opened with `accord call` as the help of `grant` says."""
    ins = new_ins(next(world.numbers))
    data = json.dumps({"patient": {"root": ins.root, "matricule": ins.matricule}})
    done = CliRunner().invoke(app, ["call", "ConsentService/OpenProfile", "-d", data, *flags(world)])
    return str(json.loads(done.stdout)["profile"])


def explain(world: World, patient: str, code: int = 0) -> Any:
    """Whether the sender may deposit a laboratory report for prevention."""
    query = ("--direction", "deposit", "--purpose", "prevention", "--category", "type:11502-2")
    return said(world, "explain", "--as", SENDER, "--patient", patient, *query, code=code)


def test_a_service_asks_a_portal_grants_less_and_takes_it_back(world: World) -> None:
    profile, limits = open_profile(world), ("--until", "2027-06-30", "--quota", "10/day")
    with typed(world, "request", "--as", SENDER, *SCOPE, *limits, "--wait", "--json") as waiting:
        assert waiting.stdout is not None
        asked = json.loads(waiting.stdout.readline())["request"]
        assert asked["state"] == "REQUEST_STATE_PENDING"
        code = asked["user_code"].lower().replace("-", "")
        shown = said(world, "show", "--code", code, "--registry", world.stack.target("registry"))
        assert (shown["request"]["name"], shown["notice"]["text"]) == (asked["name"], NOTICE)

        less = ("--category", "class:10", "--purpose", "prevention", "--until", "2027-03-31", "--deny-type", "11488-4")
        tried = said(world, "grant", code, "--profile", profile, *less, "--dry-run")
        assert "name" not in tried["consent"]
        granted = said(world, "grant", code, "--profile", profile, *less)
        fields = ["scope.categories", "scope.purposes", "end_time", "limits.exceptions"]
        assert (tried["narrowed"], granted["narrowed"]) == (fields, fields)
        name = granted["consent"]["name"]

        decided = json.loads(waiting.communicate(timeout=60)[0].splitlines()[0])["request"]
        assert (waiting.returncode, decided["state"], decided["consent"]) == (0, "REQUEST_STATE_GRANTED", name)

    assert explain(world, decided["patient"])["verdict"] == {"permitted": True}
    narrowed = said(world, "narrow", name, "--category", "type:11502-2")
    assert (narrowed["narrowed"], narrowed["consent"]["revision"]) == (["scope.categories"], 2)
    assert said(world, "list", "--as", SENDER, "--patient", decided["patient"])["name"] == name
    assert said(world, "suspend", name)["consent"]["state"] == "CONSENT_STATE_SUSPENDED"
    assert said(world, "resume", name)["consent"]["state"] == "CONSENT_STATE_ACTIVE"
    assert said(world, "revoke", name)["consent"]["state"] == "CONSENT_STATE_REVOKED"
    assert explain(world, decided["patient"], code=1)["verdict"]["reason"] == "ERROR_REASON_CONSENT_REVOKED"
    first = said(world, "show", f"{name}/revisions/1", "--as", SENDER)["consent"]
    assert first["scope"]["categories"] == ["class:10"]
    assert "patient" not in json.dumps([shown, tried, granted, narrowed])


def test_people_read_what_scripts_read_and_no_is_1(world: World) -> None:
    profile = open_profile(world)
    asked = consent(world, "request", "--as", SENDER, *SCOPE, "--until", "2027-06-30")
    found = CODE.search(asked)
    assert found is not None
    code, (name,) = found[0], set(re.findall(r"consentRequests/[0-9a-f]{32}", asked))
    shown = consent(world, "show", "--code", code, "--registry", world.stack.target("registry"))
    assert "Vous pouvez retirer votre accord" in " ".join(shown.replace("│", " ").split())
    wider = consent(world, "grant", code, "--profile", profile, "--category", "class:42", code=1)
    assert "consent.scope: is wider than was asked" in wider
    consent(world, "reject", code, "--profile", profile)
    assert "REJECTED" in consent(world, "show", name, "--as", SENDER)
    assert "RESOURCE_NOT_FOUND" in consent(world, "show", "--code", code, code=1)
    assert "RESOURCE_NOT_FOUND" in consent(world, "show", name, "--as", OTHER, code=1)
    assert "0 found" in consent(world, "list", "--profile", profile)
    assert "0 found" in consent(world, "accesses", "--profile", profile)


async def test_a_watch_goes_on_from_a_cursor_with_a_service_s_own_changes_until_ctrl_c(visit: Visit) -> None:
    world, person = visit.world, await visit.patient(RECIPIENT)
    async with world.channel(SENDER, "consent") as channel:
        stream = watch_service_pb2_grpc.WatchServiceStub(channel).Watch(iter([watch_service_pb2.WatchRequest()]))
        cursor = (await anext(aiter(stream))).cursor
    await visit.grant(person, RECIPIENT)
    own = await visit.grant(person, SENDER)
    with typed(world, "watch", "--as", SENDER, "--cursor", cursor, "--json") as watching:
        assert watching.stdout is not None
        first = json.loads(watching.stdout.readline())
        (change,) = first["changes"]
        assert (change["type"], change["resource"]) == ("consent.granted", f"{own}/revisions/1")
        await visit.people.revoke(own)
        later = json.loads(watching.stdout.readline())
        assert [item["type"] for item in later["changes"]] == ["consent.revoked"]
        watching.send_signal(signal.SIGINT)
        out, err = watching.communicate(timeout=60)
    assert (watching.returncode, out) == (0, "")
    assert err.splitlines() == ["watching; Ctrl-C ends it", f"go on with --cursor {later['cursor']}"]
