"""`accord demo`: the story on the screen, or as JSON."""

import asyncio
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from services.ctl.stack import Stack
from services.ctl.story import Result, Sent, Story
from services.formats.trust import Trust

console = Console(soft_wrap=True)
Documents = Annotated[Path, typer.Option(help="A folder; every file in it, and below it, is sent.")]
Folder = Annotated[Path, typer.Option(help="Where the stack keeps its files; what a demo left there is replaced.")]
TestIns = Annotated[bool, typer.Option("--test-ins/--no-test-ins", help="Whether test identities are allowed.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


def demo(
    documents: Documents = Path("examples/documents"),
    folder: Folder = Path("var/demo"),
    test_ins: TestIns = True,
    as_json: AsJson = False,
) -> None:
    """Plays the whole story on this machine: three services, two referenced ones, your documents.

    Example: accord demo --documents ~/cda --no-test-ins
    """
    paths = find_documents(documents)
    if not paths:
        raise typer.BadParameter(f"{documents} holds no file", param_hint="--documents")
    if folder.exists():
        if not (folder / "trust.json").exists():
            raise typer.BadParameter(f"{folder} is not a demo's folder; name another", param_hint="--folder")
        shutil.rmtree(folder)
    stack = Stack(folder, allow_test_ins=test_ins)
    quiet = Console(quiet=as_json)
    with _progress(quiet) as progress:
        result = _play(stack, paths, progress)
    if as_json:
        print(json.dumps(_as_json(result, stack.trust), indent=2))
    else:
        _show(result, stack)
    raise typer.Exit(0 if result.holds else 1)


def find_documents(folder: Path) -> list[Path]:
    """Every file of a folder and below, in order of name; hidden files and READMEs left out."""
    if not folder.is_dir():
        raise typer.BadParameter(f"{folder} is not a folder", param_hint="--documents")
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return [path for path in files if not path.name.startswith(".") and path.stem.upper() != "README"]


def _progress(out: Console) -> Progress:
    columns = (TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=out, transient=True)


def _play(stack: Stack, paths: list[Path], progress: Progress) -> Result:
    task = progress.add_task("documents", total=len(paths))

    def say(step: str) -> None:
        progress.console.print(f"[cyan]▸[/] {step}")

    say("Three services start: registry, consent ledger, exchange broker; each over mTLS")
    try:
        stack.prepare()
        stack.start()
        return asyncio.run(Story(stack, say, lambda sent: progress.advance(task)).play(paths))
    finally:
        stack.stop()


def _show(result: Result, stack: Stack) -> None:
    console.print(_documents_table(result.documents))
    forwarded = sum(sent.outcome == "DELIVERED" for sent in result.documents)
    refused = Counter(sent.reason for sent in result.documents if sent.outcome != "DELIVERED")
    reasons = ", ".join(f"{count} {reason}" for reason, count in refused.most_common()) or "none"
    console.print(
        f"{forwarded} of {len(result.documents)} forwarded for {result.patients} patient(s); refused: {reasons}"
    )
    console.print(f"{result.verified} of {forwarded} evidence files verified offline")
    for problem in result.broken:
        console.print(f"[red]{problem}[/]")
    if result.after_revoke is not None:
        sent = result.after_revoke
        console.print(f"after the withdrawal: {sent.path.name} → {sent.outcome} {sent.reason}")
    console.print(_log_table(result))
    folder = stack.shown
    console.print(f"evidence: {folder}/evidence   TRUST: {folder}/trust.json   fingerprint {stack.trust.fingerprint}")
    console.print(f"verify one yourself: accord verify {folder}/evidence/*.json --trust {folder}/trust.json")


def _documents_table(documents: list[Sent]) -> Table:
    table = Table(title="Documents", title_justify="left")
    table.add_column("document", overflow="fold")
    for name in ("type", "class"):
        table.add_column(name)
    table.add_column("size", justify="right")
    table.add_column("decision")
    table.add_column("reason", no_wrap=True)
    for sent in documents:
        good = sent.outcome == "DELIVERED"
        decision = "[green]forwarded[/]" if good else f"[yellow]{sent.outcome.lower()}[/]"
        table.add_row(sent.path.name, sent.type, sent.document_class, f"{sent.size:,}", decision, sent.reason)
    return table


def _log_table(result: Result) -> Table:
    sizes = ", ".join(f"{log.checkpoint.origin} at {log.checkpoint.size} entries" for log in result.logs)
    table = Table(title=f"The log, checked whole: {sizes}", title_justify="left")
    table.add_column("entry")
    table.add_column("reason")
    table.add_column("count", justify="right")
    for (entry, reason), count in sum((Counter(log.counts()) for log in result.logs), Counter()).items():
        table.add_row(entry, reason, str(count))
    table.caption = f"authorisations after a withdrawal: {sum(len(log.violations) for log in result.logs)}"
    return table


def _as_json(result: Result, trust: Trust) -> dict[str, Any]:
    return {
        "holds": result.holds,
        "patients": result.patients,
        "evidence_verified": result.verified,
        "evidence_broken": result.broken,
        "trust_fingerprint": trust.fingerprint,
        "documents": [_sent_json(sent) for sent in result.documents],
        "after_revoke": _sent_json(result.after_revoke) if result.after_revoke else None,
        "log": [
            {
                "origin": log.checkpoint.origin,
                "size": log.checkpoint.size,
                "root": log.checkpoint.root.hex(),
                "authorizations_after_revoke": list(log.violations),
            }
            for log in result.logs
        ],
    }


def _sent_json(sent: Sent) -> dict[str, Any]:
    return {
        "document": str(sent.path),
        "type": sent.type,
        "class": sent.document_class,
        "size": sent.size,
        "outcome": sent.outcome,
        "reason": sent.reason,
        "evidence": str(sent.evidence) if sent.evidence else None,
    }
