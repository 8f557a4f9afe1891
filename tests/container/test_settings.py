"""settings: what an operator may set in the environment."""

from pathlib import Path
from typing import Any

import pytest

from brain_tumor.errors import SettingsError
from brain_tumor.settings import Settings, load_settings


def test_without_any_variable_the_platforms_defaults_hold() -> None:
    settings = load_settings()
    assert settings.base_dir == Path("/opt/ml")
    assert settings.model_dir == Path("/opt/ml/model")
    assert (settings.host, settings.port) == ("0.0.0.0", 8080)
    assert settings.max_body_mb == 100


@pytest.mark.parametrize(
    ("name", "value", "field", "read"),
    [
        ("SAGEMAKER_BASE_DIR", "/somewhere", "base_dir", Path("/somewhere")),
        ("SAGEMAKER_BIND_TO_PORT", "9000", "port", 9000),
        ("PORT", "9001", "port", 9001),
        ("BRAIN_TUMOR_HOST", "127.0.0.1", "host", "127.0.0.1"),
        ("BRAIN_TUMOR_ENGINE", "tensorflow", "engine", "tensorflow"),
        ("BRAIN_TUMOR_THREADS", "4", "threads", 4),
        ("BRAIN_TUMOR_MAX_BODY_MB", "1024", "max_body_mb", 1024.0),
        ("BRAIN_TUMOR_MAX_BODY_MB", "0.5", "max_body_mb", 0.5),
        ("BRAIN_TUMOR_MAX_MEGAPIXELS", "2.5", "max_pixels", 2_500_000),
        ("BRAIN_TUMOR_OF_ANOTHER_VERSION", "1", "port", 8080),
    ],
)
def test_a_variable_sets_its_field(
    name: str, value: str, field: str, read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert getattr(load_settings(), field) == read


def test_the_platforms_port_wins_over_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9001")
    monkeypatch.setenv("SAGEMAKER_BIND_TO_PORT", "9000")
    assert load_settings().port == 9000


@pytest.mark.parametrize("name", ["PORT", "BRAIN_TUMOR_THREADS", "SAGEMAKER_BASE_DIR"])
def test_an_empty_variable_counts_as_not_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "")
    assert load_settings() == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "0"),
        ("SAGEMAKER_BIND_TO_PORT", "65536"),
        ("BRAIN_TUMOR_ENGINE", "onnx"),
        ("BRAIN_TUMOR_THREADS", "1"),
        ("BRAIN_TUMOR_THREADS", "many"),
        ("BRAIN_TUMOR_MAX_BODY_MB", "0"),
        ("BRAIN_TUMOR_MAX_BODY_MB", "100 MB"),
        ("BRAIN_TUMOR_MAX_MEGAPIXELS", "-1"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    sentence = str(caught.value)
    assert sentence.startswith(f"Environment variable {name}='{value}' cannot be used: ")


def test_every_setting_is_described_for_people() -> None:
    for name, field in Settings.model_fields.items():
        assert (field.description or "").endswith("."), name
