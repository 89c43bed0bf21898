"""One core for the servers, another for the client, so that neither is measured through the other's load."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cores:
    """The two cores; the same one where the machine gives no second."""

    server: int
    client: int

    @staticmethod
    def available() -> "Cores":
        """The first two cores that this process may use."""
        usable = sorted(os.sched_getaffinity(0))
        return Cores(usable[0], usable[1 % len(usable)])

    def keep_client(self) -> None:
        """Moves this process to the client's core; call it before any thread starts."""
        os.sched_setaffinity(0, {self.client})

    @contextmanager
    def servers(self) -> Iterator[None]:
        """Processes started meanwhile, by this thread, live on the server's core."""
        os.sched_setaffinity(0, {self.server})
        try:
            yield
        finally:
            os.sched_setaffinity(0, {self.client})
