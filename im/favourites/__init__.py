"""Messages that an account keeps at hand."""
