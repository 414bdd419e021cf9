"""Conversations as logs: append, sync, receipts, recall, presence. Knows nothing of orders or money."""
