"""Channels that outlive their certificate: what a rotation, half done or done, means to those who call."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from services.chassis.channels import Channels
from services.chassis.identity import Identity
from services.chassis.tls import TlsFiles
from services.errors import AccordError, Reason
from tests.support.certificates import Site

TARGET = "127.0.0.1:1"


class Leaf:
    """A process's leaf, its channels, and the two files of the next leaf."""

    def __init__(self, folder: Path) -> None:
        self.site = Site(folder)
        self.peer: Identity = self.site.identity("/registry")
        self.files: TlsFiles = self.site.files("/exchange")
        self.channels = Channels(self.files)
        other = self.site.files("/other")
        self.cert, self.key = other.cert.read_bytes(), other.key.read_bytes()

    def open(self) -> grpc.aio.Channel:
        return self.channels.to(TARGET, self.peer)


@pytest.fixture
async def leaf(tmp_path: Path) -> AsyncIterator[Leaf]:
    one = Leaf(tmp_path)
    yield one
    await one.channels.close()


async def test_a_channel_is_kept_until_the_certificate_changes(leaf: Leaf) -> None:
    first = leaf.open()
    assert leaf.open() is first
    leaf.files.key.write_bytes(leaf.key)
    leaf.files.cert.write_bytes(leaf.cert)
    second = leaf.open()
    assert second is not first
    assert leaf.open() is second


@pytest.mark.parametrize("half", ["another's certificate", "no certificate", "half a certificate"])
async def test_a_rotation_that_is_half_done_keeps_the_channel_and_warns_once(
    leaf: Leaf, half: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = leaf.open()
    match half:
        case "another's certificate":
            leaf.files.cert.write_bytes(leaf.cert)
        case "no certificate":
            leaf.files.cert.unlink()
        case "half a certificate":
            leaf.files.cert.write_bytes(leaf.cert[:-60])
    assert [leaf.open(), leaf.open()] == [first, first]
    assert [line.levelname for line in caplog.records] == ["WARNING"]
    leaf.files.cert.write_bytes(leaf.cert)
    leaf.files.key.write_bytes(leaf.key)
    assert leaf.open() is not first


async def test_a_first_channel_with_unusable_files_is_unavailable_until_they_are_usable(leaf: Leaf) -> None:
    leaf.files.cert.write_bytes(leaf.cert)
    with pytest.raises(AccordError) as raised:
        leaf.open()
    assert raised.value.reason is Reason.STORAGE_UNAVAILABLE
    leaf.files.key.write_bytes(leaf.key)
    assert leaf.open() is leaf.open()
