"""Attaching, sealing and cleaning up, in the real database."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256

import pytest

from media.contents import BUCKET, GridContents
from media.domain import (
    Encoded,
    Encoding,
    Format,
    MediaKind,
    MediaState,
    Medium,
    NewMedium,
    Owner,
    OwnerKind,
    Purpose,
    Rendition,
)
from media.errors import MediaDamaged, MediaLinkRefused, MediaNotFound, MediaTooLarge, MediaUnattachedFull, MediaUnsupported
from media.links import LinkSigner
from media.mongo import INDEXES, OUTBOXES, UPLOADS, MongoMedia
from media.ports import MEDIA
from media.service import MediaService
from media.tasks import jobs
from server.kernel.actor import PLATFORM, Actor, Role
from server.kernel.audit import AUDIT, AuditLog
from server.kernel.audit import INDEXES as AUDIT_INDEXES
from server.kernel.crypto import KEYS, Damaged, Keyring, MasterKey, SealingKey
from server.kernel.errors import IdempotencyMismatch, RequestInvalid, Unavailable
from server.kernel.ids import new_id
from server.kernel.mongo import Database
from server.kernel.outbox import Event, Relay, event_of
from tests.support.clock import ManualClock
from tests.support.indexes import make_indexes
from tests.support.media_files import image_file, voice_file

PATIENT = Actor("a" * 32, Role.PATIENT, PLATFORM, "r1")
OTHER = Actor("b" * 32, Role.PATIENT, PLATFORM, "r2")
DOCTOR = Actor("d" * 32, Role.DOCTOR, "default", "r3")
FOREIGN_DOCTOR = Actor("e" * 32, Role.DOCTOR, "elsewhere", "r4")
CONVERSATION, ORDER = new_id(), new_id()


class Codecs:
    """Keeps what comes: the real ones have tests of their own."""

    async def encode(self, data: bytes, found: Format) -> Encoded:
        if found is Format.JPEG:
            small = Encoding("image/jpeg", data[:100])
            renditions = {Rendition.ORIGINAL: Encoding("image/jpeg", data), Rendition.THUMBNAIL: small}
            return Encoded(MediaKind.IMAGE, renditions, width=64, height=48)
        renditions = {Rendition.M4A: Encoding("audio/mp4", data), Rendition.OPUS: Encoding("audio/ogg", data[::-1])}
        return Encoded(MediaKind.VOICE, renditions, duration_ms=1_500)

    async def close(self) -> None: ...


@dataclass
class Owners:
    """Shows to these accounts all that is attached, and remembers what it was asked."""

    seen_by: set[str] = field(default_factory=set)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    away: set[str] = field(default_factory=set)

    async def may_see(self, actor: Actor, owner_kind: str, owner_id: str, media_id: str) -> bool:
        self.asked.append((owner_kind, owner_id, media_id))
        return actor.account_id in self.seen_by

    async def names(self, owner_kind: str, owner_id: str, media_id: str) -> bool:
        self.asked.append((owner_kind, owner_id, media_id))
        if media_id in self.away:
            raise Unavailable
        return media_id in self.named


@dataclass
class World:
    service: MediaService
    store: MongoMedia
    owners: Owners
    relay: Relay
    database: Database
    clock: ManualClock

    async def picture(self, actor: Actor = PATIENT, data: bytes | None = None) -> Medium:
        return await self.service.upload(actor, new_id(), Purpose.MESSAGE, data or image_file())

    async def claim(self, medium: Medium, *, actor: Actor = PATIENT, to: str = CONVERSATION, kind: str = "image") -> None:
        await self.service.claim_for_conversation(actor, "default", to, {medium.id: kind})

    async def get(self, medium: Medium) -> Medium:
        found = await self.store.find(medium.id, None)
        assert found is not None
        return found

    async def audited(self, **where: object) -> list[tuple[str, str, str | None]]:
        await self.relay.close()
        return sorted([(row["action"], row["outcome"], row["order_id"]) async for row in self.database[AUDIT].find(where)])

    async def counts(self) -> tuple[int, int, int, int]:
        """Documents, uploads under way, files, chunks."""
        names = (MEDIA, UPLOADS, f"{BUCKET}.files", f"{BUCKET}.chunks")
        documents, uploads, files, chunks = [await self.database[n].count_documents({}) for n in names]
        return documents, uploads, files, chunks


@pytest.fixture
async def world(database: Database, clock: ManualClock) -> AsyncIterator[World]:
    await make_indexes(database, INDEXES, AUDIT_INDEXES)
    audit = AuditLog(database)
    relay = Relay(database, audit)
    relay.watch(*OUTBOXES)
    store, owners = MongoMedia(database, Keyring(MasterKey(bytes(32)), database)), Owners()
    service = MediaService(store, Codecs(), owners, LinkSigner(bytes(32)), audit, relay, clock)
    yield World(service, store, owners, relay, database, clock)
    await relay.close()
    await service.close()


async def _read(world: World, medium: Medium, rendition: Rendition = Rendition.ORIGINAL) -> bytes:
    fresh = await world.get(medium)
    return await world.store.read(fresh, rendition, 0, fresh.renditions[rendition].bytes)


async def test_an_upload_is_stored_sealed_and_told_of_once(world: World) -> None:
    data = image_file()
    medium = await world.picture(data=data)
    assert (medium.kind, medium.hospital_id, medium.state, medium.owner) == (
        MediaKind.IMAGE,
        PLATFORM,
        MediaState.UNATTACHED,
        None,
    )
    assert medium.sha256 == sha256(data).hexdigest()
    assert await _read(world, medium) == data
    assert await _read(world, medium, Rendition.THUMBNAIL) == data[:100]
    chunks = [chunk["data"] async for chunk in world.database[f"{BUCKET}.chunks"].find()]
    assert not any(data[16:48] in chunk for chunk in chunks)
    assert await world.audited(subject=medium.id) == [("media.uploaded", "ok", None)]
    assert await world.counts() == (1, 0, 2, 2)


async def test_a_refused_upload_leaves_nothing(world: World) -> None:
    large = b"\xff\xd8\xff" + bytes(20 * 1024 * 1024)
    for data, error in ((b"", MediaDamaged), (b"<svg/>", MediaUnsupported), (large, MediaTooLarge)):
        with pytest.raises(error):
            await world.service.upload(PATIENT, new_id(), Purpose.MESSAGE, data)
    assert await world.counts() == (0, 0, 0, 0)


async def test_the_same_upload_with_the_same_id_is_one_medium_and_another_is_a_mismatch(world: World) -> None:
    media_id = new_id()
    uploads = [world.service.upload(PATIENT, media_id, Purpose.MESSAGE, image_file()) for _ in range(4)]
    media = await asyncio.gather(*uploads)
    assert {m.renditions[Rendition.ORIGINAL].content_id for m in media} == {media[0].renditions[Rendition.ORIGINAL].content_id}
    assert await world.counts() == (1, 0, 2, 2)
    await world.claim(media[0])
    assert (await world.service.upload(PATIENT, media_id, Purpose.MESSAGE, image_file())).state is MediaState.ATTACHED
    for actor, purpose, data in (
        (PATIENT, Purpose.MESSAGE, image_file(size=(65, 48))),
        (PATIENT, Purpose.COMPLAINT, image_file()),
        (OTHER, Purpose.MESSAGE, image_file()),
    ):
        with pytest.raises(IdempotencyMismatch):
            await world.service.upload(actor, media_id, purpose, data)
    assert await world.counts() == (1, 0, 2, 2)


async def test_a_claim_gives_the_medium_to_its_conversation_and_that_hospital(world: World) -> None:
    medium = await world.picture()
    await world.claim(medium)
    await world.claim(medium)
    attached = await world.get(medium)
    assert (attached.owner, attached.hospital_id, attached.state, attached.version) == (
        Owner(OwnerKind.CONVERSATION, CONVERSATION),
        "default",
        MediaState.ATTACHED,
        2,
    )
    assert await _read(world, medium) == image_file()
    assert await world.audited(subject=medium.id) == [("media.claimed", "ok", None), ("media.uploaded", "ok", None)]


async def test_an_order_takes_pictures_only_and_its_rows_name_it(world: World) -> None:
    medium = await world.picture()
    voice = await world.service.upload(PATIENT, new_id(), Purpose.COMPLAINT, voice_file("m4a"))
    with pytest.raises(MediaNotFound):
        await world.service.claim_for_order(PATIENT, "default", ORDER, [medium.id, voice.id])
    assert (await world.get(medium)).owner is None
    await world.service.claim_for_order(PATIENT, "default", ORDER, [medium.id, medium.id])
    assert (await world.get(medium)).owner == Owner(OwnerKind.ORDER, ORDER)
    assert await world.audited(order_id=ORDER) == [("media.claimed", "denied", ORDER), ("media.claimed", "ok", ORDER)]


async def test_only_the_uploader_attaches_and_a_refusal_is_audited(world: World) -> None:
    medium = await world.picture()
    for actor in (OTHER, DOCTOR):
        with pytest.raises(MediaNotFound):
            await world.claim(medium, actor=actor)
    for media_id, kind in ((medium.id, "voice"), (new_id(), "image"), ("nonsense", "image"), (medium.id, "card")):
        with pytest.raises(MediaNotFound):
            await world.service.claim_for_conversation(PATIENT, "default", CONVERSATION, {media_id: kind})
    assert (await world.get(medium)).owner is None
    assert await world.audited(outcome="denied") == [("media.claimed", "denied", None)] * 6
    assert await world.database[AUDIT].count_documents({"subject": "nonsense"}) == 0


async def test_of_two_conversations_at_once_one_gets_the_medium(world: World) -> None:
    for _ in range(8):
        medium = await world.picture()
        homes = [new_id(), new_id()]
        outcomes = await asyncio.gather(*(world.claim(medium, to=home) for home in homes), return_exceptions=True)
        assert sorted(type(o).__name__ for o in outcomes) == ["MediaNotFound", "NoneType"]
        winner = homes[outcomes.index(None)]
        assert (await world.get(medium)).owner == Owner(OwnerKind.CONVERSATION, winner)
        assert await _read(world, medium) == image_file()


async def test_the_same_claim_many_times_at_once_is_one(world: World) -> None:
    medium = await world.picture()
    await asyncio.gather(*(world.claim(medium) for _ in range(10)))
    assert await world.audited(action="media.claimed") == [("media.claimed", "ok", None)]


async def test_before_it_is_attached_only_its_uploader_sees_a_medium(world: World) -> None:
    medium = await world.picture()
    link = await world.service.create_link(PATIENT, medium.id, None)
    assert (link.rendition, link.expires_in_seconds) == (Rendition.ORIGINAL, 60)
    for actor in (OTHER, DOCTOR, FOREIGN_DOCTOR):
        with pytest.raises(MediaNotFound):
            await world.service.create_link(actor, medium.id, None)
    assert world.owners.asked == []
    viewed = await world.audited(action="media.viewed")
    assert [outcome for _, outcome, _ in viewed] == ["denied"] * 3 + ["ok"]


async def test_once_attached_the_owner_is_asked_at_every_link_and_every_fetch(world: World) -> None:
    medium = await world.picture()
    await world.claim(medium)
    with pytest.raises(MediaNotFound):
        await world.service.create_link(PATIENT, medium.id, None)
    world.owners.seen_by |= {PATIENT.account_id, DOCTOR.account_id, FOREIGN_DOCTOR.account_id}
    for actor in (PATIENT, DOCTOR):
        link = await world.service.create_link(actor, medium.id, Rendition.THUMBNAIL)
        content = await world.service.access_content(actor, medium.id, "thumbnail", link.token)
        assert await world.service.read(content, 0, 10) == image_file()[:10]
    assert world.owners.asked == [("conversation", CONVERSATION, medium.id)] * 5
    world.owners.seen_by.clear()
    with pytest.raises(MediaNotFound):
        await world.service.access_content(DOCTOR, medium.id, "thumbnail", link.token)
    assert ("media.fetched", "denied", None) in await world.audited(subject=medium.id)


async def test_a_doctor_of_another_hospital_finds_nothing_whatever_the_owner_says(world: World) -> None:
    medium = await world.picture()
    await world.claim(medium)
    world.owners.seen_by.add(FOREIGN_DOCTOR.account_id)
    with pytest.raises(MediaNotFound):
        await world.service.create_link(FOREIGN_DOCTOR, medium.id, None)
    assert world.owners.asked == []


async def test_a_link_is_of_one_account_and_lasts_a_minute(world: World) -> None:
    medium = await world.picture()
    link = await world.service.create_link(PATIENT, medium.id, None)
    for actor, rendition, token in (
        (OTHER, "original", link.token),
        (PATIENT, "thumbnail", link.token),
        (PATIENT, "nonsense", link.token),
        (PATIENT, "original", link.token[:-2]),
        (PATIENT, "original", ""),
    ):
        with pytest.raises(MediaLinkRefused):
            await world.service.access_content(actor, medium.id, rendition, token)
    world.clock.advance(timedelta(seconds=60) - timedelta(milliseconds=1))
    await world.service.access_content(PATIENT, medium.id, "original", link.token)
    world.clock.advance(timedelta(milliseconds=1))
    with pytest.raises(MediaLinkRefused):
        await world.service.access_content(PATIENT, medium.id, "original", link.token)


async def test_a_rendition_that_a_medium_has_not_is_no_link(world: World) -> None:
    medium = await world.picture()
    with pytest.raises(RequestInvalid):
        await world.service.create_link(PATIENT, medium.id, Rendition.OPUS)


async def test_erasing_a_conversation_erases_its_media(world: World) -> None:
    medium = await world.picture()
    await world.claim(medium)
    await world.database[KEYS].delete_one({"_id": f"conversation:{CONVERSATION}"})
    later = MongoMedia(world.database, Keyring(MasterKey(bytes(32)), world.database))
    with pytest.raises(MediaNotFound):
        await later.read(await world.get(medium), Rendition.ORIGINAL, 0, 1)


async def test_unattached_media_go_after_a_day_and_attached_ones_stay(world: World) -> None:
    old, kept = await world.picture(), await world.picture()
    await world.claim(kept)
    world.clock.advance(timedelta(hours=24))
    fresh = await world.picture()
    remove = next(job for job in jobs(world.service) if job.name == "media.remove_unattached")
    await remove.handler()
    assert (await world.store.find(old.id, None)) is not None
    world.clock.advance(timedelta(milliseconds=1))
    await remove.handler()
    await world.relay.close()
    with pytest.raises(MediaNotFound):
        await world.service.create_link(PATIENT, old.id, None)
    with pytest.raises(MediaNotFound):
        await world.claim(old)
    await remove.handler()
    assert await world.store.find(old.id, None) is None
    assert {m.id for m in (await world.get(kept), await world.get(fresh))} == {kept.id, fresh.id}
    assert await world.counts() == (2, 0, 4, 4)
    assert ("media.removed", "ok", None) in await world.audited(subject=old.id)


async def test_what_was_attached_and_is_shown_nowhere_goes_after_a_day_and_what_is_shown_is_looked_after_once(
    world: World,
) -> None:
    shown, lost = await world.picture(), await world.picture()
    for medium in (shown, lost):
        await world.claim(medium)
    world.owners.named = {shown.id}
    world.clock.advance(timedelta(hours=24) - timedelta(milliseconds=1))
    await world.service.remove_unshown()
    assert world.owners.asked == []
    world.clock.advance(timedelta(milliseconds=1))
    await world.service.remove_unshown()
    assert (await world.get(lost)).state is MediaState.LAPSED
    with pytest.raises(MediaNotFound):
        await world.claim(lost)
    with pytest.raises(MediaNotFound):
        await world.service.create_link(PATIENT, lost.id, None)
    world.clock.advance(timedelta(hours=1))
    world.owners.asked.clear()
    await world.service.remove_unshown()
    await world.relay.close()
    await world.service.remove_unattached()
    assert await world.store.find(lost.id, None) is None
    assert (await world.get(shown)).state is MediaState.ATTACHED
    assert world.owners.asked == [("conversation", CONVERSATION, lost.id)]
    assert await world.counts() == (1, 0, 2, 2)
    assert ("media.removed", "ok", None) in await world.audited(subject=lost.id)


async def test_a_message_that_was_under_way_when_its_medium_lapsed_gets_it_back(world: World) -> None:
    data = image_file()
    medium = await world.picture(data=data)
    await world.claim(medium)
    world.clock.advance(timedelta(hours=24))
    await world.service.remove_unshown()
    world.owners.named = {medium.id}  # its entry came into the log after the look
    world.clock.advance(timedelta(hours=1))
    await world.service.remove_unshown()
    await world.service.remove_unattached()
    assert (await world.get(medium)).state is MediaState.ATTACHED
    assert await _read(world, medium) == data


async def test_an_owner_that_cannot_be_asked_costs_no_medium_and_keeps_no_other_from_its_turn(world: World) -> None:
    unknown, lost = await world.picture(), await world.picture()
    for medium in (unknown, lost):
        await world.claim(medium)
    world.owners.away = {unknown.id}
    for hours in (24, 1, 1):
        world.clock.advance(timedelta(hours=hours))
        await world.service.remove_unshown()
    assert (await world.get(unknown)).state is MediaState.ATTACHED
    assert (await world.get(lost)).state is MediaState.REMOVING


async def test_a_claim_and_the_removal_of_a_medium_have_one_winner(world: World) -> None:
    for _ in range(8):
        medium = await world.picture()
        world.clock.advance(timedelta(hours=25))
        claim, _ = await asyncio.gather(world.claim(medium), world.service.remove_unattached(), return_exceptions=True)
        await world.relay.close()
        await world.service.remove_unattached()
        left = await world.store.find(medium.id, None)
        if claim is None:
            assert left is not None
            assert left.state is MediaState.ATTACHED
            assert await _read(world, medium) == image_file()
        else:
            assert (type(claim), left) == (MediaNotFound, None)


def _new(world: World, data: bytes) -> tuple[NewMedium, Event]:
    renditions = {Rendition.ORIGINAL: Encoding("image/jpeg", data)}
    encoded = Encoded(MediaKind.IMAGE, renditions, width=1, height=1)
    new = NewMedium(new_id(), PLATFORM, PATIENT.account_id, Purpose.MESSAGE, encoded, created_at=world.clock.now())
    return new, event_of(PATIENT, "media.uploaded", subject=new.id, at=world.clock.now())


async def test_what_a_crash_left_of_an_upload_is_removed(world: World) -> None:
    new, _ = _new(world, b"x")
    await world.store._begin(new, content_ids := [new_id(), new_id()])
    contents, key = GridContents(world.database), SealingKey(bytes(32))
    await contents.write(content_ids[0], bytes(300_000), key, {})
    await contents.write(content_ids[1], bytes(300_000), key, {})
    await world.database[f"{BUCKET}.files"].delete_one({"_id": content_ids[1]})
    await world.service.remove_unfinished()
    assert await world.counts() == (0, 1, 1, 4)
    world.clock.advance(timedelta(hours=1, milliseconds=1))
    await world.service.remove_unfinished()
    assert await world.counts() == (0, 0, 0, 0)


async def test_an_upload_that_was_given_up_does_not_finish(world: World) -> None:
    new, event = _new(world, b"x" * 1_000_000)
    upload = asyncio.create_task(world.store.add(new, b"upload", event))
    while not await world.database[UPLOADS].count_documents({}):
        await asyncio.sleep(0)
    await world.database[UPLOADS].update_many({}, {"$set": {"given_up": True}})
    with pytest.raises(Unavailable):
        await upload
    await world.store.remove_unfinished(world.clock.now() + timedelta(hours=2), 10)
    assert await world.counts() == (0, 0, 0, 0)


async def test_any_range_of_a_long_content_is_what_was_written(world: World) -> None:
    contents, key = GridContents(world.database), SealingKey(bytes(32))
    data = random.Random(7).randbytes(700_001)
    await contents.write("c", data, key, {})
    piece = 256 * 1024
    for start, stop in (
        (0, len(data)),
        (0, 1),
        (piece - 1, piece + 1),
        (piece, 2 * piece),
        (piece + 5, len(data)),
        (len(data) - 1, len(data)),
        (9, 9),
    ):
        assert await contents.read("c", key, start, stop) == data[start:stop]
    for bad_key, name in ((SealingKey(b"\x01" * 32), "c"), (key, "missing")):
        with pytest.raises(Damaged):
            await contents.read(name, bad_key, 0, 10)


async def test_pieces_of_a_content_cannot_change_places_or_be_cut_off(world: World) -> None:
    contents, key = GridContents(world.database), SealingKey(bytes(32))
    await contents.write("c", bytes(600_000), key, {})
    chunks = world.database[f"{BUCKET}.chunks"]
    second = await chunks.find_one({"files_id": "c", "n": 1})
    assert second is not None
    await chunks.update_one({"files_id": "c", "n": 0}, {"$set": {"data": second["data"]}})
    with pytest.raises(Damaged):
        await contents.read("c", key, 0, 10)


async def test_an_account_keeps_a_bounded_size_of_unattached_media_and_attached_ones_take_none_of_it(world: World) -> None:
    audit, signer = AuditLog(world.database), LinkSigner(bytes(32))
    medium = await world.picture()
    size = sum(stored.bytes for stored in medium.renditions.values())
    bound = size * 2
    service = MediaService(world.store, Codecs(), world.owners, signer, audit, world.relay, world.clock, unattached_bytes=bound)
    await service.upload(PATIENT, new_id(), Purpose.MESSAGE, image_file())
    for _ in range(2):
        with pytest.raises(MediaUnattachedFull) as refusal:
            await service.upload(PATIENT, new_id(), Purpose.MESSAGE, image_file())
        assert refusal.value.fields == {"retry_after_seconds": 3600}
    await service.upload(OTHER, new_id(), Purpose.MESSAGE, image_file())
    await world.claim(medium)
    await service.upload(PATIENT, new_id(), Purpose.MESSAGE, image_file())


async def test_an_account_keeps_a_bounded_number_of_unattached_media(world: World) -> None:
    medium = await world.picture()
    template = await world.database[MEDIA].find_one({"_id": medium.id})
    assert template is not None
    await world.database[MEDIA].insert_many([{**template, "_id": new_id(), "outbox": []} for _ in range(499)])
    with pytest.raises(MediaUnattachedFull):
        await world.picture()
    await world.picture(OTHER)


async def test_a_medium_that_was_read_before_it_was_attached_is_not_attached_elsewhere(world: World) -> None:
    medium = await world.picture()
    await world.claim(medium)
    event = event_of(PATIENT, "media.claimed", subject=medium.id, at=world.clock.now())
    assert not await world.store.attach(medium, Owner(OwnerKind.ORDER, ORDER), "default", event, check_at=world.clock.now())
    assert (await world.get(medium)).owner == Owner(OwnerKind.CONVERSATION, CONVERSATION)


def test_owners_are_asked_by_words_that_other_packages_use() -> None:
    kinds: Mapping[str, str] = {k.name: k.value for k in OwnerKind}
    assert kinds == {"CONVERSATION": "conversation", "ORDER": "order"}
