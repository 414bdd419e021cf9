"""Encryption at rest: master key → hospital key → conversation key.

AES-256-GCM with the purpose as associated data, so that a ciphertext moved to another field, document or hospital does not
open. Blind indexes are HMAC-SHA-256 per hospital and field: equality look-ups without plaintext. The master key never
enters the database; losing a conversation's key erases its bodies for good, which is how erasure works.

A sealed value is `version (1) | nonce (12) | ciphertext and tag`.
"""

import contextlib
import hmac
import os
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pymongo.errors import DuplicateKeyError

from server.kernel.ids import new_id
from server.kernel.mongo import ALL_HOSPITALS, Database

_VERSION: Final = b"\x01"
_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32
_CACHED_CONVERSATION_KEYS: Final = 20_000

KEYS: Final = "keys"
"""Wrapped keys: `_id` is `hospital:<id>` or `conversation:<id>`."""


class KeyMissing(Exception):
    """The key is not there: the content was erased, or belongs to another deployment."""


class Damaged(Exception):
    """A sealed value does not open: other key, other place, or changed bytes."""


class SealingKey:
    """One AES-256-GCM key. `purpose` is associated data: the same words are needed to open what they sealed."""

    __slots__ = ("_aead",)

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def seal(self, plaintext: bytes, purpose: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._aead.encrypt(nonce, plaintext, purpose)

    def open(self, sealed: bytes, purpose: bytes) -> bytes:
        if sealed[:1] != _VERSION:
            raise Damaged("unknown version of a sealed value")
        try:
            return self._aead.decrypt(sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :], purpose)
        except InvalidTag as error:
            raise Damaged("a sealed value does not open") from error


class HospitalKeys:
    """What one hospital's fields are sealed and indexed with."""

    def __init__(self, root: bytes) -> None:
        self._sealing = SealingKey(_derive(root, b"fields"))
        self._blind = _derive(root, b"blind")
        self.wrapping = SealingKey(_derive(root, b"wrap"))

    def seal_text(self, text: str, *, field: str, owner: str) -> bytes:
        """Seal a person's datum. `field` is `collection.field`, `owner` the document's id."""
        return self._sealing.seal(text.encode(), _place(field, owner))

    def open_text(self, sealed: bytes, *, field: str, owner: str) -> str:
        return self._sealing.open(sealed, _place(field, owner)).decode()

    def seal_bytes(self, data: bytes, *, field: str, owner: str) -> bytes:
        return self._sealing.seal(data, _place(field, owner))

    def open_bytes(self, sealed: bytes, *, field: str, owner: str) -> bytes:
        return self._sealing.open(sealed, _place(field, owner))

    def blind(self, value: str, *, field: str) -> bytes:
        """16 bytes that are the same for the same value of the same field of this hospital, and say nothing else."""
        return hmac.digest(self._blind, f"{field}\0{value}".encode(), sha256)[:16]


def _place(field: str, owner: str) -> bytes:
    return f"{field}\0{owner}".encode()


def _derive(root: bytes, label: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=b"yunzhen/" + label).derive(root)


