"""data.shortcuts: how far a class can be told without looking at the brain."""

from pathlib import Path

from PIL import Image

from brain_tumor.data.archive import Archive
from brain_tumor.data.scans import read_scans
from brain_tumor.data.shortcuts import Shortcuts, measure_shortcuts
from tests.scans import encode, noise, png, write_folder


def _measure(path: Path, members: dict[str, bytes]) -> Shortcuts:
    with Archive(write_folder(path, members)) as archive:
        return measure_shortcuts(read_scans(archive))


def test_a_colour_mode_that_goes_with_the_class_is_named(tmp_path: Path) -> None:
    members = {f"a/{n}.png": png(n, mode="L") for n in range(20)}
    members |= {f"b/{n}.png": png(100 + n, mode="RGB") for n in range(20)}
    shortcuts = _measure(tmp_path, members)
    assert shortcuts.majority == 0.5
    assert shortcuts.cues["colour mode"].accuracy == 1
    assert shortcuts.cues["colour mode"].by_class == {"a": "L (100%)", "b": "RGB (100%)"}
    assert "colour mode" in shortcuts.clear
    assert "format" not in shortcuts.clear


def test_a_cue_without_a_bearing_on_the_class_is_not_named(tmp_path: Path) -> None:
    members = {f"{'ab'[n // 100]}/{n}.png": png(n, 24) for n in range(200)}
    assert _measure(tmp_path, members).clear == []


def test_copies_on_both_halves_cannot_make_a_cue_look_good(tmp_path: Path) -> None:
    """One copy of each picture in four colour depths: what is fitted on is never scored on."""
    members = {}
    for n in range(30):
        grey = Image.fromarray(noise(n, 24 + n))
        for mode in ("L", "RGB"):
            members[f"{'ab'[n % 2]}/{n}-{mode}.png"] = encode(grey.convert(mode), "PNG")
    # Every picture has a size of its own: a leak between the halves would make this 100 %.
    assert _measure(tmp_path, members).cues["width x height"].accuracy <= 0.5


def test_the_nearest_neighbour_shows_what_a_leak_is_worth(tmp_path: Path) -> None:
    members = {
        f"Training/{label}/{n}.png": png(100 * i + n)
        for i, label in enumerate("ab")
        for n in range(9)
    }
    for n in range(9):
        members[f"Testing/a/{n}.png"] = encode(noise(n)[:, ::-1], "PNG")
        members[f"Testing/b/{n}.png"] = encode(noise(100 + n)[:, ::-1], "PNG")
    memory = _measure(tmp_path / "leaky", members).nearest_neighbour
    assert memory is not None
    assert (memory.test_files, memory.accuracy) == (18, 1)
    assert (memory.removed, memory.accuracy_without) == (18, None)


def test_one_class_has_no_cues(tmp_path: Path) -> None:
    assert _measure(tmp_path, {"a/1.png": png(1), "a/2.png": png(2)}).cues == {}
