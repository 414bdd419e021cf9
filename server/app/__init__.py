"""The composition root: settings, wiring, the HTTP and socket edge, and the command line. Nothing imports it."""
