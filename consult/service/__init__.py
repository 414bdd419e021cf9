"""Use cases of the product."""
