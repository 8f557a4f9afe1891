"""The training half: it never imports the serving half."""
