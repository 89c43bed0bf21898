"""`accord consent`: what its options say, what the portal signs for them, what is shown, and the status it ends in."""

from pathlib import Path
from typing import Any

import pytest
import typer
from accord.consent.v1 import consent_pb2
from accord.consent.v1 import consent_request_service_pb2 as request_pb
from accord.registry.v1 import registry_pb2
from rich.console import Console
from typer.testing import CliRunner

from services.chassis.config import ConfigError
from services.chassis.keys import load_signer
from services.ctl import keys
from services.ctl.consent import access as a
from services.ctl.consent import change, consent_app, grant, shown
from services.ctl.consent import terms as t
from services.ctl.consent.notice import checked
from services.errors import AccordError, Reason
from services.formats.assertion import Act, GrantAssertion, open_assertion
from services.formats.entry import sha256_hex
from services.formats.rights import Direction, Purpose
from tests.support.certificates import Site

CONSENT, REQUEST, PROFILE = "consents/" + "c" * 32, "consentRequests/" + "e" * 32, "profiles/" + "a" * 32
NOTICE = sha256_hex("la notice")
COMMANDS = ["request", "show", "grant", "reject", "narrow", "revoke", "suspend", "resume", "list", "accesses"]
COMMANDS += ["explain", "watch"]


@pytest.fixture
def access(tmp_path: Path) -> a.Access:
    """The folder of a stack: a service's leaf, the portal's leaf and key."""
    site, tls = Site(tmp_path), tmp_path / "tls"
    tls.mkdir()
    for role, path in (("lumen", "/service/lumen"), ("portal", "/portal")):
        files = site.files(path)
        files.cert.rename(tls / f"{role}.crt")
        files.key.rename(tls / f"{role}.key")
    keys.init_keys(tmp_path / "keys")
    return a.Access(tmp_path, "portal", "127.0.0.1:1", "mes.example")


def asked(**changes: Any) -> request_pb.ConsentRequest:
    """Two classes, both directions, two purposes, ten a day, data from 2020."""
    request = request_pb.ConsentRequest(name=REQUEST, service="services/lumen", notice_sha256=NOTICE)
    both, purposes = [Direction.READ, Direction.DEPOSIT], [Purpose.CARE, Purpose.PREVENTION]
    until, quota, since = t.instant("2027-06-30"), t.quota("10/day"), t.instant("2020-01-01")
    t.Changes(["class:10", "class:11"], both, purposes, until, quota, since).apply(request)
    t.Changes(**changes).apply(request)
    return request


def given(**changes: Any) -> consent_pb2.Consent:
    """The consent that gives what is asked."""
    request = asked(**changes)
    consent = consent_pb2.Consent(
        name=CONSENT, service=request.service, scope=request.scope, end_time=request.end_time, limits=request.limits
    )
    consent.revision, consent.etag, consent.notice_sha256 = 3, '"3"', NOTICE
    return consent


def said(access: a.Access, token: str) -> GrantAssertion:
    """What the portal's key signed."""
    key = load_signer(access.folder / "keys" / keys.PORTAL).verify_key
    return open_assertion(token, lambda _: key)


@pytest.mark.parametrize(
    ("text", "json"),
    [
        ("2026-11-23", "2026-11-23T00:00:00Z"),
        ("2026-11-23T09:00:00Z", "2026-11-23T09:00:00Z"),
        ("2026-11-23T09:00:00.1239+01:00", "2026-11-23T08:00:00.123Z"),
        ("1969-12-31", "1969-12-31T00:00:00Z"),
    ],
)
def test_an_instant_is_a_day_s_beginning_or_what_its_offset_says_to_the_millisecond(text: str, json: str) -> None:
    assert t.instant(text).ToJsonString() == json


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-02-30", "2026-11-23T09:00:00", "2026-11", "٢٠٢٦-11-23"])
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        t.instant(text)


