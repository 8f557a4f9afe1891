"""data.archive: zips, folders and folders of zips as lists of labelled files."""

import os
import shutil
import stat
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from brain_tumor.data.archive import Archive
from brain_tumor.errors import DataError
from tests.scans import jpeg, png, write_folder, write_zip

PLAIN = {"glioma/1.jpg": b"one", "glioma/2.PNG": b"two", "notumor/1.tiff": b"three"}
Writer = Callable[[Path, Mapping[str, bytes]], Path]


def _as_zip(path: Path, members: Mapping[str, bytes]) -> Path:
    return write_zip(path / "scans.zip", members)


def _as_folder(path: Path, members: Mapping[str, bytes]) -> Path:
    return write_folder(path / "scans", members)


def _as_folder_with_a_zip(path: Path, members: Mapping[str, bytes]) -> Path:
    return write_zip(path / "channel" / "scans.zip", members).parent


every_kind = pytest.mark.parametrize("write", [_as_zip, _as_folder, _as_folder_with_a_zip])


def _listed(path: Path) -> list[tuple[str, str, str | None]]:
    with Archive(path) as archive:
        return [(scan.file, scan.label, scan.side) for scan in archive.scans]


@every_kind
def test_class_folders_are_listed_with_labels_and_read(write: Writer, tmp_path: Path) -> None:
    with Archive(write(tmp_path, PLAIN)) as archive:
        assert [(scan.file, scan.label, scan.side) for scan in archive.scans] == [
            ("glioma/1.jpg", "glioma", None),
            ("glioma/2.PNG", "glioma", None),
            ("notumor/1.tiff", "notumor", None),
        ]
        assert [archive.read(scan) for scan in archive.scans] == [b"one", b"two", b"three"]


def test_a_zip_that_a_windows_tool_wrote_with_backslashes_is_read(tmp_path: Path) -> None:
    members = {name.replace("/", "\\"): data for name, data in PLAIN.items()}
    assert _listed(_as_zip(tmp_path, members)) == _listed(_as_folder(tmp_path, PLAIN))


@every_kind
@pytest.mark.parametrize("enclosing", ["brain/", "download/brain tumour data/"])
def test_folders_that_enclose_everything_are_no_classes(
    write: Writer, enclosing: str, tmp_path: Path
) -> None:
    members = {enclosing + name: data for name, data in PLAIN.items()}
    assert [label for _, label, _ in _listed(write(tmp_path, members))] == [
        "glioma",
        "glioma",
        "notumor",
    ]


@every_kind
@pytest.mark.parametrize(
    ("folders", "sides"),
    [
        (("Training", "Testing"), {"train", "test"}),
        (("train", "test"), {"train", "test"}),
        (("TRAIN", "Val"), {"train", "val"}),
        (("Train", "Validation"), {"train", "val"}),
        (("kaggle/Training", "kaggle/Testing"), {"train", "test"}),
    ],
)
def test_top_folders_named_after_sides_put_their_scans_there(
    write: Writer, folders: tuple[str, str], sides: set[str], tmp_path: Path
) -> None:
    members = {f"{top}/{name}": data for top in folders for name, data in PLAIN.items()}
    listed = _listed(write(tmp_path, members))
    assert {label for _, label, _ in listed} == {"glioma", "notumor"}
    assert {side for _, _, side in listed} == sides
    for file, _, side in listed:
        folder = file.removeprefix("kaggle/").split("/")[0].lower()
        assert side is not None
        assert folder.startswith(side)


def test_a_train_folder_inside_train_zip_is_no_class(tmp_path: Path) -> None:
    members = {f"Train/{name}": data for name, data in PLAIN.items()}
    path = write_zip(tmp_path / "Train.zip", members)
    assert _listed(path)[0] == ("Train/glioma/1.jpg", "glioma", "train")
    assert _listed(tmp_path) == _listed(path)


def test_of_two_members_of_one_name_the_later_counts(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "scans.zip", PLAIN)
    with (
        zipfile.ZipFile(path, "a") as file,
        pytest.warns(UserWarning, match="Duplicate name"),
    ):
        file.writestr("glioma/1.jpg", b"again")
    with Archive(path) as archive:
        assert [scan.file for scan in archive.scans] == list(PLAIN)
        assert {scan.file: data for scan, data in archive.stream()} == {
            **PLAIN,
            "glioma/1.jpg": b"again",
        }


