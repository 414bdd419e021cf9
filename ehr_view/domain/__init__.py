"""Rules of hospital records: what a record is, how a test runs over time, how records become pages, who may look."""
