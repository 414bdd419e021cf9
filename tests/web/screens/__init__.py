"""`make screens`: every screen of the apps in both languages, light and dark, to look at. Nothing is asserted here."""
