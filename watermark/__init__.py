"""Visible and forensic marks: pure functions of pixels, the faces that pages are set in, and the reader that traces a leak."""
