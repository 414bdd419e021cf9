"""Offline push: what reaches a device that is not connected."""
