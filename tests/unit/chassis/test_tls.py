"""Certificate files: what is refused at the start, and what a running server does when they change."""

from pathlib import Path

import pytest

from services.chassis.config import ConfigError
from services.chassis.tls import (
    TlsFiles,
    _Reloading,
    channel_credentials,
    leaf_identity,
    server_credentials,
)
from tests.support.certificates import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def _spoil(files: TlsFiles, site: Site, how: str) -> None:
    match how:
        case "no certificate":
            files.cert.unlink()
        case "no key":
            files.key.unlink()
        case "no roots":
            files.ca.write_bytes(b"")
        case "garbled certificate":
            files.cert.write_bytes(files.cert.read_bytes()[:-60])
        case "another's key":
            files.key.write_bytes(site.files("/other").key.read_bytes())


SPOILT = ["no certificate", "no key", "no roots", "garbled certificate", "another's key"]


@pytest.mark.parametrize("how", SPOILT)
def test_unusable_files_stop_the_start(site: Site, how: str) -> None:
    files = site.files("/registry")
    _spoil(files, site, how)
    for load in (server_credentials, channel_credentials, leaf_identity):
        with pytest.raises(ConfigError):
            load(files)


@pytest.mark.parametrize("how", SPOILT)
def test_a_running_server_keeps_its_pair_when_the_new_one_is_unusable(
    site: Site, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    files = site.files("/registry")
    source = _Reloading(files)
    _spoil(files, site, how)
    assert source.changed() is None
    assert "the old one stays" in caplog.text
    site.files("/registry")
    assert source.changed() is not None


def test_unchanged_files_are_not_read_again(site: Site) -> None:
    source = _Reloading(site.files("/registry"))
    assert source.changed() is None
    site.files("/registry")
    assert source.changed() is not None
    assert source.changed() is None


def test_a_leaf_tells_its_identity(site: Site) -> None:
    files = site.files("/service/lumen")
    assert leaf_identity(files) == site.identity("/service/lumen")


@pytest.mark.parametrize("name", ["two_uri_sans", "cn_portal", "percent", "no_name_at_all"])
def test_a_process_without_a_proper_identity_does_not_start(site: Site, name: str) -> None:
    with pytest.raises(ConfigError, match="exactly one URI SAN"):
        leaf_identity(site.bad(name))