class MasterKey:
    """The one key outside the database. It wraps the hospitals' keys and derives the deployment's own secrets."""

    def __init__(self, key: bytes) -> None:
        if len(key) != _KEY_BYTES:
            raise ValueError("the master key must be 32 bytes")
        self._root = key
        self.wrapping = SealingKey(_derive(key, b"master-wrap"))

    def secret(self, label: str) -> bytes:
        """32 bytes for one named use (token signing, checkpoint signing, …)."""
        return _derive(self._root, b"secret/" + label.encode())

    @classmethod
    def load_or_create(cls, path: Path) -> "MasterKey":
        """Read the key file (64 hexadecimal digits); make one, readable by its owner only, where none exists.

        The file appears whole or not at all, so that of several first processes all read the same key.
        """
        with contextlib.suppress(FileNotFoundError):
            return cls(bytes.fromhex(path.read_text().strip()))
        fresh = path.with_name(f".{path.name}.{new_id()}")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(os.urandom(_KEY_BYTES).hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            with contextlib.suppress(FileExistsError):  # another process was first
                os.link(fresh, path)
        finally:
            fresh.unlink()
        return cls(bytes.fromhex(path.read_text().strip()))


class Keyring:
    """Hands out keys, and keeps them in memory once unwrapped. Conversation keys are bounded; the oldest go first."""

    def __init__(self, master: MasterKey, database: Database) -> None:
        self._master = master
        self._keys = database[KEYS]
        self._hospitals: dict[str, HospitalKeys] = {}
        self._conversations: OrderedDict[str, SealingKey] = OrderedDict()

    async def hospital(self, hospital_id: str) -> HospitalKeys:
        """The keys of a hospital, made at its first use. Two first users at once get the same."""
        if (known := self._hospitals.get(hospital_id)) is not None:
            return known
        name = f"hospital:{hospital_id}"
        wrapped = await self._find(name, hospital_id)
        if wrapped is None:
            fresh = self._master.wrapping.seal(os.urandom(_KEY_BYTES), name.encode())
            wrapped = await self._insert(name, hospital_id, fresh)
        keys = HospitalKeys(self._master.wrapping.open(wrapped, name.encode()))
        self._hospitals[hospital_id] = keys
        return keys

    async def create_conversation(self, hospital_id: str, conversation_id: str) -> SealingKey:
        """The conversation's key, made if it is not there yet. Call it before anything is sealed with it."""
        hospital = await self.hospital(hospital_id)
        name = f"conversation:{conversation_id}"
        fresh = hospital.wrapping.seal(os.urandom(_KEY_BYTES), name.encode())
        wrapped = await self._insert(name, hospital_id, fresh)
        return self._remember(conversation_id, SealingKey(hospital.wrapping.open(wrapped, name.encode())))

    async def conversation(self, hospital_id: str, conversation_id: str) -> SealingKey:
        """The conversation's key. Raises KeyMissing when there is none (any more)."""
        if (known := self._conversations.get(conversation_id)) is not None:
            self._conversations.move_to_end(conversation_id)
            return known
        name = f"conversation:{conversation_id}"
        wrapped = await self._find(name, hospital_id)
        if wrapped is None:
            raise KeyMissing(name)
        hospital = await self.hospital(hospital_id)
        return self._remember(conversation_id, SealingKey(hospital.wrapping.open(wrapped, name.encode())))

    async def preload_conversations(self, conversation_ids: Sequence[str]) -> None:
        """Fetch the keys of these in one go; one that is not there is missing, as it is for `conversation`."""
        names = {f"conversation:{each}": each for each in conversation_ids if each not in self._conversations}
        if not names:
            return
        cursor = self._keys.find({"_id": {"$in": list(names)}}, comment=ALL_HOSPITALS)
        for document in await cursor.to_list():
            hospital = await self.hospital(document["hospital_id"])
            name = document["_id"]
            self._remember(names[name], SealingKey(hospital.wrapping.open(bytes(document["wrapped"]), name.encode())))

    def _remember(self, conversation_id: str, key: SealingKey) -> SealingKey:
        self._conversations[conversation_id] = key
        while len(self._conversations) > _CACHED_CONVERSATION_KEYS:
            self._conversations.popitem(last=False)
        return key

    async def _find(self, name: str, hospital_id: str) -> bytes | None:
        document: dict[str, Any] | None = await self._keys.find_one({"_id": name, "hospital_id": hospital_id})
        return None if document is None else bytes(document["wrapped"])

    async def _insert(self, name: str, hospital_id: str, wrapped: bytes) -> bytes:
        """Store a wrapped key unless one is there; the one that is there in the end is the answer."""
        try:
            await self._keys.insert_one({"_id": name, "hospital_id": hospital_id, "wrapped": wrapped})
        except DuplicateKeyError:
            stored = await self._find(name, hospital_id)
            if stored is None:
                raise KeyMissing(name) from None
            return stored
        return wrapped


def conversation_purpose(conversation_id: bytes, seq: int) -> bytes:
    """The associated data of an entry's body: it opens at its own number of its own conversation only."""
    return conversation_id + seq.to_bytes(8, "big")
