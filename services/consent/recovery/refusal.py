"""Why a recovery is refused."""

from services.chassis.config import ConfigError


class RecoveryError(ConfigError):
    """The ledger cannot be recovered from this; the message says why."""