def test_patient_folders_within_a_class_are_part_of_the_file_name_only(tmp_path: Path) -> None:
    members = {"glioma/patient-1/a.jpg": b"a", "glioma/patient-2/a.jpg": b"b", "notumor/a.jpg": b""}
    with Archive(write_zip(tmp_path / "scans.zip", members)) as archive:
        assert [scan.label for scan in archive.scans] == ["glioma", "glioma", "notumor"]
        assert [archive.read(scan) for scan in archive.scans] == [b"a", b"b", b""]


def test_several_zips_name_the_sides_and_keep_files_of_the_same_name_apart(tmp_path: Path) -> None:
    for number, name in enumerate(("Train", "Val", "Test")):
        write_zip(tmp_path / f"{name}.zip", {"glioma/1.jpg": bytes([number])})
    with Archive(tmp_path) as archive:
        assert {(s.file, s.label, s.side, archive.read(s)) for s in archive.scans} == {
            ("Train/glioma/1.jpg", "glioma", "train", b"\0"),
            ("Val/glioma/1.jpg", "glioma", "val", b"\1"),
            ("Test/glioma/1.jpg", "glioma", "test", b"\2"),
        }


def test_zips_may_have_other_names_and_their_own_enclosing_folders(tmp_path: Path) -> None:
    write_zip(tmp_path / "part-1.zip", {"glioma/1.jpg": b"", "notumor/1.jpg": b""})
    write_zip(tmp_path / "part-2.ZIP", {"more/glioma/1.jpg": b"", "more/notumor/1.jpg": b""})
    assert _listed(tmp_path) == [
        ("part-1/glioma/1.jpg", "glioma", None),
        ("part-1/notumor/1.jpg", "notumor", None),
        ("part-2/more/glioma/1.jpg", "glioma", None),
        ("part-2/more/notumor/1.jpg", "notumor", None),
    ]


def test_loose_files_beside_a_zip_are_read_too(tmp_path: Path) -> None:
    write_zip(tmp_path / "first.zip", {"glioma/1.jpg": b"zipped"})
    write_folder(tmp_path, {"notumor/1.jpg": b"loose"})
    with Archive(tmp_path) as archive:
        assert {scan.file: archive.read(scan) for scan in archive.scans} == {
            "first/glioma/1.jpg": b"zipped",
            "notumor/1.jpg": b"loose",
        }


@every_kind
def test_what_systems_leave_behind_is_not_looked_at(write: Writer, tmp_path: Path) -> None:
    junk = dict.fromkeys(
        (
            "__MACOSX/glioma/._1.jpg",
            "__MACOSX/1.jpg",
            "glioma/._1.jpg",
            ".hidden/1.jpg",
            "glioma/.ipynb_checkpoints/1.jpg",
            "glioma/Thumbs.db",
            "README.txt",
            "labels.csv",
        ),
        b"junk",
    )
    path = write(tmp_path, {**PLAIN, **junk})
    with Archive(path) as archive:
        assert [scan.file for scan in archive.scans] == list(PLAIN)
        assert archive.outside_class_folders == []
        assert archive.empty_class_folders == []


def test_hidden_zips_beside_the_data_are_not_opened(tmp_path: Path) -> None:
    write_folder(tmp_path, {**PLAIN, "._scans.zip": b"no zip"})
    assert [file for file, _, _ in _listed(tmp_path)] == list(PLAIN)


@every_kind
def test_images_outside_class_folders_are_set_apart(write: Writer, tmp_path: Path) -> None:
    with Archive(write(tmp_path, {**PLAIN, "stray.jpg": b"", "also.png": b""})) as archive:
        assert sorted(archive.outside_class_folders) == ["also.png", "stray.jpg"]
        assert [scan.file for scan in archive.scans] == list(PLAIN)


