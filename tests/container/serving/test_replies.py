"""serving.replies: reply bodies."""

import io
import json
from collections.abc import Sequence

import numpy as np
import pytest

from brain_tumor.errors import ImageError, PayloadError, UnsupportedMediaTypeError
from brain_tumor.serving.classifier import Prediction
from brain_tumor.serving.payloads import JSON, JSON_LINES, NPY
from brain_tumor.serving.replies import CSV, Entry, error_body, write_reply

PREDICTIONS = [
    Prediction("glioma", 0.75, {"glioma": 0.75, "notumor": 0.25}, "confident"),
    Prediction("notumor", 0.6, {"glioma": 0.4, "notumor": 0.6}, "uncertain"),
]
MIXED: list[Entry] = [PREDICTIONS[0], ImageError("The second, one."), PREDICTIONS[1]]
WRITTEN = [
    {
        "label": "glioma",
        "probability": 0.75,
        "probabilities": {"glioma": 0.75, "notumor": 0.25},
        "decision": "confident",
    },
    {"error": {"code": "unreadable_image", "message": "The second, one."}},
    {
        "label": "notumor",
        "probability": 0.6,
        "probabilities": {"glioma": 0.4, "notumor": 0.6},
        "decision": "uncertain",
    },
]


def _written(entries: Sequence[Entry], media_type: str) -> str:
    return b"".join(write_reply([entries[:1], entries[1:]], media_type, 2)).decode()


def test_json_has_one_entry_an_image_in_order_and_errors_in_their_place() -> None:
    assert json.loads(_written(MIXED, JSON)) == {"predictions": WRITTEN}


def test_json_of_a_volume_names_the_most_suspicious_slice_and_other_types_are_as_ever() -> None:
    volume = {
        media_type: b"".join(write_reply([MIXED], media_type, 2, is_volume=True))
        for media_type in (JSON, CSV)
    }
    suspicious = {"slice": 0, "label": "glioma", "probability": 0.75}
    assert json.loads(volume[JSON]) == {"predictions": WRITTEN, "most_suspicious": suspicious}
    assert volume[CSV].decode() == _written(MIXED, CSV)


def test_json_lines_have_one_entry_a_line_and_a_newline_at_the_end() -> None:
    reply = _written(MIXED, JSON_LINES)
    assert reply.endswith("\n")
    assert [json.loads(line) for line in reply.splitlines()] == WRITTEN


def test_csv_has_the_probabilities_of_one_image_a_line_and_no_header() -> None:
    assert _written(PREDICTIONS, CSV) == "0.750000,0.250000\n0.400000,0.600000\n"


def test_csv_keeps_the_line_of_an_image_that_could_not_beread() -> None:
    first, second, third = _written(MIXED, CSV).splitlines()
    assert (first, third) == ("0.750000,0.250000", "0.400000,0.600000")
    # As many fields as the others have, all empty.
    assert second == ","


@pytest.mark.parametrize(
    "text", ["short", "x" * 5000, "ÿ" * 5000, "\\" * 5000, '"' * 5000, "🧠" * 900]
)
def test_an_error_is_short_enough_for_the_platform_whatever_it_quotes(text: str) -> None:
    body = json.dumps(error_body(UnsupportedMediaTypeError(text)))
    assert len(body.encode()) < 2048
    assert json.loads(body)["error"]["code"] == "unsupported_content_type"


def test_an_error_begins_with_its_sentence() -> None:
    assert error_body(PayloadError("The body is empty.")) == {
        "error": {"code": "unreadable_body", "message": "The body is empty."}
    }


def test_npy_has_the_probabilities_as_float32_and_nan_for_what_could_not_be_read() -> None:
    (body,) = write_reply([MIXED[:2], MIXED[2:]], NPY, 2)
    table = np.load(io.BytesIO(body))
    assert (table.dtype, table.shape) == (np.float32, (3, 2))
    np.testing.assert_allclose(table[[0, 2]], [[0.75, 0.25], [0.4, 0.6]], rtol=1e-6)
    assert np.isnan(table[1]).all()


@pytest.mark.parametrize(("media_type", "pieces"), [(JSON, 1), (JSON_LINES, 3), (CSV, 1), (NPY, 1)])
def test_json_lines_are_written_as_entries_come_and_other_types_once_all_are_there(
    media_type: str, pieces: int
) -> None:
    parts = [[entry] for entry in MIXED]
    assert len(list(write_reply(parts, media_type, 2))) == pieces
