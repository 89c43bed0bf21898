"""The enums of the contract and of the domain, one to one."""

from collections.abc import Mapping
from types import MappingProxyType

from accord.registry.v1 import registry_pb2 as pb

from services.formats.lease import Status
from services.formats.rights import Direction, Purpose

DIRECTIONS: Mapping[pb.Direction.ValueType, Direction] = MappingProxyType(
    {pb.DIRECTION_READ: Direction.READ, pb.DIRECTION_DEPOSIT: Direction.DEPOSIT}
)
PURPOSES: Mapping[pb.Purpose.ValueType, Purpose] = MappingProxyType(
    {
        pb.PURPOSE_PREVENTION: Purpose.PREVENTION,
        pb.PURPOSE_DIAGNOSIS: Purpose.DIAGNOSIS,
        pb.PURPOSE_CARE: Purpose.CARE,
        pb.PURPOSE_SOCIAL_FOLLOW_UP: Purpose.SOCIAL_FOLLOW_UP,
    }
)
STATUSES: Mapping[Status, pb.ServiceStatus.ValueType] = MappingProxyType(
    {
        Status.APPLIED: pb.SERVICE_STATUS_APPLIED,
        Status.REFERENCED_WITHOUT_EXCHANGE: pb.SERVICE_STATUS_REFERENCED_WITHOUT_EXCHANGE,
        Status.REFERENCED_WITH_EXCHANGE: pb.SERVICE_STATUS_REFERENCED_WITH_EXCHANGE,
        Status.SUSPENDED: pb.SERVICE_STATUS_SUSPENDED,
    }
)
