"""The product itself: orders and their rules, the doctor's desk, rating."""
