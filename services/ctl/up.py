"""`accord up`: the stack, kept running, with a service to call and the lines that call it."""

import asyncio
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from services.ctl.options import PORTS
from services.ctl.partners import Partner
from services.ctl.people import People, service
from services.ctl.stack import Stack
from services.errors import AccordError, Kind

console = Console(soft_wrap=True)
SERVICE = "lumen-audition"


def up(
    folder: Annotated[Path, typer.Option(help="Where the stack keeps its files, from one run to the next.")] = Path(
        "var/up"
    ),
    base_port: Annotated[int, typer.Option(help="First of the three ports; health ports are 10 above.")] = PORTS[
        "registry"
    ],
) -> None:
    """Starts registry, consent ledger and exchange broker, references one service, and keeps them running until Ctrl-C.

    Example: accord up --folder var/up
    """
    stack = Stack(folder, base_port=base_port)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        stack.prepare()
        stack.start()
        asyncio.run(_reference(stack))
        for line in lines(stack):
            console.print(line, highlight=False)
        while not stopped.wait(1.0):
            _watch(stack)
    finally:
        stack.stop()


async def _reference(stack: Stack) -> None:
    partner = Partner(stack, SERVICE)
    described = service(SERVICE, "Lumen Audition", "1.2.250.1.999.1", partner.prepare())
    try:
        async with People(stack) as people:
            await people.reference(described, siren="552100554")
    except AccordError as error:
        if error.kind is not Kind.EXISTS:  # an earlier run referenced it already
            raise


def lines(stack: Stack) -> list[str]:
    """What a person needs to call the stack."""
    folder, tls = stack.shown, stack.shown / "tls"
    ports = "  ".join(f"{name} {stack.target(name)}" for name in stack.ports)
    return [
        f"running: {ports}   (Ctrl-C ends it)",
        f"referenced service: services/{SERVICE}, its leaf {tls}/{SERVICE}.crt",
        "call it:",
        f"  accord call AuditService/GetCheckpoints --as auditor --folder {folder} --target {stack.target('consent')}",
        (
            f"  accord call CatalogService/ListServices -d '{{}}' --as registrar --folder {folder}"
            f" --target {stack.target('registry')}"
        ),
        "or with grpcurl:",
        (
            f"  grpcurl -cacert {folder}/ca/ca.crt -cert {tls}/auditor.crt -key {tls}/auditor.key"
            f" -authority consent.{stack.trust_domain} -max-time 10 -import-path protos"
            f" -proto accord/consent/v1/audit_service.proto {stack.target('consent')}"
            " accord.consent.v1.AuditService/GetCheckpoints"
        ),
    ]


def _watch(stack: Stack) -> None:
    for name, process in stack.processes.items():
        if process.poll() is not None:
            console.print(f"[red]{name} ended[/]:\n{stack.last_words(name)}")
            raise typer.Exit(1)
