"""The commands of `python -m deploy`, a module each; SDKs are imported when a command runs."""
