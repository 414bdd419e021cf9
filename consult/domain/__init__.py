"""The rules of a consult: pure functions of values and `now`."""
