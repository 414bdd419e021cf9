"""Hospital records: read from the hospital through one port, shown to the order's current doctor as marked pages only."""
