"""What a person sees, on a terminal and in a file."""

import io

from local_test.emulator.console import Console


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _use(console: Console) -> None:
    console.status("Training", "in progress")
    console.line("algo-1", "epoch 1")
    console.metric("loss", 0.25)
    console.note("a note")
    console.close()


def test_a_file_gets_plain_lines() -> None:
    stream = io.StringIO()
    _use(Console(stream))
    first, *others = stream.getvalue().splitlines()
    assert first.endswith("s] Training - in progress")
    assert others == ["epoch 1", "emulator: a note"]


def test_lines_of_several_hosts_begin_with_the_hosts_name() -> None:
    stream = io.StringIO()
    Console(stream, several_hosts=True).line("algo-2", "epoch 1")
    assert stream.getvalue() == "algo-2 | epoch 1\n"


def test_a_terminal_keeps_status_and_metrics_in_the_last_line_and_erases_it_in_the_end() -> None:
    stream = _Terminal()
    console = Console(stream)
    console.status("Training", "in progress")
    console.metric("val_accuracy", 0.25)
    assert stream.getvalue().endswith("\r\x1b[2KTraining 0 s  val_accuracy=0.25")
    for number in range(20):
        console.metric(f"metric_{number}", number)
    assert len(stream.getvalue().rsplit("\x1b[2K", 1)[1]) == 79
    console.close()
    assert stream.getvalue().endswith("\r\x1b[2K")
