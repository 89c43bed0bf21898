"""How far the logs are known to reach, the tokens that say so, and how fresh an answer has to be (Zanzibar's consistency).

Guarantees that a token names only what was read as committed, and no less than what the answer that bears it rests on. It
is no snapshot: no two shards were read at one instant. Leaves to `advice` where to read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

from services.consent.domain.vector import Vector


@dataclass(frozen=True, slots=True)
class Consistency:
    """At least what `least` has seen (None: anything will do); with `primary`, everything committed before the call."""

    least: Vector | None = None
    primary: bool = False


ANY, LATEST = Consistency(), Consistency(primary=True)


class Horizon:
    """The largest committed size seen of each log, for the threads that read and the one that writes."""

    def __init__(self, epoch: int, shards: int) -> None:
        self._lock, self._known = Lock(), Vector(epoch, (0,) * shards)
        self._text = self._known.text

    @property
    def epoch(self) -> int:
        """Which life of the logs this is."""
        return self._known.epoch

    @property
    def shards(self) -> int:
        """How many logs there are."""
        return len(self._known.sizes)

    def reached(self, shard: int, size: int) -> str:
        """Notes a size that was read as committed; answers the token of all that is known."""
        if size <= self._known.sizes[shard]:
            return self._text
        with self._lock:
            return self._learn(self._with({shard: size}))

    def learn(self, sizes: Sequence[int]) -> None:
        """Notes the sizes of all logs."""
        with self._lock:
            self._learn(self._with(dict(enumerate(sizes))))

    def token(self, sizes: Mapping[int, int]) -> str:
        """The token of all that is known, and of these sizes, which may be another database's."""
        known = self._known.sizes
        if all(size <= known[shard] for shard, size in sizes.items()):
            return self._text
        return self._with(sizes).text

    def covers(self, vector: Vector) -> bool:
        """Whether all that a vector of this epoch and these shards names is known to be committed."""
        return all(map(int.__le__, vector.sizes, self._known.sizes))

    def _with(self, sizes: Mapping[int, int]) -> Vector:
        known = self._known
        return Vector(known.epoch, tuple(max(size, sizes.get(shard, 0)) for shard, size in enumerate(known.sizes)))

    def _learn(self, vector: Vector) -> str:
        if vector != self._known:
            # The text first: who sees a size must find it in the text.
            self._text = vector.text
            self._known = vector
        return self._text
