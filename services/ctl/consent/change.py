"""`accord consent narrow`, `revoke`, `suspend`, `resume`: what the portal does with a consent that was given."""

import asyncio
import uuid
from typing import Annotated

import typer
from accord.consent.v1 import consent_pb2
from accord.consent.v1 import consent_service_pb2 as pb
from accord.consent.v1 import consent_service_pb2_grpc as pb_grpc
from google.protobuf.message import Message

from services.consent.convert.form import Form
from services.ctl.consent import terms as t
from services.ctl.consent.access import (
    CALL_S,
    DOMAIN,
    LEDGER,
    PORTAL,
    STACK,
    Access,
    AsJson,
    Domain,
    Folder,
    RefusedError,
    Role,
    Target,
    as_dict,
    console,
    explained,
    print_json,
)
from services.ctl.consent.grant import EIDAS, Authentication, DryRun, holder
from services.ctl.consent.reading import read_consent
from services.ctl.consent.shown import comparison, consent_table, narrowed, terms

Name = Annotated[str, typer.Argument(help="The consent: consents/….", show_default=False)]


def register(app: typer.Typer) -> None:
    """Adds the four."""
    for command in (narrow, revoke, suspend, resume):
        app.command()(command)


def narrow(
    name: Name,
    categories: t.Categories = None,
    directions: t.Directions = None,
    purposes: t.Purposes = None,
    until: t.Until = None,
    deny_types: t.DenyTypes = None,
    deny_labels: t.DenyLabels = None,
    authentication: Authentication = EIDAS,
    dry_run: DryRun = False,
    role: Role = PORTAL,
    folder: Folder = STACK,
    target: Target = LEDGER,
    trust_domain: Domain = DOMAIN,
    as_json: AsJson = False,
) -> None:
    """Takes away a part of a consent: a new revision, unless somebody changed the consent meanwhile.

    Example: accord consent narrow consents/0123… --category type:11502-2 --until 2027-01-31
    """
    changes = t.Changes(categories, directions, purposes, until, deny_types=deny_types, deny_labels=deny_labels)
    access = Access(folder, role, target, trust_domain)
    with explained():
        before = asyncio.run(read_consent(access, name))
        amending = amending_of(access, before, changes, holder(authentication), dry_run)
        after = asyncio.run(_amend(access, amending))
        _report(before, after, dry_run, as_json)


def amending_of(
    access: Access, before: consent_pb2.Consent, changes: t.Changes, actor: consent_pb2.Actor, dry_run: bool
) -> pb.AmendConsentRequest:
    """The amendment of a consent as it was read. Raises: RefusedError where it takes nothing away, or gives; ConfigError."""
    amended = consent_pb2.Consent(
        name=before.name,
        scope=before.scope,
        end_time=before.end_time,
        notice_sha256=before.notice_sha256,
        actor=actor,
        etag=before.etag,
    )
    if before.HasField("limits"):
        amended.limits.CopyFrom(before.limits)
    changes.apply(amended)
    _check_narrower(before, amended)
    request_id = uuid.uuid4().hex
    assertion = access.hand().amend(amended, before.service, request_id)
    return pb.AmendConsentRequest(consent=amended, request_id=request_id, assertion=assertion, validate_only=dry_run)


def _check_narrower(before: consent_pb2.Consent, amended: consent_pb2.Consent) -> None:
    if before.limits.effect == consent_pb2.EFFECT_DENY:
        raise RefusedError("this consent refuses: less of it would give more; revoke it instead")
    form = Form()
    given, kept = form.scope(before.scope, "scope"), form.scope(amended.scope, "scope")
    form.done()
    if not kept.within(given) or amended.end_time.ToNanoseconds() > before.end_time.ToNanoseconds():
        raise RefusedError("this would give more than the consent does: narrow only takes away")
    if (amended.scope, amended.end_time, amended.limits) == (before.scope, before.end_time, before.limits):
        raise RefusedError("this takes nothing away")


async def _amend(access: Access, amending: pb.AmendConsentRequest) -> consent_pb2.Consent:
    async with access.ledger() as channel:
        stub = pb_grpc.ConsentServiceStub(channel)
        return (await stub.AmendConsent(amending, timeout=CALL_S)).consent


def _report(before: consent_pb2.Consent, after: consent_pb2.Consent, dry_run: bool, as_json: bool) -> None:
    was, is_now = terms(before), terms(after)
    if as_json:
        print_json({"before": as_dict(before), "consent": as_dict(after), "narrowed": narrowed(was, is_now)})
        return
    console.print(comparison(was, is_now, ("before", "now")))
    said = "nothing was recorded" if dry_run else f"{after.name}, revision {after.revision}"
    console.print(said, highlight=False)


def revoke(
    name: Name,
    authentication: Authentication = EIDAS,
    role: Role = PORTAL,
    folder: Folder = STACK,
    target: Target = LEDGER,
    trust_domain: Domain = DOMAIN,
    as_json: AsJson = False,
) -> None:
    """Withdraws a consent for good: when this returns, no later authorisation stands on it.

    Example: accord consent revoke consents/0123…
    """
    request = pb.RevokeConsentRequest(name=name, actor=holder(authentication))
    with explained():
        asyncio.run(_move(Access(folder, role, target, trust_domain), "RevokeConsent", request, as_json))


def suspend(
    name: Name,
    authentication: Authentication = EIDAS,
    role: Role = PORTAL,
    folder: Folder = STACK,
    target: Target = LEDGER,
    trust_domain: Domain = DOMAIN,
    as_json: AsJson = False,
) -> None:
    """Pauses a consent: when this returns, no later authorisation stands on it until it is resumed.

    Example: accord consent suspend consents/0123…
    """
    request = pb.SuspendConsentRequest(name=name, actor=holder(authentication))
    with explained():
        asyncio.run(_move(Access(folder, role, target, trust_domain), "SuspendConsent", request, as_json))


def resume(
    name: Name,
    authentication: Authentication = EIDAS,
    role: Role = PORTAL,
    folder: Folder = STACK,
    target: Target = LEDGER,
    trust_domain: Domain = DOMAIN,
    as_json: AsJson = False,
) -> None:
    """Resumes a paused consent as it stands, signed with the portal's key.

    Example: accord consent resume consents/0123…
    """
    access, actor = Access(folder, role, target, trust_domain), holder(authentication)
    with explained():
        paused = asyncio.run(read_consent(access, name))
        assertion = access.hand().resume(paused, actor)
        request = pb.ResumeConsentRequest(name=name, actor=actor, etag=paused.etag, assertion=assertion)
        asyncio.run(_move(access, "ResumeConsent", request, as_json))


async def _move(access: Access, method: str, request: Message, as_json: bool) -> None:
    async with access.ledger() as channel:
        answer = await getattr(pb_grpc.ConsentServiceStub(channel), method)(request, timeout=CALL_S)
    print_json(as_dict(answer)) if as_json else console.print(consent_table(answer.consent))
