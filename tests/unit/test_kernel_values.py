from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.kernel.clock import from_ms, iso, to_ms
from server.kernel.errors import DomainError, ErrorKind, RequestInvalid, registered_errors
from server.kernel.ids import derived_id, id_bytes, is_id, new_id
from server.kernel.money import parse_yuan, yuan_text
from server.kernel.settings import duration_text, parse_duration, parse_rate, without_credentials
from server.kernel.streams import GENESIS, canonical, link, parse_position, position
from server.kernel.wire import cursor_instant, decode_cursor, encode_cursor, unclean


@given(st.integers(min_value=0, max_value=4_102_444_800_000))
def test_milliseconds_survive_the_way_there_and_back(milliseconds: int) -> None:
    assert to_ms(from_ms(milliseconds)) == milliseconds


def test_instants_are_written_in_utc_with_milliseconds_and_z() -> None:
    assert iso(datetime(2026, 11, 22, 4, 5, 6, 789_000, tzinfo=UTC)) == "2026-11-22T04:05:06.789Z"


def test_new_ids_are_ids_and_derived_ones_depend_on_where_the_parts_end() -> None:
    assert is_id(new_id())
    assert derived_id("ab", "c") != derived_id("a", "bc")
    assert derived_id("a", "b") == derived_id("a", "b")
    assert is_id(derived_id("a"))


@pytest.mark.parametrize("text", ["", "x" * 32, "A" * 32, "0" * 31, "0" * 33, "0" * 31 + "\n"])
def test_what_is_not_an_id_is_refused(text: str) -> None:
    assert not is_id(text)
    with pytest.raises(ValueError, match="not an id"):
        id_bytes(text)


@given(st.integers(min_value=-(10**12), max_value=10**12))
def test_money_survives_being_written_in_yuan(fen: int) -> None:
    assert parse_yuan(yuan_text(fen)) == fen


@pytest.mark.parametrize("text", ["", "1.234", "1,5", "٣", "1e2", "--1", " 1"])
def test_what_is_not_an_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="yuan"):
        parse_yuan(text)


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("48h", timedelta(hours=48)),
        ("30m", timedelta(minutes=30)),
        ("500ms", timedelta(milliseconds=500)),
        ("0s", timedelta(0)),
    ],
)
def test_durations_read_as_operators_write_them(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration
    assert parse_duration(duration_text(duration)) == duration


@pytest.mark.parametrize("text", ["", "48", "h", "-1s", "1.5h", "1w"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


def test_rates_read_as_operators_write_them() -> None:
    assert (parse_rate("20/s").count, parse_rate("20/s").per) == (20, timedelta(seconds=1))
    assert (parse_rate("5/10m").count, parse_rate("5/10m").per) == (5, timedelta(minutes=10))
    for text in ("0/s", "5", "5/0m", "/s"):
        with pytest.raises(ValueError, match="rate"):
            parse_rate(text)


atoms = st.one_of(st.none(), st.integers(), st.text(), st.binary())


@given(st.lists(atoms), st.lists(atoms))
def test_the_canonical_form_tells_contents_apart(
    one: list[int | str | bytes | None], other: list[int | str | bytes | None]
) -> None:
    same = [(type(a), a) for a in one] == [(type(b), b) for b in other]
    assert (canonical(tuple(one)) == canonical(tuple(other))) == same


def test_a_link_depends_on_everything_before_and_in_it() -> None:
    stream = bytes(16)
    base = link(GENESIS, stream, 1, "a", 1)
    others = [
        link(base, stream, 1, "a", 1),
        link(GENESIS, bytes(15) + b"1", 1, "a", 1),
        link(GENESIS, stream, 2, "a", 1),
        link(GENESIS, stream, 1, "b", 1),
        link(GENESIS, stream, 1, "a", None),
    ]
    assert len({base, *others}) == 6


@given(st.binary(min_size=16, max_size=16), st.integers(min_value=0, max_value=2**63))
def test_positions_sort_like_their_numbers(stream: bytes, seq: int) -> None:
    assert parse_position(position(stream, seq)) == (stream, seq)
    assert position(stream, seq) < position(stream, seq + 1)


@given(st.text())
def test_only_control_bidi_and_surrogate_characters_are_unclean(text: str) -> None:
    unwanted = any((ord(c) < 32 and c not in "\n\t\r") or 127 <= ord(c) < 160 for c in text)
    unwanted |= any(0xD800 <= ord(c) < 0xE000 for c in text)
    unwanted |= any(c in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c" for c in text)
    assert (unclean(text) is not None) == unwanted


def test_a_cursor_comes_back_and_a_forged_one_is_refused() -> None:
    assert decode_cursor(encode_cursor("a", 3), str, int) == ["a", 3]
    for forged in (
        "",
        "!!",
        "AAAA",
        encode_cursor("a"),
        encode_cursor(3, "a"),
        encode_cursor("a", True),
        encode_cursor("a", 2**63),
    ):
        with pytest.raises(RequestInvalid):
            decode_cursor(forged, str, int)


def test_a_code_cannot_be_declared_twice() -> None:
    with pytest.raises(TypeError, match=r"request\.invalid"):

        class Other(DomainError):
            code = "request.invalid"
            kind = ErrorKind.INVALID
            title = "…"

    assert registered_errors()["request.invalid"] is RequestInvalid


def test_an_instant_in_a_forged_cursor_is_one_that_can_be() -> None:
    assert cursor_instant(1_767_578_400_000) == datetime(2026, 1, 5, 2, tzinfo=UTC)
    for forged in (10**18, -(10**18), 2**63 - 1):
        with pytest.raises(RequestInvalid):
            cursor_instant(forged)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://pay.example.com/v3", "https://pay.example.com/v3"),
        ("https://user:p@ss@sms.example.com:8443/a?key=k#f", "https://(hidden)@sms.example.com:8443/a?(hidden)#f"),
        ("https://sms.example.com?AccessKeyId=k&Signature=s", "https://sms.example.com?(hidden)"),
        (
            "('https://a@one.example.com', 'https://two.example.com')",
            "('https://(hidden)@one.example.com', 'https://two.example.com')",
        ),
        ("20/s", "20/s"),
        ("/srv/yunzhen/keys", "/srv/yunzhen/keys"),
    ],
)
def test_addresses_are_shown_without_their_credentials(text: str, shown: str) -> None:
    assert without_credentials(text) == shown
