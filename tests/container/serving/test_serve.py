"""serving.serve and its gunicorn settings: what happens before the server takes over."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from gunicorn.app.wsgiapp import WSGIApplication
from gunicorn.config import Config

from brain_tumor.artifact import MODEL_INFO_FILE, VERSION_FOLDER
from brain_tumor.errors import SettingsError
from brain_tumor.serving import serve
from brain_tumor.serving.gunicorn_worker import Worker
from brain_tumor.settings import Settings
from tests.classifiers import model_info
from tests.scans import write_folder


def test_with_a_model_the_process_becomes_gunicorn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(
        tmp_path / "model",
        {
            MODEL_INFO_FILE: model_info().model_dump_json().encode(),
            f"{VERSION_FOLDER}/saved_model.pb": b"read by the worker",
        },
    )
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    run: list[WSGIApplication] = []
    monkeypatch.setattr(WSGIApplication, "run", lambda server: run.append(server))
    serve.main()
    (server,) = run
    assert server.cfg.worker_class is Worker
    module, factory = server.app_uri.removesuffix("()").split(":")
    assert callable(getattr(importlib.import_module(module), factory))


def test_without_a_model_the_process_ends_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    with pytest.raises(SystemExit, match=r"^serve: .*model\.json does not exist"):
        serve.main()


def test_a_multi_model_endpoint_starts_without_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    monkeypatch.setenv("SAGEMAKER_MULTI_MODEL", "true")
    run: list[WSGIApplication] = []
    monkeypatch.setattr(WSGIApplication, "run", lambda server: run.append(server))
    serve.main()
    assert len(run) == 1


def test_a_setting_that_cannot_be_used_ends_the_process_with_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BRAIN_TUMOR_THREADS", "many")
    with pytest.raises(
        SystemExit, match=r"^serve: Environment variable BRAIN_TUMOR_THREADS='many'"
    ):
        serve.main()


def _gunicorn_conf() -> ModuleType:
    """Load the settings file as gunicorn does: anew, in the environment of now."""
    sys.modules.pop("brain_tumor.serving.gunicorn_conf", None)
    return importlib.import_module("brain_tumor.serving.gunicorn_conf")


def test_gunicorn_listens_where_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _gunicorn_conf().bind == "0.0.0.0:8080"
    monkeypatch.setenv("SAGEMAKER_BIND_TO_PORT", "9090")
    monkeypatch.setenv("BRAIN_TUMOR_HOST", "127.0.0.1")
    monkeypatch.setenv("BRAIN_TUMOR_THREADS", "5")
    monkeypatch.setenv("BRAIN_TUMOR_DRAIN_SECONDS", "25")
    conf = _gunicorn_conf()
    assert (conf.bind, conf.threads, conf.graceful_timeout) == ("127.0.0.1:9090", 37, 25)


def test_gunicorn_loads_tensorflow_in_one_worker_that_has_threads_to_spare_for_pings() -> None:
    conf = _gunicorn_conf()
    assert (conf.workers, conf.preload_app) == (1, False)
    assert conf.threads > Settings().threads


def test_gunicorn_refuses_to_start_with_a_bad_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "http")
    with pytest.raises(SettingsError, match="PORT='http'"):
        _gunicorn_conf()


@pytest.mark.usefixtures("restored_logging")
@pytest.mark.usefixtures("restored_logging")
def test_gunicorn_logs_as_everything_else_does_in_the_form_that_is_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _gunicorn_conf().logger_class(Config()).info("Listening at %s", "x")
    assert capsys.readouterr().err.endswith("Z INFO Listening at x\n")
    monkeypatch.setenv("BRAIN_TUMOR_LOG_FORMAT", "json")
    _gunicorn_conf().logger_class(Config()).info("Listening at %s", "x")
    event = json.loads(capsys.readouterr().err)
    assert (event["logger"], event["message"]) == ("gunicorn.error", "Listening at x")
