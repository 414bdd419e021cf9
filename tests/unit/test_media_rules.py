"""Pure rules: who may attach, which links hold, which ranges are meant, how much fits."""

from datetime import timedelta

import pytest

from media.admission import Admission
from media.domain import (
    MAX_UPLOAD_BYTES,
    MediaKind,
    MediaState,
    Medium,
    Owner,
    OwnerKind,
    Purpose,
    Rendition,
    StoredRendition,
    may_attach,
    pixels_fit,
    voice_duration_fits,
)
from media.http import _part_wanted
from media.links import LinkSigner
from server.kernel.actor import PLATFORM, Actor, Role
from server.kernel.errors import RequestRateLimited
from tests.support.clock import ManualClock

HERE, THERE = Owner(OwnerKind.CONVERSATION, "c1"), Owner(OwnerKind.CONVERSATION, "c2")


def _medium(clock: ManualClock, *, owner: Owner | None = None, state: MediaState = MediaState.UNATTACHED) -> Medium:
    return Medium(
        id="0" * 32,
        hospital_id=PLATFORM,
        account_id="uploader",
        purpose=Purpose.MESSAGE,
        kind=MediaKind.IMAGE,
        width=1,
        height=1,
        duration_ms=None,
        state=state,
        owner=owner,
        sha256="",
        renditions={Rendition.ORIGINAL: StoredRendition("1" * 32, "image/png", 1)},
        created_at=clock.now(),
        version=1,
        sealed_key=b"",
    )


def test_only_the_uploader_attaches_as_what_it_is_and_to_one_owner_for_ever(clock: ManualClock) -> None:
    free = _medium(clock)
    attached = _medium(clock, owner=HERE, state=MediaState.ATTACHED)
    assert may_attach(free, "uploader", "image", HERE)
    assert may_attach(attached, "uploader", "image", HERE)
    assert not may_attach(free, "another", "image", HERE)
    assert not may_attach(free, "uploader", "voice", HERE)
    assert not may_attach(free, "uploader", "film", HERE)
    assert not may_attach(attached, "uploader", "image", THERE)
    assert not may_attach(attached, "uploader", "image", Owner(OwnerKind.ORDER, HERE.id))
    assert not may_attach(_medium(clock, state=MediaState.REMOVING), "uploader", "image", HERE)


def test_a_link_holds_for_its_account_medium_and_rendition_until_its_last_instant(clock: ManualClock) -> None:
    links = LinkSigner(bytes(32))
    token = links.sign("a", "m", "original", clock.now())
    almost = clock.now() + timedelta(seconds=60) - timedelta(milliseconds=1)
    assert links.holds(token, "a", "m", "original", almost)
    assert not links.holds(token, "a", "m", "original", clock.now() + timedelta(seconds=60))
    assert not links.holds(token, "b", "m", "original", almost)
    assert not links.holds(token, "a", "n", "original", almost)
    assert not links.holds(token, "a", "m", "thumbnail", almost)
    assert not LinkSigner(b"\x01" * 32).holds(token, "a", "m", "original", almost)


@pytest.mark.parametrize("token", ["", "A", "AAAA", "ä", "%%%%", "A" * 54, "A" * 4000, "\x00"])
def test_a_token_that_we_did_not_make_does_not_hold(token: str, clock: ManualClock) -> None:
    assert not LinkSigner(bytes(32)).holds(token, "a", "m", "original", clock.now())


def test_no_changed_character_of_a_token_is_forgiven(clock: ManualClock) -> None:
    links = LinkSigner(bytes(32))
    token = links.sign("a", "m", "original", clock.now())
    for at, old in enumerate(token[:-1]):
        changed = token[:at] + ("A" if old != "A" else "B") + token[at + 1 :]
        assert not links.holds(changed, "a", "m", "original", clock.now())


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (None, None),
        ("bytes=0-99", (0, 100)),
        ("bytes=0-0", (0, 1)),
        ("bytes=10-", (10, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=-1000", (0, 100)),
        ("bytes=90-1000", (90, 100)),
        ("bytes=100-", (100, 100)),
        ("bytes=-0", (100, 100)),
        ("bytes=5-4", None),
        ("bytes=-", None),
        ("bytes=0-1,5-6", None),
        ("bytes=a-b", None),
        ("pages=1-2", None),
        ("bytes=" + "9" * 30 + "-", None),
    ],
)
def test_a_range_means_these_bytes_of_a_hundred(header: str | None, part: tuple[int, int] | None) -> None:
    assert _part_wanted(header, 100) == part


def test_limits_lie_where_the_rules_say() -> None:
    assert [voice_duration_fits(ms) for ms in (899, 900, 1_000, 60_000, 60_100, 60_101)] == [
        False,
        True,
        True,
        True,
        True,
        False,
    ]
    assert [pixels_fit(w, h) for w, h in ((10_000, 5_000), (10_000, 5_001), (0, 5), (5, 0))] == [True, False, False, False]


def test_uploads_in_memory_are_bounded_for_one_account_and_for_all() -> None:
    admission = Admission(total_bytes=3 * MAX_UPLOAD_BYTES, account_bytes=2 * MAX_UPLOAD_BYTES)
    one, other = (Actor(a, Role.PATIENT, PLATFORM, "r") for a in "ab")
    with admission.admit(one, None), admission.admit(one, 10 * MAX_UPLOAD_BYTES):
        with pytest.raises(RequestRateLimited), admission.admit(one, 1):
            raise AssertionError
        with admission.admit(other, None), pytest.raises(RequestRateLimited), admission.admit(other, 1):
            raise AssertionError
    with admission.admit(one, None):
        pass
