"""What the product can do, measured from outside. See `python -m bench.messages --help`."""