@pytest.mark.parametrize(
    ("text", "limit", "period", "text_again"),
    [
        ("5", 5, 0, "5 in all"),
        ("10/day", 10, 86_400, "10 each 1 d"),
        ("3/12h", 3, 43_200, "3 each 12 h"),
        ("1/hour", 1, 3600, "1 each 1 h"),
        ("7/week", 7, 604_800, "7 each 7 d"),
        ("100/30d", 100, 2_592_000, "100 each 30 d"),
    ],
)
def test_a_quota_is_a_number_in_a_period(text: str, limit: int, period: int, text_again: str) -> None:
    quota = t.quota(text)
    assert (quota.limit, quota.period_seconds) == (limit, period)
    assert shown.terms(asked(quota=quota))["limits.quota"] == [text_again]


@pytest.mark.parametrize("text", ["", "-1", "x/day", "10/", "10/month", "10/1day", "10000000000", "1/99999d", "1/h"])
def test_what_is_no_quota_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        t.quota(text)


def test_changes_replace_what_they_name_and_only_add_to_what_is_left_out() -> None:
    consent = given(deny_types=["11488-4"])
    t.Changes(purposes=[Purpose.CARE], deny_types=["type:11490-0"], deny_labels=["V"]).apply(consent)
    assert list(consent.scope.purposes) == [registry_pb2.PURPOSE_CARE]
    assert list(consent.limits.exceptions) == ["label:V", "type:11488-4", "type:11490-0"]
    assert list(consent.scope.categories) == ["class:10", "class:11"]


def test_a_grant_carries_what_was_asked_but_for_what_options_take_away_and_the_signature_says_the_same(
    access: a.Access,
) -> None:
    changes = t.Changes(["type:11502-2"], until=t.instant("2027-01-31"), deny_types=["11488-4"])
    request = grant.granting_of(access, asked(), PROFILE, changes, grant.holder("eidas2"), True)
    assert (request.validate_only, request.request, request.request_id) == (True, REQUEST, "")
    assert request.consent.limits.quota.limit == 10
    assertion = said(access, request.assertion)
    assert (assertion.act, assertion.jti, assertion.profile) == (Act.GRANT, REQUEST, PROFILE)
    assert assertion.scope.categories == {"type:11502-2"}
    assert assertion.limits["exceptions"] == ["type:11488-4"]
    assert assertion.notice_sha256 == NOTICE
    assert shown.narrowed(shown.terms(asked()), shown.terms(request.consent)) == [
        "scope.categories",
        "end_time",
        "limits.exceptions",
    ]


def test_a_narrowing_names_the_etag_that_was_read_and_the_signature_says_what_shall_be(access: a.Access) -> None:
    changes = t.Changes(["class:11"], until=t.instant("2027-01-31"))
    request = change.amending_of(access, given(), changes, grant.holder("eidas2"), False)
    assert (request.consent.etag, request.consent.service, request.validate_only) == ('"3"', "", False)
    assertion = said(access, request.assertion)
    assert (assertion.act, assertion.jti, assertion.consent) == (Act.AMEND, request.request_id, CONSENT)
    assert (assertion.service, sorted(assertion.scope.categories)) == ("services/lumen", ["class:11"])


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (t.Changes(["class:10", "class:42"]), "give more"),
        (t.Changes(purposes=[Purpose.DIAGNOSIS]), "give more"),
        (t.Changes(until=t.instant("2027-07-01")), "give more"),
        (t.Changes(["class:11"], until=t.instant("2028-01-01")), "give more"),
        (t.Changes(), "nothing"),
        (t.Changes(["class:10", "class:11"], until=t.instant("2027-06-30")), "nothing"),
    ],
)
def test_narrow_never_signs_what_gives_more_or_changes_nothing(access: a.Access, changes: t.Changes, why: str) -> None:
    with pytest.raises(a.RefusedError, match=why):
        change.amending_of(access, given(), changes, grant.holder("eidas2"), False)


def test_narrow_does_not_take_from_a_refusal(access: a.Access) -> None:
    denial = given()
    denial.limits.CopyFrom(consent_pb2.Limits(effect=consent_pb2.EFFECT_DENY))
    with pytest.raises(a.RefusedError, match="would give more"):
        change.amending_of(access, denial, t.Changes(["class:11"]), grant.holder("eidas2"), False)


