"""The leaf that every package may import: time, ids, money, errors, actors, settings types, encryption, streams."""
