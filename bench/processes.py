"""Starting the processes of a stack on the servers' core, and bare servers beside them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.cores import Cores
from services.ctl.stack import ROOT, Stack, StackError, environment


def start(cores: Cores, stack: Stack, name: str) -> None:
    """Starts one of a stack's services and waits until it serves. Raises: StackError."""
    with cores.servers():
        stack.start_one(name)
    stack.wait_serving(name)


@contextmanager
def bare(stack: Stack, role: str, leaf: str, *flags: str) -> Iterator[str]:
    """A bare server under one of the stack's leaves, as host:port, until the block ends. Raises: StackError."""
    files = stack.tls(leaf)
    command = [sys.executable, "-m", "bench.bare", role, *flags]
    command += ["--cert", str(files.cert), "--key", str(files.key), "--ca", str(files.ca)]
    with (stack.folder / "logs" / f"bare-{role}.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, cwd=ROOT, env=environment())
    try:
        line = process.stdout.readline() if process.stdout else b""
        if not line:
            raise StackError(f"the bare {role} does not start: see {log.name}")
        yield f"127.0.0.1:{json.loads(line)['listening']}"
    finally:
        process.terminate()
        process.communicate()
