"""ExchangeService: converts frames in and the answer out; the broker does the rest."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc
from accord.exchange.v1 import exchange_service_pb2, exchange_service_pb2_grpc

from services.chassis.identity import current_caller
from services.chassis.server import Endpoint
from services.errors import AccordError, Reason
from services.exchange import convert
from services.exchange.broker import Broker
from services.exchange.domain.frames import Frame


class ExchangeServicer(exchange_service_pb2_grpc.ExchangeServiceServicer):
    """Serves referenced services."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def SendBundle(
        self, request_iterator: Any, context: grpc.ServicerContext
    ) -> exchange_service_pb2.SendBundleResponse:
        """Sends one bundle for the service that the caller's certificate names."""
        service = current_caller().service
        if service is None:
            raise AccordError(Reason.RPC_NOT_ALLOWED)
        return convert.answer_message(await self._broker.send(f"services/{service}", _frames(request_iterator)))


def endpoint(broker: Broker) -> Endpoint:
    """The service as a server adds it."""
    add = partial(exchange_service_pb2_grpc.add_ExchangeServiceServicer_to_server, ExchangeServicer(broker))
    return Endpoint(exchange_service_pb2.DESCRIPTOR.services_by_name["ExchangeService"], add)


async def _frames(requests: AsyncIterator[exchange_service_pb2.SendBundleRequest]) -> AsyncIterator[Frame]:
    async for request in requests:
        yield convert.frame(request)
