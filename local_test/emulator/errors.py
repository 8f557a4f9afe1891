"""The one error of the emulator: what the person at the command line can mend."""


class EmulatorError(Exception):
    """Something that was asked for cannot be done; the text says what, and the usual cause."""
