"""Payments, refunds, the ledger and the gateways. Knows orders only as ids that money is held for."""
