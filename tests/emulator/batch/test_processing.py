"""Filters and joins, with the examples of the developer guide's page."""

import pytest

from local_test.emulator.batch.processing import DataProcessing
from local_test.emulator.errors import EmulatorError

CSV, LINES, JSON = "text/csv", "application/jsonlines", "application/json"
_KEPT = "$['id','SageMakerOutput']"


def test_without_filters_bytes_go_through_as_they_are() -> None:
    processing = DataProcessing("image/jpeg")
    assert processing.sent(b"\xff\xd8") == b"\xff\xd8"
    assert processing.kept(b"\xff\xd8", b"not\r\neven csv") == b"not\r\neven csv"


@pytest.mark.parametrize(
    ("processing", "record", "sent", "answer", "kept"),
    [
        (DataProcessing(CSV, join=True), b"1,2,3\n", b"1,2,3\n", b"1\n", b"1,2,3,1\n"),
        (
            DataProcessing(CSV, "$[1:]", "$[0,-1]", join=True),
            b'id-1,"a, b",2.50\nid-2,c,3\n',
            b'"a, b",2.50\nc,3\n',
            b"0.10\n0.2\n",
            b"id-1,0.10\nid-2,0.2\n",
        ),
        (DataProcessing(CSV, "$[0]"), b"5,6\n", b"5\n", b"x,y\n", b"x,y\n"),
        (DataProcessing(CSV, output_filter="$[1]"), b"5\n", b"5\n", b"x,y\n", b"y\n"),
        (
            DataProcessing(LINES, join=True),
            b'{"key": 1}\n[2]\n',
            b'{"key": 1}\n[2]\n',
            b'{"label": 1}\n{"label": 2}\n',
            b'{"key": 1, "SageMakerOutput": {"label": 1}}\n'
            b'{"SageMakerInput": [2], "SageMakerOutput": {"label": 2}}\n',
        ),
        (
            DataProcessing(
                f"{JSON}; charset=utf-8", "$.features", "$['id','SageMakerOutput']", True
            ),
            b'{"id": 7, "features": [1, 2], "more": 0}',
            b"[1, 2]",
            b'{"label": 1}',
            b'{"id": 7, "SageMakerOutput": {"label": 1}}',
        ),
    ],
)
def test_records_are_filtered_joined_and_filtered_again(
    processing: DataProcessing, record: bytes, sent: bytes, answer: bytes, kept: bytes
) -> None:
    assert processing.sent(record) == sent
    assert processing.kept(record, answer) == kept


def test_fewer_answers_than_records_cannot_be_joined() -> None:
    with pytest.raises(EmulatorError, match="1 answers to 2 records"):
        DataProcessing(CSV, join=True).kept(b"1\n2\n", b"1\n")


def test_an_answer_of_another_format_is_an_error() -> None:
    with pytest.raises(EmulatorError, match="The answer cannot be read"):
        DataProcessing(JSON, join=True).kept(b"{}", b"1,2")


def test_filters_and_joins_need_csv_or_json() -> None:
    for content_type in ("image/jpeg", None):
        with pytest.raises(EmulatorError, match="need the content type text/csv"):
            DataProcessing(content_type, join=True)
