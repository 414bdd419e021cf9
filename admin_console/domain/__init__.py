"""Rules of supervision: pure functions of values."""
