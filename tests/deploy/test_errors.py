"""Errors on the command line: a sentence for what AWS answers, none for faults of ours."""

from pathlib import Path

import pytest

from deploy.errors import explain
from tests.deploy import loopback
from tests.deploy.answers import answer
from tests.deploy.conftest import deploy, use


def test_what_the_table_lacks_is_told_with_its_code_and_a_fault_of_ours_is_not_hidden() -> None:
    told = explain(answer("InternalFailure", "It broke."))
    assert told == "AWS refused CreateTrainingJob (InternalFailure): It broke."
    page = "<html>\n<title>502 Bad Gateway</title>" + 100 * "<p>The server</p>\n"
    told = explain(answer("502", page))
    assert told
    assert told.startswith("AWS refused CreateTrainingJob (502): <html> <title>502 Bad Gateway")
    assert len(told) < 600
    assert "\n" not in told
    assert explain(KeyError("Name")) is None


def test_the_command_line_prints_the_sentence_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with loopback.refusing_server() as (url, asked):
        use(monkeypatch, loopback.environment(url, tmp_path))
        result = deploy("status")
    assert asked != []
    assert result.exit_code == 1
    assert result.output.startswith("Error: You may not do ")
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("absent", "told"),
    [
        (["AWS_REGION"], "No region is set"),
        (["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"], "No AWS credentials were found"),
        (["AWS_SECRET_ACCESS_KEY"], "AWS_SECRET_ACCESS_KEY is missing"),
    ],
)
def test_what_the_environment_lacks_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, absent: list[str], told: str
) -> None:
    use(monkeypatch, loopback.environment("http://127.0.0.1:9", tmp_path))
    for name in absent:
        monkeypatch.delenv(name)
    result = deploy("status")
    assert result.exit_code == 1
    assert told in result.output


def test_a_profile_that_does_not_exist_and_a_server_that_is_not_there_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, loopback.environment("http://127.0.0.1:9", tmp_path))
    assert "no profile lab" in deploy("status", "--profile", "lab").output
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert "http://127.0.0.1:9/ cannot be reached" in deploy("status").output


def test_a_project_that_cannot_be_part_of_a_buckets_name_is_refused() -> None:
    result = deploy("status", "--project", "Brain_Tumor")
    assert result.exit_code == 1
    assert "'Brain_Tumor'" in result.output
