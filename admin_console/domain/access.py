"""Which staff may see what: one allow-list."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from server.kernel.actor import Actor, Role, StaffRole


class View(StrEnum):
    """What supervision shows; the value is the action in the audit row of each look."""

    AUDIT = "admin.audit_searched"
    ORDERS = "admin.orders_listed"
    ORDER = "admin.order_viewed"
    TIMELINE = "admin.timeline_viewed"
    FIGURES = "admin.figures_viewed"
    LEAK = "admin.leak_traced"
    EXPORT = "admin.order_exported"
    BOARD = "admin.board_viewed"
    DOSSIER = "admin.dossier_viewed"
    PATIENT = "admin.patient_looked_up"
    VERIFICATION = "admin.history_verified"
    HL7 = "admin.hl7_repaired"
    MESSAGES = "admin.messages_searched"
    REVEALS = "admin.reveals_listed"
    REVEAL_ASKED = "admin.reveal_asked"
    REVEAL_AGREED = "admin.reveal_agreed"
    REVEAL_REFUSED = "admin.reveal_refused"
    REVEALED = "admin.recalled_revealed"


_ORDERS: Final = frozenset({StaffRole.MEDICAL_ADMIN, StaffRole.AGENT, StaffRole.AUDITOR})

ALLOWED: Final[Mapping[View, frozenset[StaffRole]]] = MappingProxyType(
    {
        View.AUDIT: frozenset({StaffRole.AUDITOR, StaffRole.MEDICAL_ADMIN}),
        View.ORDERS: _ORDERS,
        View.ORDER: _ORDERS,
        View.TIMELINE: _ORDERS,
        View.EXPORT: frozenset({StaffRole.AUDITOR, StaffRole.MEDICAL_ADMIN}),
        View.LEAK: frozenset({StaffRole.AUDITOR, StaffRole.MEDICAL_ADMIN}),
        View.BOARD: _ORDERS | {StaffRole.FINANCE},
        View.DOSSIER: frozenset({StaffRole.AUDITOR, StaffRole.MEDICAL_ADMIN}),
        View.PATIENT: _ORDERS,
        View.VERIFICATION: frozenset({StaffRole.AUDITOR, StaffRole.MEDICAL_ADMIN}),
        View.HL7: frozenset({StaffRole.OPERATOR}),
        View.MESSAGES: frozenset({StaffRole.AUDITOR}),
        View.REVEALS: frozenset({StaffRole.AUDITOR, StaffRole.MEDICAL_ADMIN}),
        View.REVEAL_ASKED: frozenset({StaffRole.AUDITOR}),
        View.REVEAL_AGREED: frozenset({StaffRole.MEDICAL_ADMIN}),
        View.REVEAL_REFUSED: frozenset({StaffRole.MEDICAL_ADMIN}),
        View.REVEALED: frozenset({StaffRole.AUDITOR, StaffRole.MEDICAL_ADMIN}),
        View.FIGURES: frozenset({StaffRole.FINANCE, StaffRole.MEDICAL_ADMIN}),
    }
)


def may_see(actor: Actor, view: View) -> bool:
    """Staff of the hospital who hold one of the view's roles; nobody else."""
    return actor.role is Role.STAFF and not actor.staff_roles.isdisjoint(ALLOWED[view])
