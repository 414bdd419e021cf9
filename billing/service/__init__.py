"""Use cases of money: payments in `payments`, refunds in `refunds`."""
