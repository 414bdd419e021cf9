"""Who asks: the one value that every use case takes first, and where repositories take the hospital from."""

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Final

from server.kernel.ids import new_id

PLATFORM: Final = "platform"
"""The hospital_id of what belongs to no hospital: patients' accounts and their sessions."""

DEFAULT_HOSPITAL: Final = "default"


class Role(StrEnum):
    """What kind of account it is."""

    PATIENT = "patient"
    DOCTOR = "doctor"
    STAFF = "staff"
    SYSTEM = "system"
    ANONYMOUS = "anonymous"


class StaffRole(StrEnum):
    """What a member of staff may do; one may hold several."""

    MEDICAL_ADMIN = "medical_admin"
    FINANCE = "finance"
    AUDITOR = "auditor"
    AGENT = "agent"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Actor:
    """An authenticated party and the request that it makes.

    `account_id` of a doctor is also the `doctor_id`. `address` is the network address, for limits and audit.
    """

    account_id: str
    role: Role
    hospital_id: str
    request_id: str
    session_id: str | None = None
    device_id: str | None = None
    address: str | None = None
    staff_roles: frozenset[StaffRole] = field(default_factory=frozenset)


def system_actor(hospital_id: str = DEFAULT_HOSPITAL, *, name: str = "system", request_id: str | None = None) -> Actor:
    """The product itself: sweeps, relays, tasks. `name` says which part."""
    return Actor(account_id=name, role=Role.SYSTEM, hospital_id=hospital_id, request_id=request_id or new_id())


def anonymous_actor(*, request_id: str, address: str | None) -> Actor:
    """Whoever is not signed in."""
    return Actor(account_id="anonymous", role=Role.ANONYMOUS, hospital_id=PLATFORM, request_id=request_id, address=address)


def network_of(address: str | None) -> str:
    """Whom limits count: an IPv4 address, or the 64 bits of an IPv6 one that say whose line it is; anyone has all the rest."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((int(parsed) >> 64 << 64, 64)))
