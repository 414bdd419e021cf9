"""A siege of the running product: `make chaos SEED=… MINUTES=…`, and what must hold when it is over.

`plan` draws from the seed what goes wrong and when; `stage` runs the product's processes and its databases; `faults` does to
them what the plan says; `clients` are the people, on Python's and on JavaScript's Socket.IO client; `siege` lets all of it
happen; `checks` holds what is there afterwards against what was acknowledged; `report` says what was done and found.
"""
