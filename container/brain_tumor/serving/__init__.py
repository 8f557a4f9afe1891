"""The serving half: it never imports the training half."""
