"""`accord consent grant` and `reject`: what the portal does with a request once its patient has decided."""

import asyncio
from typing import Annotated

import typer
from accord.consent.v1 import consent_pb2
from accord.consent.v1 import consent_request_service_pb2 as request_pb
from accord.consent.v1 import consent_service_pb2 as pb
from accord.consent.v1 import consent_service_pb2_grpc as pb_grpc

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
    Role,
    Target,
    as_dict,
    console,
    explained,
    print_json,
)
from services.ctl.consent.reading import look_up
from services.ctl.consent.shown import comparison, narrowed, terms

Code = Annotated[str, typer.Argument(help="The code that the patient typed.", show_default=False)]
Profile = Annotated[str, typer.Option(help="The patient's profile: profiles/….")]
Authentication = Annotated[str, typer.Option(help="How the patient authenticated on the portal.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything, record nothing.")]
EIDAS = "eidas2"


def register(app: typer.Typer) -> None:
    """Adds `grant` and `reject`."""
    app.command()(grant)
    app.command()(reject)


def grant(
    code: Code,
    profile: Profile,
    categories: t.Categories = None,
    directions: t.Directions = None,
    purposes: t.Purposes = None,
    until: t.Until = None,
    quota: t.HowOften = None,
    data_from: t.DataFrom = None,
    data_until: t.DataUntil = None,
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
    """Grants what the request of a code asks for, or the part of it that the options name, signed with the portal's key.

    What the patient is shown first: accord consent show --code CODE.

    A profile to try it with: accord call ConsentService/OpenProfile
    -d '{"patient": {"root": "1.2.250.1.213.1.4.10", "matricule": "155096249803751"}}'

    Example:

    accord consent grant BCDF-GHJK --profile profiles/0123… --category class:10 --until 2027-03-31
    --deny-type 11488-4 --dry-run
    """
    denied = (deny_types, deny_labels)
    changes = t.Changes(categories, directions, purposes, until, quota, data_from, data_until, *denied)
    access = Access(folder, role, target, trust_domain)
    with explained():
        asked = asyncio.run(look_up(access, code))
        granting = granting_of(access, asked, profile, changes, holder(authentication), dry_run)
        granted = asyncio.run(_grant(access, granting))
        _report(asked, granted, access, as_json)


def holder(authentication: str) -> consent_pb2.Actor:
    """The holder of the profile, as the portal authenticated them."""
    return consent_pb2.Actor(role=consent_pb2.ACTOR_ROLE_HOLDER, authentication=authentication)


def granting_of(
    access: Access,
    asked: request_pb.ConsentRequest,
    profile: str,
    changes: t.Changes,
    actor: consent_pb2.Actor,
    dry_run: bool,
) -> pb.GrantConsentRequest:
    """The grant of what was asked, changed, and signed. Raises: ConfigError, AccordError FIELD_INVALID."""
    consent = consent_pb2.Consent(
        service=asked.service,
        scope=asked.scope,
        end_time=asked.end_time,
        notice_sha256=asked.notice_sha256,
        actor=actor,
    )
    for field in ("start_time", "limits"):
        if asked.HasField(field):
            getattr(consent, field).CopyFrom(getattr(asked, field))
    changes.apply(consent)
    return pb.GrantConsentRequest(
        profile=profile,
        consent=consent,
        request=asked.name,
        assertion=access.hand().grant(consent, profile, asked.name),
        validate_only=dry_run,
    )


async def _grant(access: Access, granting: pb.GrantConsentRequest) -> consent_pb2.Consent:
    async with access.ledger() as channel:
        stub = pb_grpc.ConsentServiceStub(channel)
        return (await stub.GrantConsent(granting, timeout=CALL_S)).consent


def _report(asked: request_pb.ConsentRequest, granted: consent_pb2.Consent, access: Access, as_json: bool) -> None:
    before, after = terms(asked), terms(granted)
    if as_json:
        print_json({"request": as_dict(asked), "consent": as_dict(granted), "narrowed": narrowed(before, after)})
        return
    console.print(comparison(before, after, ("asked", "granted")))
    if granted.name:
        console.print(f"[green]granted[/] to {granted.service}: {granted.name}", highlight=False)
        console.print(f"withdraw it: accord consent revoke {granted.name}{access.flags}", highlight=False)
    else:
        console.print(f"could be granted to {granted.service}: nothing was recorded", highlight=False)


def reject(
    code: Code,
    profile: Profile,
    authentication: Authentication = EIDAS,
    role: Role = PORTAL,
    folder: Folder = STACK,
    target: Target = LEDGER,
    trust_domain: Domain = DOMAIN,
    as_json: AsJson = False,
) -> None:
    """Rejects the request of a code.

    Example: accord consent reject BCDF-GHJK --profile profiles/0123…
    """
    access = Access(folder, role, target, trust_domain)
    with explained():
        asked = asyncio.run(look_up(access, code))
        rejecting = pb.RejectConsentRequestRequest(request=asked.name, profile=profile, actor=holder(authentication))
        asyncio.run(_reject(access, rejecting))
        print_json({}) if as_json else console.print(f"rejected: {asked.name}", highlight=False)


async def _reject(access: Access, rejecting: pb.RejectConsentRequestRequest) -> None:
    async with access.ledger() as channel:
        await pb_grpc.ConsentServiceStub(channel).RejectConsentRequest(rejecting, timeout=CALL_S)
