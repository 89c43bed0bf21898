"""Every command of the ledger, drawn in any order, against a sequential model: on the real stores, one step at a time.

What a step itself must do is in `tests.races.machine`. Between steps, what readers are shown and the advice that they get
must be the model's, revisions count by one, and a consent end once.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from services.consent import exchanges, moves
from services.consent.domain import commands as c
from services.consent.store.consents import consents_of
from services.consent.store.patients import find_profile
from services.ctl.logbook import FINAL, split_revision
from services.formats.entry import REVISING
from services.formats.rights import Purpose
from tests.races.machine_around import AroundMachine
from tests.races.world import answer_of, step
from tests.support.ledgers import RECIPIENT, SENDER
from tests.support.postgres import Postgres


class WatchedMachine(AroundMachine):
    """The machine, and what must hold whenever nothing is under way."""

    @invariant()
    def what_readers_are_shown_is_the_model_s(self) -> None:
        for address in self.addresses:
            person = self.world.people.get(address.patient)
            with self.bench.database.read() as connection:
                found = {known.consent: answer_of(known) for known in consents_of(connection, address)}
                profile = find_profile(connection, address)
            assert found == ({local: right.shown() for local, right in person.rights.items()} if person else {})
            assert profile is not None
            assert profile.status.value == (person.status if person else "ERASED")

    @invariant()
    def advice_is_the_model_s_verdict(self) -> None:
        checks = [
            c.Check(self.question(person, service, frozenset({category}), Purpose.CARE))
            for person in range(len(self.addresses))
            for service in (SENDER, RECIPIENT)
            for category in ("class:10", "class:11")
        ]
        advised: Sequence[Any] = self.call(self.bench.advice.advise(checks)).verdicts if checks else ()
        assert list(map(answer_of, advised)) == [step(self.world, item, self.now_ms).answer for item in checks]

    @invariant()
    def revisions_count_by_one_and_a_consent_ends_once(self) -> None:
        numbers: dict[str, int] = Counter()
        ended: set[str] = set()
        for seen in self.log:
            if seen.entry.type in REVISING:
                consent, number = split_revision(seen.entry.resources[0])
                numbers[consent] += 1
                assert number == numbers[consent]
                assert consent not in ended
                if seen.entry.type in FINAL:
                    ended.add(consent)


def run(fresh: Callable[[], str], examples: int, *, derandomize: bool = False) -> None:
    chosen = settings(
        max_examples=examples,
        stateful_step_count=60,
        derandomize=derandomize,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],  # a failure is shown as it was drawn: to shrink one takes minutes
    )
    machine: Any = lambda: WatchedMachine(fresh())  # noqa: E731 (the signature asks for a class)
    run_state_machine_as_test(machine, settings=chosen)


def sqlite_in(folder: Path) -> Callable[[], str]:
    numbers = itertools.count()
    return lambda: f"sqlite:///{folder / str(next(numbers))}.db"


def test_every_command_does_what_the_model_foretells_on_sqlite(tmp_path: Path) -> None:
    run(sqlite_in(tmp_path), 15)


def test_every_command_does_what_the_model_foretells_on_postgresql(postgres: Postgres) -> None:
    run(postgres.fresh, 4)


@pytest.mark.parametrize(
    ("owner", "rule"),
    [(moves.ProfileMoves, "_take_along"), (exchanges, "add_use")],
    ids=["profiles move alone", "quotas are not counted"],
)
def test_a_ledger_without_one_of_its_rules_is_caught(
    owner: Any, rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, rule, lambda *_: None)
    with pytest.raises(AssertionError):
        run(sqlite_in(tmp_path), 100, derandomize=True)
