"""`python -m local_test.emulator`."""

from local_test.emulator.cli import main

main(prog_name="python -m local_test.emulator")
