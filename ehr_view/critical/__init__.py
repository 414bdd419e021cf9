"""Results that cannot wait: told at once, acknowledged, or handed on until a person has them."""
