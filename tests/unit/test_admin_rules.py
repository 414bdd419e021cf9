import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin_console.domain.audit import Place
from admin_console.domain.checkpoints import (
    CheckpointUnreadable,
    Head,
    Signer,
    from_json,
    is_signed,
    merkle_root,
    to_json,
)
from admin_console.wire import AuditSearch, order_place_from, place_from
from server.kernel.clock import iso
from server.kernel.errors import RequestInvalid
from server.kernel.wire import encode_cursor

SIGNER = Signer(bytes(range(32)))
HEADS = [Head("log", bytes([n]) * 16, n + 1, bytes([n]) * 32) for n in range(5)]


def test_a_checkpoint_survives_its_way_through_json() -> None:
    first = SIGNER.sign(None, HEADS[::-1], 1_767_000_000_000)
    second = SIGNER.sign(first, HEADS[:1], 1_766_000_000_000)
    assert (first.number, second.number) == (1, 2)
    assert second.previous == first.hash
    assert second.at_ms == first.at_ms
    assert list(first.heads) == HEADS
    for checkpoint in (first, second):
        assert from_json(to_json(checkpoint, SIGNER.public_key)) == checkpoint
        assert is_signed(checkpoint, SIGNER.public_key)
        assert not is_signed(checkpoint, Signer(bytes(32)).public_key)


def test_a_root_depends_on_every_head_and_their_order() -> None:
    roots = {merkle_root(HEADS[:n]) for n in range(6)} | {merkle_root(HEADS[::-1])}
    assert len(roots) == 7


@pytest.mark.parametrize(
    "change",
    [
        {"number": "1"},
        {"number": -1},
        {"number": True},
        {"previous": "zz"},
        {"root": "00"},
        {"heads": [["log", "00", 1]]},
        {"heads": [[1, "00", 1, "00"]]},
        {"at": "2026"},
        {"signature": None},
        {"at_ms": 10**30},
    ],
)
def test_a_line_of_another_form_cannot_be_read(change: dict[str, object]) -> None:
    whole = to_json(SIGNER.sign(None, HEADS, 1_767_000_000_000), SIGNER.public_key)
    with pytest.raises(CheckpointUnreadable):
        from_json(whole | change)


@given(st.sampled_from(["number", "at_ms"]), st.integers(min_value=0, max_value=2**40))
def test_a_changed_number_or_instant_breaks_the_signature(name: str, value: int) -> None:
    checkpoint = SIGNER.sign(None, HEADS, 1_767_000_000_000)
    changed = type(checkpoint)(
        **{field: getattr(checkpoint, field) for field in ("number", "at_ms", "previous", "heads", "signature")} | {name: value}
    )
    assert is_signed(changed, SIGNER.public_key) == (value == getattr(checkpoint, name))


@pytest.mark.parametrize(
    "text",
    ["yesterday", "2026-01-05", "1767000000", "2026-01-05T10:00:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"],
)
def test_an_instant_is_rfc_3339_within_reason(text: str) -> None:
    with pytest.raises(ValueError):
        AuditSearch.model_validate({"since": text})


def test_an_instant_is_taken_in_any_zone_and_kept_in_whole_milliseconds() -> None:
    asked = AuditSearch.model_validate({"since": "2026-01-05T10:00:00.1239+08:00", "limit": "5"})
    assert asked.since is not None
    assert iso(asked.since) == "2026-01-05T02:00:00.123Z"


def test_a_cursor_comes_back_as_it_was() -> None:
    assert place_from(None) is None
    assert place_from(encode_cursor(5, "a", 3)) == Place(5, "a", 3)


@pytest.mark.parametrize(
    "cursor", ["x", encode_cursor(5), encode_cursor(-1, "a", 1), encode_cursor(10**17, "a", 1), encode_cursor(1, "", 1)]
)
def test_a_cursor_of_another_making_is_refused(cursor: str) -> None:
    with pytest.raises(RequestInvalid):
        place_from(cursor)
    with pytest.raises(RequestInvalid):
        order_place_from(cursor)
