"""Why something was refused: the reason, or the fields, of the error that a call must raise."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from services.errors import AccordError, Reason


def refusal_of(call: Callable[..., Any], *arguments: Any) -> AccordError:
    """The error of a call. Raises: Failed when it answers."""
    with pytest.raises(AccordError) as caught:
        call(*arguments)
    return caught.value


async def reason_of(call: Awaitable[Any]) -> Reason:
    """The reason for which an awaited call fails."""
    with pytest.raises(AccordError) as caught:
        await call
    return caught.value.reason


def violated(call: Callable[..., Any], *arguments: Any) -> list[str]:
    """The fields that are refused, in order; each with a description."""
    error = refusal_of(call, *arguments)
    assert error.reason is Reason.FIELD_INVALID
    assert all(item.description for item in error.violations)
    return [item.field for item in error.violations]
