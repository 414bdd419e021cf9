"""Use cases of supervision."""

from admin_console.service.audit import AuditQuery
from admin_console.service.checkpoints import Checkpoints
from admin_console.service.orders import StaffDesk
from admin_console.service.verification import Verifier

__all__ = ["AuditQuery", "Checkpoints", "StaffDesk", "Verifier"]