def test_a_comparison_marks_what_was_taken_away_and_nothing_else() -> None:
    changes = {"categories": ["class:11", "type:11502-2"], "purposes": [Purpose.CARE], "deny_labels": ["V"]}
    lines = _lines(shown.comparison(shown.terms(asked()), shown.terms(given(**changes)), ("asked", "granted")))
    assert "− class:10 Compte rendu but for type:11502-2" in lines["categories"]
    assert "− PREVENTION" in lines["purposes"]
    assert "− label:V" in lines["left out"]
    assert not any("−" in lines[title] for title in ("directions", "until", "quota", "data from"))


def _lines(table: Any) -> dict[str, str]:
    console = Console(width=200, no_color=True)
    with console.capture() as capture:
        console.print(table)
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in capture.get().splitlines() if "│" in line]
    return {title: f"{rest}" for title, *rest in rows if title}


def test_a_sooner_end_is_narrower_and_a_start_that_nobody_asked_for_is_not() -> None:
    before, consent = shown.terms(asked()), given(until=t.instant("2027-06-29"))
    consent.start_time.CopyFrom(t.instant("2026-11-23"))
    assert shown.narrowed(before, shown.terms(consent)) == ["end_time"]


def test_square_brackets_of_a_message_are_shown_and_never_markup() -> None:
    shown_ = _lines(shown.request_table(request_pb.ConsentRequest(name="[red]x", service="services/lumen")))
    assert "[red]x" in shown_["name"]


@pytest.mark.parametrize(
    ("text", "stated", "asked_for"),
    [
        ("another", NOTICE, NOTICE),
        ("la notice", sha256_hex("another"), NOTICE),
        ("la notice", NOTICE, sha256_hex("another")),
        ("la notice", NOTICE, ""),
        ("", "", ""),
    ],
)
def test_a_notice_whose_text_is_not_of_the_hash_is_not_shown(text: str, stated: str, asked_for: str) -> None:
    with pytest.raises(a.RefusedError, match="not the one to be shown"):
        checked(registry_pb2.InformationNotice(version="1", text=text, sha256=stated), asked_for)


def test_a_notice_of_the_hash_is_shown() -> None:
    notice = registry_pb2.InformationNotice(version="1", text="la notice", sha256=NOTICE)
    assert checked(notice, NOTICE).text == "la notice"


def test_a_service_is_who_its_leaf_says_whatever_the_file_is_called(access: a.Access) -> None:
    tls = access.folder / "tls"
    for suffix in ("crt", "key"):
        (tls / f"lumen.{suffix}").rename(tls / f"mine.{suffix}")
    assert a.Access(access.folder, "mine", "", "").service() == "services/lumen"
    with pytest.raises(ConfigError, match="no service"):
        access.service()


def test_a_line_that_is_printed_repeats_what_was_not_the_usual() -> None:
    assert a.Access(a.STACK, "portal", a.LEDGER, a.DOMAIN).flags == ""
    other = a.Access(Path("my stack"), "portal", "host:1", a.DOMAIN)
    assert other.flags == " --folder 'my stack' --target host:1"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (AccordError(Reason.RESOURCE_NOT_FOUND), 1),
        (AccordError(Reason.CONVENTION_EXCEEDED), 1),
        (a.RefusedError("no"), 1),
        (AccordError(Reason.LEDGER_UNAVAILABLE), 2),
        (AccordError(Reason.INTERNAL), 2),
        (a.UnreachableError("nobody"), 2),
        (ConfigError("no leaf"), 2),
    ],
)
def test_a_no_is_1_and_not_knowing_is_2(error: Exception, status: int) -> None:
    with pytest.raises(typer.Exit) as ended, a.explained():
        raise error
    assert ended.value.exit_code == status


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["show"], 2),
        (["show", CONSENT, "--code", "BCDF-GHJK"], 2),
        (["show", REQUEST], 2),
        (["show", CONSENT, "--folder", "/nowhere"], 2),
        (["revoke", CONSENT, "--folder", "/nowhere"], 2),
        (["request", "--as", "lumen"], 2),
        (["grant", "BCDF-GHJK", "--profile", PROFILE, "--until", "soon"], 2),
    ],
)
def test_what_cannot_be_asked_is_2_and_said(words: list[str], status: int) -> None:
    done = CliRunner().invoke(consent_app, words)
    assert (done.exit_code, bool(done.output)) == (status, True)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_shows_an_example(command: str) -> None:
    assert f"accord consent {command} " in CliRunner().invoke(consent_app, [command, "--help"]).stdout
