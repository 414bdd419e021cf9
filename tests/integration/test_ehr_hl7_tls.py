"""HL7 v2 over TLS: who cannot show the right certificate gets no word in."""

import asyncio
import ssl
from pathlib import Path

import pytest

from ehr_view.hl7.mllp import tls_of
from server.app.settings import Settings
from server.kernel.mongo import Database
from tests.support.certificates import Authority
from tests.support.clock import ManualClock
from tests.support.hl7 import connected, intake_world, result, verdict


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


async def test_a_handshake_that_never_ends_holds_up_nobody(database: Database, clock: ManualClock, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own = authority.vouch_for("server")
    async with intake_world(database, clock, tls=tls_of(own.certificate, own.key)) as world:
        silent = [await asyncio.open_connection("127.0.0.1", world.port) for _ in range(40)]
        async with connected(world.port, tls=ssl.create_default_context(cafile=authority.path)) as sender:
            assert verdict(await sender.send(result())) == ("AA", "MSG00001")
        for _, writer in silent:
            writer.close()


@pytest.mark.parametrize(
    ("named", "missing"),
    [("HL7_TLS_CERTIFICATE_FILE", "set together"), ("HL7_TLS_KEY_FILE", "set together"), ("HL7_TLS_CLIENT_CA_FILE", "needs")],
)
def test_half_a_setting_is_refused(monkeypatch: pytest.MonkeyPatch, named: str, missing: str) -> None:
    monkeypatch.setenv(f"YZ_{named}", "/nowhere.pem")
    with pytest.raises(ValueError, match=missing):
        Settings()
