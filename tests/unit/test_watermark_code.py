"""Words of view ids: what the key sealed is read through much noise, what it did not seal is never read."""

from hashlib import sha256

import numpy as np
import pytest

from watermark import code
from watermark.pattern import SIDE, layout

KEY = b"k" * 32
IDS = [0, 1, 2, 0x0123_4567_89AB, (1 << 48) - 1]


@pytest.mark.parametrize("view_id", IDS)
def test_a_word_without_noise_is_read(view_id: int) -> None:
    assert code.decode(KEY, code.encode(KEY, view_id).astype(float)) == view_id


@pytest.mark.parametrize("view_id", IDS)
def test_a_word_is_read_with_a_seventh_of_its_signs_wrong_and_a_tenth_lost(view_id: int) -> None:
    random = np.random.default_rng(view_id)
    soft = code.encode(KEY, view_id).astype(float)
    places = random.permutation(code.CODED_BITS)
    soft[places[: code.CODED_BITS // 7]] *= -1.0
    soft[places[-code.CODED_BITS // 10 :]] = 0.0
    assert code.decode(KEY, soft) == view_id


def test_noise_is_never_read() -> None:
    random = np.random.default_rng(7)
    assert [found for _ in range(300) if (found := code.decode(KEY, random.normal(size=code.CODED_BITS))) is not None] == []


def test_another_key_reads_nothing() -> None:
    assert code.decode(b"other" * 6, code.encode(KEY, 77).astype(float)) is None


def test_ids_that_follow_one_another_have_words_with_nothing_in_common() -> None:
    words = np.array([code.encode(KEY, view_id) for view_id in range(40)], dtype=float)
    alike = np.abs(words @ words.T / code.CODED_BITS)[np.triu_indices(40, 1)]
    assert alike.max() < 0.3


@pytest.mark.parametrize("view_id", [-1, 1 << 48])
def test_an_id_outside_48_bits_is_refused(view_id: int) -> None:
    with pytest.raises(ValueError, match="48 bits"):
        code.encode(KEY, view_id)


def test_words_and_places_never_change_since_pages_are_out_there() -> None:
    word = sha256(code.encode(KEY, 0x0123_4567_89AB).tobytes()).hexdigest()
    places = layout(KEY)
    cells = sha256(places.cells.astype("<i4").tobytes() + places.signs.astype("i1").tobytes()).hexdigest()
    assert (word[:16], cells[:16]) == ("c88c11e4f873333f", "839f37bd4d463530")


def test_a_tile_gives_back_the_bits_that_it_was_made_of() -> None:
    places = layout(KEY)
    word = code.encode(KEY, 5)
    tile = places.sync.ravel().copy()
    tile[places.cells] = word[places.bits] * places.signs
    assert (np.sign(places.gather(tile.reshape(SIDE, SIDE))) == word).all()
    assert np.count_nonzero(places.sync) == SIDE * SIDE // 4
