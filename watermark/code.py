"""The words that hide in pages: a view id of 48 bits, sealed and spread over `CODED_BITS` signs, and read back from noise.

`id → E(id) ‖ MAC(id)`, 48 + 32 bits, both under the hospital's key, then a convolutional code of rate 1/4 and constraint
length 9 (free distance 24), decoded with soft decisions. E is a Feistel permutation, so that ids that follow one another become
words that have nothing in common: a weak or mixed mark can then be matched against the ids that were issued. The 32 bits of the
MAC are the check: what was not written under this key passes it once in 2³² tries, whatever the noise looks like.
"""

import hmac
from functools import lru_cache
from hashlib import sha256, shake_256
from typing import Final

import numpy as np
from numpy.typing import NDArray

Signs = NDArray[np.int8]
Soft = NDArray[np.float64]

VIEW_ID_BITS: Final = 48
CHECK_BITS: Final = 32
_INFO_BITS: Final = VIEW_ID_BITS + CHECK_BITS
_MEMORY: Final = 8
_STATES: Final = 1 << _MEMORY
_GENERATORS: Final = (0o463, 0o535, 0o733, 0o745)
_RATE: Final = len(_GENERATORS)
_TAPS: Final = tuple(
    tuple(_MEMORY - place for place in range(_MEMORY + 1) if generator >> place & 1) for generator in _GENERATORS
)
CODED_BITS: Final = (_INFO_BITS + _MEMORY) * _RATE
_HALF: Final = VIEW_ID_BITS // 2
_ROUNDS: Final = 6


def stream(key: bytes, label: str, size: int) -> bytes:
    """`size` bytes that follow from key and label alone, the same on every machine and with every library's version."""
    return shake_256(hmac.digest(key, label.encode(), sha256)).digest(size)


def _round(key: bytes, number: int, half: int) -> int:
    digest = hmac.digest(key, b"feistel" + bytes([number]) + half.to_bytes(3, "big"), sha256)
    return int.from_bytes(digest[:3], "big")


def _permute(key: bytes, view_id: int) -> int:
    left, right = view_id >> _HALF, view_id & ((1 << _HALF) - 1)
    for number in range(_ROUNDS):
        left, right = right, left ^ _round(key, number, right)
    return left << _HALF | right


def _unpermute(key: bytes, word: int) -> int:
    left, right = word >> _HALF, word & ((1 << _HALF) - 1)
    for number in reversed(range(_ROUNDS)):
        left, right = right ^ _round(key, number, left), left
    return left << _HALF | right


def _check(key: bytes, view_id: int) -> int:
    return int.from_bytes(hmac.digest(key, b"check" + view_id.to_bytes(6, "big"), sha256)[:4], "big")


@lru_cache(maxsize=1)
def _branches() -> tuple[Soft, NDArray[np.intp]]:
    """For each state and bit that enters: the signs that leave, shape (states, 2, rate), and the state that follows."""
    states = np.arange(_STATES)
    signs = np.empty((_STATES, 2, _RATE))
    follows = np.empty((_STATES, 2), dtype=np.intp)
    for bit in (0, 1):
        register = states | bit << _MEMORY
        for index, generator in enumerate(_GENERATORS):
            ones = np.array([int(r & generator).bit_count() for r in register])
            signs[:, bit, index] = 1.0 - 2.0 * (ones & 1)
        follows[:, bit] = register >> 1
    return signs, follows


@lru_cache(maxsize=1)
def _arrivals() -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """For each state: the two states it is reached from, and the bit that leads there."""
    _, follows = _branches()
    sources = np.array([np.flatnonzero((follows == state).any(axis=1)) for state in range(_STATES)], dtype=np.intp)
    bits = (np.arange(_STATES) >> (_MEMORY - 1)).astype(np.intp)
    return sources, bits


def encode(key: bytes, view_id: int) -> Signs:
    """The `CODED_BITS` signs (±1) of a view id. Raises `ValueError` outside 48 bits."""
    if not 0 <= view_id < 1 << VIEW_ID_BITS:
        raise ValueError("a view id has 48 bits")
    word = _permute(key, view_id) << CHECK_BITS | _check(key, view_id)
    # The tail's zeros lead back to state zero. Step t is bit (length - 1 - t), so what entered d steps ago is a shift by d.
    entered = word << _MEMORY
    bits = np.empty((_RATE, CODED_BITS // _RATE), dtype=np.int8)
    for index, taps in enumerate(_TAPS):
        parity = 0
        for delay in taps:
            parity ^= entered >> delay
        bits[index] = np.unpackbits(np.frombuffer(parity.to_bytes(CODED_BITS // _RATE // 8, "big"), dtype=np.uint8))
    return (1 - 2 * bits).T.ravel()


def decode(key: bytes, soft: Soft) -> int | None:
    """The view id whose word is most likely behind `CODED_BITS` soft signs (0: unknown), or `None` when the check fails."""
    word = _most_likely(soft.reshape(-1, _RATE))
    view_id = _unpermute(key, word >> CHECK_BITS)
    return view_id if word & ((1 << CHECK_BITS) - 1) == _check(key, view_id) else None


def _most_likely(soft: Soft) -> int:
    """Viterbi's algorithm from state zero to state zero."""
    signs, _ = _branches()
    sources, bits = _arrivals()
    outputs = signs[sources, bits[:, None]]
    metric = np.full(_STATES, -np.inf)
    metric[0] = 0.0
    choices = np.empty((len(soft), _STATES), dtype=np.intp)
    rows = np.arange(_STATES)
    for step, received in enumerate(soft):
        reached = metric[sources] + outputs @ received
        choices[step] = reached.argmax(axis=1)
        metric = reached[rows, choices[step]]
    state, word = 0, 0
    for step in reversed(range(len(soft))):
        if step < _INFO_BITS:
            word |= int(bits[state]) << (_INFO_BITS - 1 - step)
        state = int(sources[state, choices[step, state]])
    return word
