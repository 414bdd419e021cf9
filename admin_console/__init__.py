"""Supervision: audit, proof, orders and refunds seen by staff."""