@every_kind
@pytest.mark.parametrize(
    ("members", "empty"),
    [
        ({**PLAIN, "pituitary/": b""}, ["pituitary"]),
        ({**PLAIN, "pituitary/": b"", "pituitary/notes.txt": b""}, ["pituitary"]),
        ({**PLAIN, "glioma/empty-patient/": b""}, []),
        (
            {**{f"Train/{name}": b"" for name in PLAIN}, "Train/pituitary/": b"", "Train/": b""},
            ["Train/pituitary"],
        ),
        (
            {**{f"x/Test/{name}": b"" for name in PLAIN}, "x/": b"", "x/Test/meningioma/": b""},
            ["x/Test/meningioma"],
        ),
    ],
)
def test_empty_class_folders_are_found(
    write: Writer, members: dict[str, bytes], empty: list[str], tmp_path: Path
) -> None:
    with Archive(write(tmp_path, members)) as archive:
        assert archive.empty_class_folders == empty


@pytest.mark.parametrize(
    "name",
    [
        "../glioma/x.jpg",
        "glioma/../../x.jpg",
        "/etc/glioma/x.jpg",
        "C:\\glioma\\x.jpg",
        "C:/glioma/x.jpg",
        "..\\..\\glioma\\x.jpg",
        "glioma\\..\\..\\x.jpg",
        "\\\\server\\share\\x.jpg",
        "../readme.txt",
    ],
)
def test_a_zip_whose_names_lead_outside_is_refused(name: str, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "scans.zip", {**PLAIN, name: b"evil"})
    with pytest.raises(
        DataError, match=r"scans.zip is refused: its member .* points outside"
    ) as at:
        Archive(path)
    assert repr(name) in str(at.value)


def test_a_zip_with_a_link_in_it_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "scans.zip", PLAIN)
    link = zipfile.ZipInfo("glioma/link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match=r"'glioma/link.jpg' points outside"):
        Archive(path)


@pytest.mark.parametrize("kept", [0, 10, -30])
def test_a_broken_zip_is_named_with_its_usual_cause(kept: int, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "Train.zip", PLAIN)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"Train.zip is not a readable zip: .*interrupted download"):
        Archive(path)


def test_a_file_that_is_no_zip_is_named(tmp_path: Path) -> None:
    path = tmp_path / "scan.jpg"
    path.write_bytes(jpeg(0))
    with pytest.raises(DataError, match=r"scan.jpg is not a readable zip"):
        Archive(path)


def _patched(path: Path, local: int, central: int, value: bytes) -> None:
    """Overwrite a field of the first member, in its local and its central header."""
    data = bytearray(path.read_bytes())
    directory = data.find(b"PK\x01\x02")
    data[local : local + len(value)] = value
    data[directory + central : directory + central + len(value)] = value
    path.write_bytes(data)


METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


def _damage_data(path: Path) -> None:
    data = bytearray(path.read_bytes())
    start = 30 + len("a/1.png") + 20
    data[start : start + 40] = bytes(byte ^ 0xFF for byte in data[start : start + 40])
    path.write_bytes(data)


def _encrypt(path: Path) -> None:
    _patched(path, 6, 8, b"\x01\x00")


def _compress_unknown(path: Path) -> None:
    _patched(path, 8, 10, b"\x61\x00")


def _claim_300_mb(path: Path) -> None:
    _patched(path, 22, 24, (300_000_000).to_bytes(4, "little"))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("harm", "cause"),
    [
        (_damage_data, "cannot be read from"),
        (_encrypt, "is encrypted"),
        (_compress_unknown, "compression method is not supported"),
        (_claim_300_mb, "unpacks to 300000000 bytes"),
    ],
)
def test_one_member_that_cannot_be_read_leaves_the_others_readable(
    method: int, harm: Callable[[Path], None], cause: str, tmp_path: Path
) -> None:
    members = {"a/1.png": png(1), "a/2.png": png(2), "b/1.png": png(3)}
    path = write_zip(tmp_path / "scans.zip", members, method)
    harm(path)
    with Archive(path) as archive:
        first, *others = archive.scans
        with pytest.raises(DataError, match=cause) as caught:
            archive.read(first)
        assert "a/1.png" in str(caught.value)
        assert [archive.read(scan) for scan in others] == [members["a/2.png"], members["b/1.png"]]


