"""The consent texts, as files: `<kind>.<version>.<language>.txt`, the first line is the title, the rest the text.

A file that was released is never edited: its hash stands in orders. A new wording is a new version.
"""
