"""DataProcessing: what of a record is sent, and what of record and answer is kept."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local_test.emulator.batch.jsonpath import Path
from local_test.emulator.errors import EmulatorError

_WHOLE = "$"
INPUT, OUTPUT = "SageMakerInput", "SageMakerOutput"


def _read_csv(content: bytes) -> list[Any]:
    return list(csv.reader(io.StringIO(content.decode())))


def _write_csv(rows: list[Any]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows(row if isinstance(row, list) else [row] for row in rows)
    return text.getvalue().encode()


def _read_lines(content: bytes) -> list[Any]:
    return [json.loads(line) for line in content.splitlines() if line.strip()]


def _write_lines(values: list[Any]) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def _read_json(content: bytes) -> list[Any]:
    return [json.loads(content)]


def _write_json(values: list[Any]) -> bytes:
    return json.dumps(values[0]).encode()


_Read = Callable[[bytes], list[Any]]
_Write = Callable[[list[Any]], bytes]
_FORMATS: dict[str, tuple[_Read, _Write]] = {
    "text/csv": (_read_csv, _write_csv),
    "application/json": (_read_json, _write_json),
    "application/jsonlines": (_read_lines, _write_lines),
}


@dataclass(frozen=True)
class DataProcessing:
    """Filters and join of a job; without any, bytes go through as they are.

    Attributes:
        content_type: Of the input, and of the answers.
        input_filter: JSONPath: what of a record is sent.
        output_filter: JSONPath: what is kept of the answer, or of both joined.
        join: Whether the whole record is kept with its answer (JoinSource=Input).

    Raises:
        EmulatorError: A path or the content type is one that a job does not take.
    """

    content_type: str | None = None
    input_filter: str = _WHOLE
    output_filter: str = _WHOLE
    join: bool = False

    def __post_init__(self) -> None:
        for path in (self.input_filter, self.output_filter):
            Path(path)
        if self.needed and self._type not in _FORMATS:
            raise EmulatorError(
                f"Filters and joins need the content type {', '.join(_FORMATS)}, for the input "
                f"and the answers: {self.content_type}."
            )

    @property
    def _type(self) -> str:
        return (self.content_type or "").partition(";")[0].strip().lower()

    @property
    def needed(self) -> bool:
        """Whether anything but whole answers is asked for."""
        return self.join or (self.input_filter, self.output_filter) != (_WHOLE, _WHOLE)

    def sent(self, body: bytes) -> bytes:
        """Return what is sent of a request's records."""
        if self.input_filter == _WHOLE:
            return body
        read, write = _FORMATS[self._type]
        path = Path(self.input_filter)
        return write([path.select(value) for value in _parsed(read, body, "The input")])

    def kept(self, body: bytes, answer: bytes) -> bytes:
        """Return what is kept of a request's records and their answers.

        Raises:
            EmulatorError: There are not as many answers as records, or a path selects nothing.
        """
        if not self.join and self.output_filter == _WHOLE:
            return answer
        read, write = _FORMATS[self._type]
        answers = _parsed(read, answer, "The answer")
        if self.join:
            records = _parsed(read, body, "The input")
            if len(records) != len(answers):
                raise EmulatorError(
                    f"{len(answers)} answers to {len(records)} records cannot be joined."
                )
            pairs = zip(records, answers, strict=True)
            join = _joined_rows if self._type == "text/csv" else _joined_values
            answers = [join(record, one) for record, one in pairs]
        path = Path(self.output_filter)
        return write([path.select(value) for value in answers])


def _joined_rows(record: list[Any], answer: list[Any]) -> list[Any]:
    return [*record, *answer]


def _joined_values(record: Any, answer: Any) -> dict[str, Any]:
    if isinstance(record, dict):
        return {**record, OUTPUT: answer}
    return {INPUT: record, OUTPUT: answer}


def _parsed(read: _Read, content: bytes, what: str) -> list[Any]:
    try:
        return read(content)
    except (ValueError, csv.Error) as error:
        raise EmulatorError(f"{what} cannot be read for filters and joins: {error}") from error
