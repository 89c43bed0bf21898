"""The connection that seeding gives the ledger's handlers, so that thousands of new patients cost a few statements.

Guarantees that handlers which ask about a new patient hear what the database would say, and that what they insert is
inserted, row for row, in one statement a table. Leaves any other statement unanswered: it raises.
"""

from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection

from services.consent import locked
from services.consent.domain.lifecycle import ProfileStatus
from services.consent.store import consents, patients


class Newcomers:
    """Stands for `connection` while new patients are written under the lock."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: dict[Any, list[dict[str, Any]]] = {}
        self._subjects: dict[tuple[int, str], str] = {}
        profile = SimpleNamespace(status=ProfileStatus.ACTIVE.value, opens_ms=None, majority_ms=None)
        self._reads: Mapping[Any, Callable[[Mapping[str, Any]], Any]] = {
            patients._FIND_PATIENT: lambda _: None,
            patients._FIND_ALIAS: lambda _: None,
            patients._READ_PROFILE: lambda _: profile,
            patients._FIND_SUBJECT: lambda values: self._subjects.get((values["patient"], values["service"])),
            consents._FIND_REQUEST: lambda _: None,
            consents._MEASURE_OTHERS: lambda _: (0, 0),
            locked._FIND_KEYS: lambda _: None,
        }

    def execute(self, statement: Any, values: Any) -> "_Answer":
        """Answers a read; keeps the rows of an insert. Raises: KeyError for what is neither."""
        if not statement.is_insert:
            return _Answer(self._reads[statement](values))
        rows = values if isinstance(values, list) else [values]
        self._rows.setdefault(statement, []).extend(rows)
        if statement is patients._ADD_PAIRING:
            self._subjects |= {(row["patient"], row["service"]): row["subject"] for row in rows}
        return _Answer(None)

    def flush(self) -> None:
        """Inserts everything kept."""
        for statement, rows in self._rows.items():
            self._connection.execute(statement, rows)


class _Answer:
    """One value, or none, in the shapes that a result has."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def scalar(self) -> Any:
        return self._value

    scalar_one = one_or_none = one = scalar

    def __iter__(self) -> Iterator[Any]:
        return iter(() if self._value is None else (self._value,))
