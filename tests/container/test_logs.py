"""logs: one plain line an event, on stderr."""

import json
import logging
import os
import re
import time
import warnings
from collections.abc import Iterator

import pytest

from brain_tumor.logs import configure_logging, request_id

pytestmark = pytest.mark.usefixtures("restored_logging")


@pytest.fixture
def far_from_greenwich() -> Iterator[None]:
    """Put this process into another time zone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "EST+5")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("far_from_greenwich")
def test_an_event_is_one_line_on_stderr_with_the_time_in_utc(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Python 3.13 reads the one, earlier ones the other.
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_000_000_000)
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.0)
    configure_logging()
    logging.getLogger("brain_tumor.anything").warning("%d scans left out", 3)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "2023-11-14T22:13:20Z WARNING 3 scans left out\n"


def test_debug_is_left_out_unless_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    logging.getLogger("x").debug("first")
    logging.getLogger("x").info("second")
    configure_logging(logging.DEBUG)
    logging.getLogger("x").debug("third")
    assert re.findall("first|second|third", capsys.readouterr().err) == ["second", "third"]


def test_setting_up_twice_logs_every_event_once(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    configure_logging()
    logging.getLogger("x").info("once")
    assert capsys.readouterr().err.count("once") == 1


@pytest.mark.parametrize("name", ["matplotlib.font_manager", "botocore.hooks", "PIL", "tensorflow"])
def test_libraries_log_warnings_only(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(logging.DEBUG)
    logging.getLogger(name).info("noise")
    logging.getLogger(name).warning("a cause")
    assert "noise" not in (printed := capsys.readouterr().err)
    assert "a cause" in printed


def test_tensorflow_is_told_to_be_quiet_unless_the_operator_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    configure_logging()
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "2"
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    configure_logging()
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"


@pytest.mark.parametrize("end", ["\n", "\r", "\x85", "\u2028", "\v"])
def test_what_a_client_sent_cannot_forge_a_line(
    end: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging()
    logging.getLogger("x").info("GET %s 404", f"/x{end}2026-01-01T00:00:00Z CRITICAL \x1b[2J")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(rf"INFO GET /x{ascii(end)[1:-1]}2026-01-01T00:00:00Z CRITICAL \x1b[2J 404")


def test_a_traceback_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("x").exception("größe failed")
    first, *rest = capsys.readouterr().err.splitlines()
    assert first.endswith("ERROR größe failed")
    assert (rest[0], rest[-1]) == ("Traceback (most recent call last):", "ValueError: no")


def test_as_json_an_event_is_an_object_with_its_fields_the_request_and_the_exception(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging(form="json")
    token = request_id.set("abc-1")
    try:
        raise ValueError("line\nline")
    except ValueError:
        logging.getLogger("x").exception("%d failed", 1, extra={"fields": {"status": 500}})
    finally:
        request_id.reset(token)
    line, rest = capsys.readouterr().err.split("\n", 1)
    event = json.loads(line)
    assert rest == ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event.pop("time"))
    assert "ValueError: line\nline" in event.pop("exception")
    assert event == {
        "level": "ERROR",
        "logger": "x",
        "message": "1 failed",
        "request_id": "abc-1",
        "status": 500,
    }


@pytest.mark.parametrize("name", ["pydicom", "pydicom.pixels", "nibabel.global", "openjpeg"])
def test_what_quotes_medical_files_logs_nothing(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging()
    logging.getLogger(name).error("Jane Doe")
    assert capsys.readouterr().err == ""


def test_what_readers_of_files_find_odd_is_no_warning_in_any_thread() -> None:
    warnings.simplefilter("error")
    configure_logging()

    def warn(module: str) -> None:
        warnings.warn_explicit("Jane Doe", UserWarning, "file.py", 1, module)

    for module in (
        "PIL.TiffImagePlugin",
        "pydicom.valuerep",
        "nibabel.nifti1",
        "brain_tumor.dicom",
    ):
        warn(module)
    with pytest.raises(UserWarning, match="Jane Doe"):
        warn("brain_tumor.serving.app")
