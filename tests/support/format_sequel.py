"""What else the story's log can hold: every other type of entry, each by the command that makes it."""

from typing import Any

from services.consent.domain import commands as c
from services.consent.domain.lifecycle import ConsentState
from services.consent.domain.terms import Effect, Limits, Quota
from services.consent.locked import draft
from services.formats.assertion import Act
from services.formats.entry import EntryType, Lost
from services.formats.times import instant_of
from services.nomenclature.ins import Ins
from tests.support.format_story import DOMAIN, HOLDER, NOTICE, RECIPIENT, SCOPE, SENDER, Story

PLATFORM = c.Actor(c.PLATFORM, "")
MINOR, OTHER = Ins("1.2.250.1.213.1.4.10", "214026249803755"), Ins("1.2.250.1.213.1.4.10", "255096249803701")
LIMITS = Limits(
    Effect.PERMIT,
    frozenset({"label:R"}),
    Quota(12, 86_400),
    data_from_ms=instant_of("2026-01-01T00:00:00.000Z"),
    erase_ms=instant_of("2027-06-01T00:00:00.000Z"),
)


def play(story: Story) -> None:
    """Goes on from where the story ends, to 2030."""
    _requests(story)
    _revisions(story)
    _profiles(story)
    _upkeep(story)


def _requests(story: Story) -> None:
    end_ms = instant_of("2026-11-23T09:25:00.000Z")
    asked = [c.RequestConsent(SENDER, SCOPE, None, end_ms, Limits(), 900, f"request-{number}", "") for number in (3, 4)]
    _, second = story.at("09:10:00.000", *asked)
    story.at("09:11:00.000", c.DecideRequest(0, second.request, story.patient, False, HOLDER))


def _revisions(story: Story) -> None:
    kept = story.consents[1]
    name, end_ms = story.consent_name(kept), kept.end_ms
    amended = story.asserted(
        "09:12:00.000", Act.AMEND, "request-5", RECIPIENT, end_ms, consent=name, limits=LIMITS.to_json()
    )
    amend = c.Amend(0, kept.consent, SCOPE, end_ms, NOTICE, LIMITS, HOLDER, "request-5", "", assertion=amended)
    story.at("09:12:00.000", amend)
    story.at("09:13:00.000", c.MoveConsent(0, kept.consent, ConsentState.SUSPENDED, HOLDER))
    resumed = story.asserted(
        "09:14:00.000",
        Act.RESUME,
        f"{name}/revisions/3",
        RECIPIENT,
        end_ms,
        consent=name,
        limits=LIMITS.to_json(),
    )
    story.at("09:14:00.000", c.MoveConsent(0, kept.consent, ConsentState.ACTIVE, HOLDER, assertion=resumed))
    sent_ms = instant_of("2026-11-23T09:14:30.000Z")
    story.at("09:15:00.000", c.RecordNotice(story.patient, 0, kept.consent, 4, "email", sent_ms))
    (brief,) = story.at("09:16:00.000", story.grant("09:16:00.000", SENDER, "request-6", "2026-11-23T09:20:00.000Z"))
    story.at("09:20:00.000", c.SweepConsents(0))
    story.at("09:21:00.000", c.AcknowledgeRevocation(0, brief.consent, SENDER))


def _profiles(story: Story) -> None:
    majority_ms = instant_of("2032-02-29T00:00:00.000Z")
    (minor,) = story.at("09:30:00.000", c.OpenProfile(MINOR, opt_out=True, majority_ms=majority_ms))
    story.at("09:31:00.000", c.Represent(minor.address, "fc-7f3a", True))
    story.at("09:32:00.000", c.Represent(minor.address, "fc-7f3a", False))
    story.at("09:33:00.000", c.MoveProfile(minor.address, EntryType.PROFILE_ACTIVATED, HOLDER))
    story.at("09:34:00.000", c.ClaimAlias(OTHER, story.patient), c.AddIdentity(OTHER, story.patient))
    why = "a token was stolen"
    story.at("09:35:00.000", c.MoveProfile(story.patient, EntryType.PROFILE_SUSPENDED, PLATFORM, why))
    story.at("09:36:00.000", c.MoveProfile(story.patient, EntryType.PROFILE_RESUMED, PLATFORM, why))
    story.at("09:37:00.000", c.MoveProfile(story.patient, EntryType.PROFILE_CLOSED, HOLDER))
    story.at("09:38:00.000", c.MoveProfile(story.patient, EntryType.PROFILE_REOPENED, HOLDER))
    story.at("09:39:00.000", c.MoveProfile(story.patient, EntryType.PROFILE_CLOSED, HOLDER))


def _upkeep(story: Story) -> None:
    story.at("09:40:00.000", c.RecordRead(0, "SearchEntries", {"service": SENDER}))
    story.at("09:41:00.000", c.Erase(story.patient, "gdpr_17_1_b", traces_too=False))
    story.clock.now_ms = instant_of("2026-11-23T09:42:00.000Z")
    lost = Lost(f"{DOMAIN}/ledger/0/0", 120, 128)
    with story.log.locked(story.lease) as locked:
        members: dict[str, Any] = {"lost": lost}
        locked.append(draft(EntryType.LEDGER_RECOVERED, "ledger", {}, **members))
    story.at("2030-01-02T03:00:00.000Z", c.Retain(0, 2026, "ehds_9"))
