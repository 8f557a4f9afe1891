"""DICOM and NIfTI on the real server: what is answered, and that no patient is named."""

import gzip
import io
import json
import subprocess
import warnings
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.datadict import DicomDictionary
from pydicom.uid import JPEGBaseline8Bit

from tests.jobs import BIN
from tests.medical import PYDICOM_FILES, dicom, item, nifti
from tests.ports import free_port
from tests.scans import encode, head, noise
from tests.server import Reply, Server

FILES = sorted(path for path in PYDICOM_FILES.rglob("*") if path.is_file() and path.suffix != ".py")
VOLUME = np.stack([np.rot90(head(n), -1)[::4, ::2].astype(np.int16) for n in range(5)], axis=2)
# A name, as nobody has, in every tag that may tell who, where and when.
MARKER = "ZZMARKERZZ"
_TELLING = ("PN", "LO", "SH", "LT", "ST", "UC", "UT", "AS", "DA", "TM", "DT", "CS", "UR")
_NEEDED = ("Modality", "PhotometricInterpretation", "VOILUTFunction")


def _post(server: Server, body: bytes, content_type: str | None = None, **headers: str) -> Reply:
    given = {"Content-Type": content_type} if content_type else {}
    return server.request("POST", "/invocations", body, given | headers)


def _is_scan(path: Path) -> bool:
    """Whether pydicom itself finds MR or CT with pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = pydicom.dcmread(path, force=True, stop_before_pixels=False)
        return (
            file.get("Modality") in ("MR", "CT")
            and "PixelData" in file
            # Its pixels end early.
            and path.name != "MR_truncated.dcm"
        )


@pytest.mark.parametrize("path", FILES, ids=[str(p.relative_to(PYDICOM_FILES)) for p in FILES])
def test_every_file_of_pydicom_is_predicted_if_it_is_mr_or_ct_and_else_a_4xx_with_its_reason(
    server: Server, path: Path
) -> None:
    reply = _post(server, path.read_bytes(), "application/dicom")
    document = json.loads(reply.body)
    if _is_scan(path):
        assert reply.status == 200
        (entry,) = document["predictions"]
        assert sum(entry["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    else:
        assert 400 <= reply.status < 500
        assert document["error"]["message"].endswith(".")


def test_the_files_of_pydicom_are_many_and_many_of_them_are_scans() -> None:
    assert len(FILES) > 150
    assert sum(map(_is_scan, FILES)) > 35


def test_dicom_and_nifti_are_recognised_without_a_type(server: Server) -> None:
    scan = (PYDICOM_FILES / "MR_small.dcm").read_bytes()
    volume = nifti(VOLUME)
    for body, kind in (
        (scan, "application/dicom"),
        (volume, "application/x-nifti"),
        (gzip.compress(volume), "application/gzip"),
    ):
        named = _post(server, body, kind)
        assert named.status == 200
        for general in (None, "application/octet-stream"):
            assert _post(server, body, general).body == named.body


def test_a_file_without_a_preamble_is_read_only_where_it_is_called_dicom(server: Server) -> None:
    old = dicom(noise(0), preamble=False)
    assert _post(server, old, "application/dicom").status == 200
    assert _post(server, old).status == 400


def test_a_volume_has_an_entry_a_slice_and_names_the_most_suspicious(server: Server) -> None:
    reply = json.loads(_post(server, nifti(VOLUME, compressed=True), "application/gzip").body)
    assert len(reply["predictions"]) == VOLUME.shape[2]
    counted = [
        (probability, number, label)
        for number, entry in enumerate(reply["predictions"])
        if entry["decision"] != "not_brain_mri"
        for label, probability in entry["probabilities"].items()
        if label != "notumor"
    ]
    if not counted:
        assert reply["most_suspicious"] is None
        return
    probability, number, label = max(counted)
    assert reply["most_suspicious"] == {
        "slice": number,
        "label": label,
        "probability": probability,
    }


def test_a_volume_in_csv_and_json_lines_has_a_line_a_slice(server: Server) -> None:
    for kind in ("text/csv", "application/jsonlines"):
        reply = _post(server, nifti(VOLUME), "application/x-nifti", Accept=kind)
        assert len(reply.body.splitlines()) == VOLUME.shape[2]


def test_each_frame_is_an_entry_or_the_middle_one_alone_where_that_is_set(
    server: Server, trained: Path, tmp_path: Path
) -> None:
    frames = dicom(np.stack([noise(n) for n in range(5)]), WindowCenter=128, WindowWidth=256)
    every = json.loads(_post(server, frames, "application/dicom").body)
    assert len(every["predictions"]) == 5
    assert "most_suspicious" in every
    with Server.start(
        trained, free_port(), tmp_path / "log", BRAIN_TUMOR_DICOM_FRAMES="middle"
    ) as other:
        other.wait_until_ready()
        one = json.loads(_post(other, frames, "application/dicom").body)
    assert one == {"predictions": [every["predictions"][2]]}


def test_a_damaged_frame_is_an_error_in_its_place(server: Server) -> None:
    frames = [encode(noise(n), "JPEG") for n in range(3)]
    frames[1] = frames[1][:400]
    plain = pydicom.dcmread(io.BytesIO(dicom(noise(0))))
    tags: dict[str, Any] = {tag.keyword: tag.value for tag in plain}
    del tags["PixelData"]
    reply = _post(server, dicom(frames, JPEGBaseline8Bit, **tags), "application/dicom")
    assert reply.status == 200
    first, second, third = json.loads(reply.body)["predictions"]
    assert (list(second), "label" in first, "label" in third) == (["error"], True, True)


def _telling_tags() -> dict[str, str]:
    return {
        keyword: MARKER
        for tag, (vr, _, _, _, keyword) in DicomDictionary.items()
        # Not those of messages, of a file's own description and of directories.
        if tag >> 16 > 4 and vr in _TELLING and keyword and keyword not in _NEEDED
    }


def _marked(**changes: Any) -> bytes:
    """Give a scan with the marker in every tag of text, and what `changes` says besides."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dicom(noise(0), **{**_telling_tags(), **changes})


