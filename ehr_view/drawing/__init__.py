"""Drawing of sheets with Pillow. Only worker processes import it."""