def test_a_file_that_vanishes_after_listing_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "scans", PLAIN)
    with Archive(folder) as archive:
        shutil.rmtree(folder / "glioma")
        with pytest.raises(DataError, match=r"glioma/1.jpg cannot be read"):
            archive.read(archive.scans[0])
        assert archive.read(archive.scans[2]) == b"three"


@pytest.mark.parametrize("members", [{}, {"notes.txt": b""}, {"1.jpg": b"", "2.jpg": b""}])
@every_kind
def test_an_archive_without_scans_in_class_folders_says_what_was_wanted(
    write: Writer, members: dict[str, bytes], tmp_path: Path
) -> None:
    found = sum(name.endswith(".jpg") for name in members)
    with pytest.raises(DataError, match=f"holds no scans: {found} image files .*wrong folder"):
        Archive(write(tmp_path, members))


def test_a_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing.zip does not exist"):
        Archive(tmp_path / "missing.zip")


def test_a_folder_that_the_system_cannot_list_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    # Tests may run as root, whom no folder refuses.
    monkeypatch.setattr(os, "scandir", fail)
    with pytest.raises(DataError, match=f"{tmp_path} cannot be read: .*Permission denied"):
        Archive(tmp_path)


def test_an_archive_that_cannot_be_opened_leaves_no_file_open(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", PLAIN)
    write_zip(tmp_path / "b.zip", {"../x.jpg": b""})
    # An open file would be reported as ResourceWarning, which is an error here.
    with pytest.raises(DataError):
        Archive(tmp_path)


def test_a_closed_archive_no_longer_reads(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "scans.zip", PLAIN)
    with Archive(path) as archive:
        scan = archive.scans[0]
    with pytest.raises(DataError):
        archive.read(scan)


def test_many_threads_read_one_zip_at_the_same_time(tmp_path: Path) -> None:
    members = {f"a/{number:03}.jpg": bytes([number]) * 5000 for number in range(200)}
    with (
        Archive(write_zip(tmp_path / "scans.zip", members)) as archive,
        ThreadPoolExecutor(8) as pool,
    ):
        assert list(pool.map(archive.read, archive.scans)) == list(members.values())


@every_kind
def test_a_picture_or_folder_beside_the_sides_makes_no_classes_of_them(
    write: Writer, tmp_path: Path
) -> None:
    members = {f"archive/Training/{name}": data for name, data in PLAIN.items()}
    members |= {f"archive/Testing/{name}": data for name, data in PLAIN.items()}
    strays = {"archive/preview.jpg": b"one", "samples/x/1.jpg": b"two"}
    with Archive(write(tmp_path, members | strays)) as archive:
        assert {scan.label for scan in archive.scans} == {"glioma", "notumor"}
        assert {scan.side for scan in archive.scans} == {"train", "test"}
        assert sorted(archive.outside_class_folders) == sorted(strays)


@every_kind
def test_a_picture_on_top_makes_no_class_of_the_enclosing_folder(
    write: Writer, tmp_path: Path
) -> None:
    members = {f"download/{name}": data for name, data in PLAIN.items()}
    listed = _listed(write(tmp_path, {**members, "preview.jpg": b"one"}))
    assert {label for _, label, _ in listed} == {"glioma", "notumor"}


def test_linked_class_folders_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    elsewhere = write_folder(tmp_path / "elsewhere", PLAIN)
    scans = tmp_path / "scans"
    scans.mkdir()
    for label in ("glioma", "notumor"):
        (scans / label).symlink_to(elsewhere / label)
    (elsewhere / "glioma" / "circle").symlink_to(elsewhere / "glioma")
    assert _listed(scans) == _listed(elsewhere)


def test_a_file_name_that_is_not_utf_8_is_written_out(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "scans", PLAIN)
    (folder / "glioma" / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"four")
    with Archive(folder) as archive:
        (scan,) = [scan for scan in archive.scans if "caf" in scan.file]
        assert scan.file.encode("utf-8") == b"glioma/caf\\udce9.jpg"
        assert archive.read(scan) == b"four"
