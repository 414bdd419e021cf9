"""HL7 v2 over TLS: who cannot show the right certificate gets no word in."""

import asyncio
import socket
import ssl
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from ehr_view.hl7.mllp import MllpLimits, tls_of
from server.app.settings import Settings
from server.kernel.mongo import Database
from tests.support.certificates import Authority
from tests.support.clock import ManualClock
from tests.support.hl7 import connected, intake_world, result, verdict

_ALERT = b"\x15\x03\x01\x00\x02\x02F"
"""TLS: a fatal alert, wrong version."""


async def test_messages_are_taken_over_tls_and_not_in_the_clear(database: Database, clock: ManualClock, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own = authority.vouch_for("server")
    async with intake_world(database, clock, tls=tls_of(own.certificate, own.key)) as world:
        async with connected(world.port, tls=ssl.create_default_context(cafile=authority.path)) as sender:
            assert verdict(await sender.send(result())) == ("AA", "MSG00001")
        with pytest.raises(ssl.SSLCertVerificationError):
            async with connected(world.port, tls=ssl.create_default_context()):
                pass
        async with connected(world.port) as plain:
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await plain.send(result(control="2"))
        old = ssl.create_default_context(cafile=authority.path)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
        async with connected(world.port, tls=old) as sender:
            assert verdict(await sender.send(result(control="3"))) == ("AA", "3")


async def test_who_sends_must_show_a_certificate_of_the_right_authority(
    database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    own, known, unknown = authority.vouch_for("server"), authority.vouch_for("lis"), stranger.vouch_for("other")
    tls = tls_of(own.certificate, own.key, client_authority=authority.path)
    async with intake_world(database, clock, tls=tls) as world:
        async with connected(world.port, tls=known.client(trusting=authority.path)) as sender:
            assert verdict(await sender.send(result())) == ("AA", "MSG00001")
        for context in (unknown.client(trusting=authority.path), ssl.create_default_context(cafile=authority.path)):
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                async with connected(world.port, tls=context) as sender:
                    await sender.send(result(control="2"))
        assert await database["hl7_messages"].count_documents({"hospital_id": "default"}) == 1


class _Raw:
    """Connections that speak no TLS of their own accord. All are closed at the end."""

    def __init__(self, port: int, stack: ExitStack) -> None:
        self._port = port
        self._stack = stack

    def open(self, address: str, count: int, words: bytes = b"") -> list[socket.socket]:
        """So many from this address of the machine, each with these words."""
        opened = [socket.create_connection(("127.0.0.1", self._port), source_address=(address, 0)) for _ in range(count)]
        for each in opened:
            self._stack.enter_context(each)
            each.sendall(words)
            each.setblocking(False)
        return opened


async def _is_cut(connection: socket.socket) -> bool:
    """Waits until it is."""
    with suppress(ConnectionError):
        return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(connection, 100), 10) in (b"", _ALERT)
    return True


async def test_a_handshake_under_way_is_a_connection_and_leaves_room_for_other_addresses(
    database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    own = authority.vouch_for("server")
    limits = MllpLimits(connections=8, handshake_seconds=600.0)
    with ExitStack() as stack:
        async with intake_world(database, clock, tls=tls_of(own.certificate, own.key), limits=limits) as world:
            raw = _Raw(world.port, stack)
            silent = raw.open("127.0.0.2", 12)
            for refused in silent[4:]:  # one address has half of the connections
                assert await _is_cut(refused)
            async with connected(world.port, tls=ssl.create_default_context(cafile=authority.path)) as sender:
                assert verdict(await sender.send(result())) == ("AA", "MSG00001")
                others = raw.open("127.0.0.3", 5)
                for refused in others[3:]:  # eight in all
                    assert await _is_cut(refused)
            for waiting in (*silent[:4], *others[:3]):
                with pytest.raises(BlockingIOError):
                    waiting.recv(1)


@pytest.mark.parametrize("words", [b"", b"\x16\x03\x01\x02\x00"], ids=["nothing", "a beginning"])
async def test_a_handshake_that_never_ends_is_cut_and_its_place_is_free_again(
    database: Database, clock: ManualClock, tmp_path: Path, words: bytes
) -> None:
    authority = Authority(tmp_path)
    own = authority.vouch_for("server")
    limits = MllpLimits(connections=8, handshake_seconds=0.05)
    with ExitStack() as stack:
        async with intake_world(database, clock, tls=tls_of(own.certificate, own.key), limits=limits) as world:
            for _ in range(3):  # more than one address may have at once
                for connection in _Raw(world.port, stack).open("127.0.0.1", 4, words):
                    assert await _is_cut(connection)


async def test_who_speaks_no_tls_is_cut_at_once(database: Database, clock: ManualClock, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own = authority.vouch_for("server")
    limits = MllpLimits(connections=2, handshake_seconds=600.0)
    with ExitStack() as stack:
        async with intake_world(database, clock, tls=tls_of(own.certificate, own.key), limits=limits) as world:
            for _ in range(3):
                (clear,) = _Raw(world.port, stack).open("127.0.0.1", 1, b"\x0bMSH|^~\\&|LIS\x1c\r")
                assert await _is_cut(clear)
            async with connected(world.port, tls=ssl.create_default_context(cafile=authority.path)) as sender:
                assert verdict(await sender.send(result())) == ("AA", "MSG00001")


@pytest.mark.parametrize(
    ("named", "missing"),
    [("HL7_TLS_CERTIFICATE_FILE", "set together"), ("HL7_TLS_KEY_FILE", "set together"), ("HL7_TLS_CLIENT_CA_FILE", "needs")],
)
def test_half_a_setting_is_refused(monkeypatch: pytest.MonkeyPatch, named: str, missing: str) -> None:
    monkeypatch.setenv(f"YZ_{named}", "/nowhere.pem")
    with pytest.raises(ValueError, match=missing):
        Settings()