MARKED = {
    "whole": (_marked(), 200),
    "truncated": (_marked()[:-100], 400),
    "cut within its tags": (_marked()[:3000], 400),
    "of another modality": (_marked(Modality=MARKER), 400),
    "of unknown colours": (_marked(PhotometricInterpretation=MARKER), 400),
    "with an unknown window function": (
        _marked(VOILUTFunction=MARKER, WindowCenter=1, WindowWidth=9),
        200,
    ),
    "of another character set": (_marked(SpecificCharacterSet=MARKER), 200),
    "with numbers that are none": (
        _marked(WindowCenter=12345678, WindowWidth=1).replace(b"12345678", b"ZZMARKER"),
        400,
    ),
    "of an unknown transfer syntax": (
        _marked().replace(b"1.2.840.10008.1.2.1\0", b"1.2." + MARKER.encode() + b".2.1\0\0"),
        400,
    ),
    "with names in groups of frames": (
        _marked(SharedFunctionalGroupsSequence=item(PatientName=MARKER, PatientID=MARKER)),
        200,
    ),
}


@pytest.mark.parametrize("case", MARKED)
def test_no_tag_of_a_file_is_answered_or_logged(server: Server, case: str) -> None:
    body, status = MARKED[case]
    assert body.count(b"ZZMARKER") > 500 or "cut" in case
    for kind in ("application/dicom", None):
        reply = _post(server, body, kind)
        assert reply.status == status
        assert b"ZZMARKER" not in reply.body
    assert "ZZMARKER" not in server.log.read_text()


def test_no_text_of_a_nifti_header_is_answered_or_logged(server: Server) -> None:
    image = nibabel.Nifti1Image(VOLUME, np.eye(4))
    for field in ("descrip", "aux_file", "intent_name", "db_name"):
        image.header[field] = MARKER.encode()
    whole = image.to_bytes()
    no_type = whole[:70] + b"ZZ" + whole[72:]
    strange = whole[:76] + b"MARK" * 8 + whole[108:]
    for body, statuses in ((whole, [200]), (no_type, [400]), (strange, [200, 400])):
        reply = _post(server, body, "application/x-nifti")
        assert reply.status in statuses
        assert MARKER.encode() not in reply.body
    assert MARKER not in server.log.read_text()
    assert "nibabel" not in server.log.read_text()


def test_predict_reads_dicom_and_nifti_files(trained: Path, tmp_path: Path) -> None:
    old, volume = tmp_path / "old.dcm", tmp_path / "head.nii.gz"
    old.write_bytes(dicom(noise(0), preamble=False))
    volume.write_bytes(nifti(VOLUME, compressed=True))
    truncated = PYDICOM_FILES / "MR_truncated.dcm"
    scan = PYDICOM_FILES / "MR_small.dcm"
    result = subprocess.run(
        [BIN / "brain-tumor", "predict", trained / "model", scan, old, volume, truncated],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["file"], line.get("slice")) for line in lines] == [
        (str(scan), None),
        (str(old), None),
        *((str(volume), number) for number in range(VOLUME.shape[2])),
        (str(truncated), None),
    ]
    assert all("label" in line for line in lines[:-1])
    assert "damaged" in lines[-1]["error"]
