"""serving.app: the HTTP routes, without a model and without sockets."""

import base64
import io
import json
import logging
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from flask.testing import FlaskClient
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.test import TestResponse

import brain_tumor
from brain_tumor import images
from brain_tumor.errors import ArtifactError
from brain_tumor.scoring import HeatMapsFn, Scores, without_foreign
from brain_tumor.serving import app as module
from brain_tumor.serving import holder as holder_module
from brain_tumor.serving import models as models_module
from brain_tumor.serving.app import create_app, routes
from brain_tumor.serving.batcher import Batcher
from brain_tumor.serving.classifier import Classifier
from brain_tumor.serving.engine import Engine
from brain_tumor.serving.holder import ModelHolder
from brain_tumor.serving.on_demand import OnDemand
from brain_tumor.settings import Settings
from tests.classifiers import (
    CLASS_NAMES,
    Recorder,
    heat_maps,
    model_info,
    probabilities_of,
    stand_in,
)
from tests.scans import encode, jpeg, noise, png

# EXIF's orientation: the camera was turned by a quarter.
TURNED = Image.Exif()
TURNED[0x0112] = 6

Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def _client(classifier: Classifier | None, **settings: Any) -> FlaskClient:
    holder = ModelHolder()
    if classifier is not None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(holder_module, "load_classifier", lambda *_: classifier)
            holder.load(Settings())
    return create_app(Settings(**settings), holder).test_client()


@pytest.fixture
def client() -> FlaskClient:
    """Give a client of an application whose model is loaded."""
    return _client(stand_in()[0])


def _post(client: FlaskClient, body: bytes, content_type: str | None, **headers: str) -> Any:
    return client.post("/invocations", data=body, content_type=content_type, headers=headers)


def _npy(array: NDArray[Any]) -> bytes:
    data = io.BytesIO()
    np.save(data, array)
    return data.getvalue()


def _instances(*files: bytes) -> bytes:
    encoded = [{"b64": base64.b64encode(data).decode()} for data in files]
    return json.dumps({"instances": encoded}).encode()


def _probabilities(data: bytes) -> list[float]:
    """Give what the stand-in answers to an image."""
    return [float(p) for p in probabilities_of(images.resize(images.decode(data), 32))]


def _error(response: TestResponse, status: int, code: str) -> str:
    """Check that a reply is an error as promised, and give its message."""
    assert response.status_code == status
    assert response.mimetype == "application/json"
    assert len(response.data) < 2048
    assert b"Traceback" not in response.data
    assert response.json is not None
    assert set(response.json) == {"error"}
    assert set(response.json["error"]) == {"code", "message"}
    assert response.json["error"]["code"] == code
    message: str = response.json["error"]["message"]
    assert message
    return message


# --- /ping ---


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_ping_is_200_with_an_empty_body_once_the_model_is_loaded(
    client: FlaskClient, method: str
) -> None:
    response = client.open("/ping", method=method)
    assert (response.status_code, response.data) == (200, b"")
    assert response.content_length == 0


def test_ping_and_invocations_are_503_with_retry_after_while_the_model_loads() -> None:
    client = _client(None)
    for response in (client.get("/ping"), client.post("/ping"), _post(client, png(0), "image/png")):
        assert "still loading" in _error(response, 503, "not_ready")
        assert int(response.headers["Retry-After"]) > 0
    assert client.head("/ping").status_code == 503


# --- KServe and TensorFlow Serving ---


def test_kserve_is_told_the_models_name_and_that_it_is_ready(client: FlaskClient) -> None:
    assert client.get("/v1/models").json == {"models": ["brain-tumor"]}
    assert client.get("/v1/models/brain-tumor").json == {"name": "brain-tumor", "ready": True}


def test_kserve_is_told_503_while_the_model_loads() -> None:
    client = _client(None)
    assert "still loading" in _error(client.get("/v1/models/brain-tumor"), 503, "not_ready")
    predict = client.post("/v1/models/brain-tumor:predict", data=_instances(png(0)))
    _error(predict, 503, "not_ready")


# `curl -d`, as TensorFlow Serving's and KServe's examples have it, says that it sends a form.
@pytest.mark.parametrize(
    "content_type", ["application/json", "application/x-www-form-urlencoded", None]
)
def test_predict_gives_the_answer_of_invocations_whatever_type_the_json_is_said_to_be(
    client: FlaskClient, content_type: str | None
) -> None:
    body = _instances(png(0), png(1))
    answer = client.post("/v1/models/brain-tumor:predict", data=body, content_type=content_type)
    assert answer.status_code == 200
    assert len(answer.json["predictions"]) == 2  # type: ignore[index]
    assert answer.data == _post(client, body, "application/json").data


def test_predict_takes_json_alone(client: FlaskClient) -> None:
    answer = client.post("/v1/models/brain-tumor:predict", data=png(0), content_type="image/png")
    _error(answer, 400, "unreadable_body")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/models/x"), ("POST", "/v1/models/x:predict")]
)
def test_another_models_name_is_a_404_that_says_which_one_is_served(
    client: FlaskClient, method: str, path: str
) -> None:
    message = _error(client.open(path, method=method), 404, "model_not_loaded")
    assert "'x'" in message
    assert "'brain-tumor'" in message
    assert "BRAIN_TUMOR_MODEL_NAME" in message


def test_the_models_name_can_be_set() -> None:
    client = _client(stand_in()[0], model_name="north")
    assert client.get("/v1/models/north").json == {"name": "north", "ready": True}
    answer = client.post("/v1/models/north:predict", data=_instances(png(0)))
    assert answer.status_code == 200


# --- What is here ---


def test_the_root_says_what_is_here(client: FlaskClient) -> None:
    document = client.get("/").json
    assert document is not None
    assert (document["name"], document["version"]) == ("brain-tumor", brain_tumor.__version__)
    assert {"/", "/ping", "/invocations", "/execution-parameters"} <= set(document["routes"])


def _metrics(client: FlaskClient) -> dict[str, float]:
    response = client.get("/metrics")
    assert (response.status_code, response.mimetype) == (200, "text/plain")
    families = text_string_to_metric_families(response.text)
    return {
        f"{sample.name}{sorted(sample.labels.values())}": sample.value
        for family in families
        for sample in family.samples
    }


def test_metrics_count_requests_by_route_and_status_and_hide_what_does_not_exist(
    client: FlaskClient,
) -> None:
    _post(client, png(0), "image/png")
    _post(client, b"no image", "image/png")
    _post(client, png(1), "image/png")
    client.get("/ping")
    client.get("/somebody-tries-this")
    counts = _metrics(client)
    count = "brain_tumor_request_seconds_count"
    assert counts[f"{count}['/invocations', '200']"] == 2
    assert counts[f"{count}['/invocations', '400']"] == 1
    assert counts[f"{count}['/ping', '200']"] == 1
    assert counts[f"{count}['404', 'none']"] == 1
    assert not any("somebody" in name for name in counts)
    assert counts["process_resident_memory_bytes[]"] > 0


def test_metrics_tell_whether_a_model_serves_and_by_which_engine_and_why() -> None:
    holder = ModelHolder()
    client = create_app(Settings(), holder).test_client()
    assert _metrics(client)["brain_tumor_ready[]"] == 0
    holder.metrics.serves(
        Engine("openvino", "bfloat16", "the check holds", without_foreign(Recorder()))
    )
    holder.metrics.predicted(4, 0.25, 0.5)
    holder.metrics.predicted(1, 0.25, 0.5)
    counts = _metrics(client)
    assert counts["brain_tumor_ready[]"] == 1
    assert counts["brain_tumor_engine_info['bfloat16', 'openvino', 'the check holds']"] == 1
    assert counts["brain_tumor_batch_images_count[]"] == 2
    assert counts["brain_tumor_batch_images_sum[]"] == 5
    assert counts["brain_tumor_stage_seconds_sum['queue']"] == 0.5
    assert counts["brain_tumor_stage_seconds_sum['predict']"] == 1


def test_metrics_tell_where_the_time_of_requests_goes() -> None:
    classifier, _ = stand_in()
    client = _client(classifier)
    _post(client, png(1), "image/png")
    counts = _metrics(client)
    for stage in ("read", "decode", "encode"):
        assert 0 < counts[f"brain_tumor_stage_seconds_sum['{stage}']"] < 30


def test_execution_parameters_are_those_of_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(routes, "allowed_cores", lambda: 4)
    monkeypatch.setattr(routes, "allowed_memory", lambda: 64 * 10**9)
    reply = _client(stand_in()[0]).get("/execution-parameters")
    assert reply.json == {
        "MaxConcurrentTransforms": 4,
        "BatchStrategy": "MultiRecord",
        "MaxPayloadInMB": 25,
    }


# --- /invocations: bodies ---


@pytest.mark.parametrize("kind", images.FORMATS)
def test_an_image_is_answered_with_label_probabilities_and_decision(
    client: FlaskClient, kind: str
) -> None:
    data = encode(noise(0), kind)
    response = _post(client, data, f"image/{kind.lower()}")
    assert (response.status_code, response.mimetype) == (200, "application/json")
    (entry,) = response.json["predictions"]
    assert set(entry) == {"label", "probability", "probabilities", "decision"}
    assert list(entry["probabilities"]) == CLASS_NAMES
    assert list(entry["probabilities"].values()) == pytest.approx(_probabilities(data))
    assert entry["probability"] == max(entry["probabilities"].values())
    assert entry["probabilities"][entry["label"]] == entry["probability"]
    assert entry["decision"] == "confident"


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "image/jpeg",
        "IMAGE/PNG",
        "image/png; name=scan.png",
        "image/vnd.of-some-kind",
        "application/x-image",
        "application/octet-stream",
    ],
)
def test_an_image_is_read_whatever_it_is_called(
    client: FlaskClient, content_type: str | None
) -> None:
    response = _post(client, png(0), content_type)
    assert response.status_code == 200
    (entry,) = response.json["predictions"]
    assert list(entry["probabilities"].values()) == pytest.approx(_probabilities(png(0)))


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (_instances(png(0)), "application/json"),
        (_instances(png(0)), "application/json; charset=utf-8"),
        (_instances(png(0)), None),
        (json.dumps({"instances": [noise(0).tolist()]}).encode(), "application/json"),
        (_npy(noise(0)), "application/x-npy"),
        (_npy(noise(0).astype(np.float32)), None),
    ],
)
def test_json_and_npy_give_the_answer_of_the_image_itself(
    client: FlaskClient, body: bytes, content_type: str | None
) -> None:
    response = _post(client, body, content_type)
    assert response.status_code == 200
    assert response.data == _post(client, png(0), "image/png").data


def test_a_bad_image_of_a_batch_has_its_error_in_its_place(client: FlaskClient) -> None:
    good = [png(0), jpeg(1), png(2)]
    response = _post(
        client, _instances(good[0], b"<html>", good[1], b"", good[2]), "application/json"
    )
    assert response.status_code == 200
    entries = response.json["predictions"]
    assert len(entries) == 5
    for entry, data in zip(entries[::2], good, strict=True):
        assert list(entry["probabilities"].values()) == pytest.approx(_probabilities(data))
    for entry, cause in zip(entries[1::2], ("no image", "empty"), strict=True):
        assert set(entry) == {"error"}
        assert entry["error"]["code"] == "unreadable_image"
        assert cause in entry["error"]["message"]


def test_a_batch_of_bad_images_has_an_error_for_each(client: FlaskClient) -> None:
    response = _post(client, _instances(b"one", b"two"), "application/json")
    assert response.status_code == 200
    assert [entry["error"]["code"] for entry in response.json["predictions"]] == [
        "unreadable_image",
        "unreadable_image",
    ]


# --- /invocations: replies ---


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "",
        "*/*",
        "application/json",
        "application/*",
        "text/html, */*;q=0.1",
        "application/json;q=0.9, text/csv;q=0.5",
    ],
)
def test_the_reply_is_json_by_default(client: FlaskClient, accept: str | None) -> None:
    headers = {} if accept is None else {"Accept": accept}
    response = _post(client, png(0), "image/png", **headers)
    assert (response.status_code, response.mimetype) == (200, "application/json")
    assert len(response.json["predictions"]) == 1


@pytest.mark.parametrize("accept", ["text/csv", "text/*", "text/csv, application/json;q=0.5"])
def test_csv_has_one_line_an_image_in_the_order_of_class_names(
    client: FlaskClient, accept: str
) -> None:
    response = _post(client, _instances(png(0), png(1)), "application/json", Accept=accept)
    assert (response.status_code, response.mimetype) == (200, "text/csv")
    rows = [[float(figure) for figure in row.split(",")] for row in response.text.splitlines()]
    for row, seed in zip(rows, (0, 1), strict=True):
        assert row == pytest.approx(_probabilities(png(seed)), abs=1e-6)


def test_the_name_that_streaming_requests_give_accept_is_read_too(client: FlaskClient) -> None:
    streamed = {"X-Amzn-SageMaker-Accept": "text/csv"}
    assert _post(client, png(0), "image/png", Accept="*/*", **streamed).mimetype == "text/csv"


def test_json_lines_have_one_entry_a_line(client: FlaskClient) -> None:
    body = _instances(png(0), b"bad", png(1))
    response = _post(client, body, "application/json", Accept="application/jsonlines")
    assert (response.status_code, response.mimetype) == (200, "application/jsonlines")
    as_json = _post(client, body, "application/json").json["predictions"]
    assert [json.loads(line) for line in response.text.splitlines()] == as_json


def _picture(response: TestResponse) -> PngImageFile:
    assert (response.status_code, response.mimetype) == (200, "image/png")
    return cast("PngImageFile", Image.open(io.BytesIO(response.data)))


@pytest.mark.parametrize(
    "accept",
    [
        "image/png",
        "image/*",
        "image/png, */*;q=0.1",
        "application/json;q=0.5, image/png;q=0.9",
        "text/html, image/avif, image/png;q=0.8",
    ],
)
def test_png_is_the_first_scan_with_its_heat_map_and_the_answer_of_the_json(
    client: FlaskClient, accept: str
) -> None:
    body = _instances(png(0), b"bad", png(1))
    picture = _picture(_post(client, body, "application/json", Accept=accept))
    (entry, *_) = _post(client, body, "application/json").json["predictions"]
    assert {key: picture.text[key] for key in ("label", "decision", "probability")} == {
        "label": entry["label"],
        "decision": entry["decision"],
        "probability": f"{entry['probability']:.6f}",
    }
    coloured = np.abs(np.asarray(picture, int) - noise(0)[..., np.newaxis]).max(axis=2) > 1
    assert coloured[:10, :10].all()
    assert not coloured[32:].any()
    assert not coloured[:, 48:].any()


@pytest.mark.parametrize(
    ("body", "content_type", "size"),
    [
        (encode(noise(0, 30), "JPEG"), "image/jpeg", (45, 30)),
        (encode(noise(0, 30), "JPEG", exif=TURNED), "image/jpeg", (30, 45)),
        (_npy(np.zeros((7, 3))), "application/x-npy", (3, 7)),
        (_npy(np.zeros((2, 300, 200, 3))), None, (200, 300)),
        (json.dumps({"instances": [[[0, 255]]]}).encode(), "application/json", (2, 1)),
    ],
)
def test_any_readable_body_gets_a_png_of_the_upright_scans_own_size(
    client: FlaskClient, body: bytes, content_type: str | None, size: tuple[int, int]
) -> None:
    assert _picture(_post(client, body, content_type, Accept="image/png")).size == size


def test_a_picture_of_no_brain_is_drawn_too_and_says_so() -> None:
    classifier = Classifier(
        lambda pixels: Scores(Recorder()(pixels), np.full(len(pixels), 9, np.float32)),
        model_info(thresholds={"confident": 0.0, "foreign": 3.0}),
        heat_maps,
    )
    picture = _picture(_post(_client(classifier), png(0), "image/png", Accept="image/png"))
    assert picture.text["decision"] == "not_brain_mri"


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (png(0)[:500], "image/png", 400),
        (_instances(b"bad"), "application/json", 400),
        (_instances(b"bad", png(0)), "application/json", 400),
    ],
)
def test_no_png_is_drawn_of_an_unreadable_first_scan_which_is_a_400_in_json(
    client: FlaskClient, body: bytes, content_type: str, status: int
) -> None:
    response = _post(client, body, content_type, Accept="image/png")
    _error(response, status, "unreadable_image")


def test_a_model_without_heat_maps_answers_png_with_a_406_that_says_so_and_all_else() -> None:
    recorder = Recorder()
    client = _client(Classifier(without_foreign(recorder), model_info()))
    message = _error(_post(client, png(0), None, Accept="image/png"), 406, "not_acceptable")
    assert "the model has no signature serving_heat_map" in message
    assert recorder.batches == []
    assert _post(client, png(0), None).status_code == 200


@pytest.mark.parametrize("accept", ["image/jpeg", "text/html", "application/xml", "x" * 5000])
def test_another_accept_is_a_406_that_names_what_can_be_given(
    client: FlaskClient, accept: str
) -> None:
    message = _error(_post(client, png(0), "image/png", Accept=accept), 406, "not_acceptable")
    assert "application/json, application/jsonlines, text/csv, application/x-npy" in message


def test_an_accept_that_cannot_be_given_is_told_before_the_model_is_asked() -> None:
    classifier, recorder = stand_in()
    _error(_post(_client(classifier), png(0), None, Accept="text/html"), 406, "not_acceptable")
    assert recorder.batches == []


# --- Errors ---


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code", "cause"),
    [
        (b"", "image/png", 400, "unreadable_body", "--data-binary @FILE"),
        (b"", None, 400, "unreadable_body", "body is empty"),
        (png(0)[:500], "image/png", 400, "unreadable_image", "truncated"),
        (b"<html>403</html>", "image/png", 400, "unreadable_image", "no image"),
        (b"\x89PNG", None, 400, "unreadable_image", "no image"),
        (b"{", "application/json", 400, "unreadable_body", "no JSON"),
        (b'{"instances": []}', "application/json", 400, "unreadable_body", "empty one"),
        (b'{"instances": [[[1],[2,3]]]}', "application/json", 400, "unreadable_image", "ragged"),
        (b'{"instances": [[[NaN]]]}', "application/json", 400, "unreadable_image", "finite"),
        (b"[" * 200_000, "application/json", 400, "unreadable_body", "no JSON"),
        (b"\x93NUMPY", "application/x-npy", 400, "unreadable_body", "npy"),
        (_npy(noise(0))[:-1], "application/x-npy", 400, "unreadable_body", "truncated"),
        (_npy(np.zeros((2, 0, 3))), "application/x-npy", 400, "unreadable_body", "(2, 0, 3)"),
        (png(0), "text/plain", 415, "unsupported_content_type", "'text/plain'"),
        (png(0), "a" * 5000, 415, "unsupported_content_type", "is not read"),
        (png(0), "ÿ" * 1500, 415, "unsupported_content_type", "is not read"),
        (png(0), "\\" * 3000, 415, "unsupported_content_type", "is not read"),
    ],
)
def test_a_faulty_request_is_answered_with_its_status_and_cause(
    client: FlaskClient, body: bytes, content_type: str | None, status: int, code: str, cause: str
) -> None:
    assert cause in _error(_post(client, body, content_type), status, code)


def test_an_image_above_the_pixel_limit_is_a_413_that_names_the_limit() -> None:
    client = _client(stand_in()[0], max_megapixels=0.005)
    message = _error(_post(client, png(0), "image/png"), 413, "too_many_pixels")
    assert "0.005 million" in message
    assert _post(client, png(0, 32), "image/png").status_code == 200


def test_an_unknown_path_is_a_404(client: FlaskClient) -> None:
    _error(client.get("/nothing"), 404, "not_found")
    _error(client.post("/nothing/here", data=b"x"), 404, "not_found")


@pytest.mark.parametrize("path", ["/invocations", "/execution-parameters", "/ping"])
def test_another_method_is_a_405_that_names_the_allowed_ones(
    client: FlaskClient, path: str
) -> None:
    response = client.delete(path)
    _error(response, 405, "method_not_allowed")
    assert ("POST" if path == "/invocations" else "GET") in response.headers["Allow"]


def _failing(error: Exception) -> Classifier:
    def predict(_: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise error

    return Classifier(without_foreign(predict), model_info())


@pytest.mark.parametrize(
    "error", [RuntimeError("secret inner state"), ArtifactError("secret inner state")]
)
def test_our_own_fault_is_a_500_with_an_id_that_stands_in_the_log(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    response = _post(_client(_failing(error)), png(0), "image/png")
    message = _error(response, 500, "internal_error")
    assert "secret" not in response.text
    identifier = re.findall(r"id (\w+)\.", message)[0]
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert identifier in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_two_faults_have_two_ids() -> None:
    client = _client(_failing(RuntimeError("x")))
    first, second = (_post(client, png(0), None).json["error"]["message"] for _ in range(2))
    assert first != second


# --- Size of bodies ---


def test_a_content_length_above_the_limit_is_a_413_and_the_body_is_not_read() -> None:
    client = _client(stand_in()[0], max_body_mb=0.01)
    body = io.BytesIO(bytes(10_001))
    message = _error(client.post("/invocations", input_stream=body), 413, "body_too_large")
    assert "0.01 MB" in message
    assert "BRAIN_TUMOR_MAX_BODY_MB" in message
    assert body.tell() == 0


def _post_chunked(client: FlaskClient, body: io.BytesIO) -> TestResponse:
    """Send a body as gunicorn gives a chunked one: a stream that ends, and no length."""
    return client.post(
        "/invocations",
        input_stream=body,
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"CONTENT_LENGTH": "", "wsgi.input_terminated": True},
    )


def test_a_chunked_body_above_the_limit_is_a_413_read_no_further_than_it() -> None:
    client = _client(stand_in()[0], max_body_mb=0.01)
    body = io.BytesIO(bytes(1_000_000))
    _error(_post_chunked(client, body), 413, "body_too_large")
    assert body.tell() <= 10_001


def test_a_body_of_just_the_limit_is_read_with_and_without_content_length() -> None:
    data = encode(noise(0), "BMP")
    client = _client(stand_in()[0], max_body_mb=len(data) / 1e6)
    for response in (_post(client, data, "image/bmp"), _post_chunked(client, io.BytesIO(data))):
        assert response.status_code == 200
        (entry,) = json.loads(response.data)["predictions"]
        assert list(entry["probabilities"].values()) == pytest.approx(_probabilities(data))


# --- The log, and loading ---


def test_requests_are_logged_with_their_status_but_pings_are_not(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    client.get("/ping")
    assert caplog.messages == []
    _post(client, png(0), "image/png")
    _post(client, b"", "image/png")
    first, second = caplog.messages
    assert first.startswith("POST /invocations 200 ")
    assert second.startswith("POST /invocations 400 ")


@pytest.mark.parametrize("error", [ArtifactError("the sentence"), RuntimeError("the cause")])
def test_a_model_that_cannot_be_loaded_ends_the_server_with_its_cause(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)

    def fail(*_: Any) -> Classifier:
        raise error

    monkeypatch.setattr(holder_module, "load_classifier", fail)
    module._load_or_die(ModelHolder(), Settings())
    # gunicorn ends the whole server when a worker exits with 3.
    assert codes == [3]
    assert str(error) in caplog.text


def test_without_a_holder_the_model_is_loaded_in_the_background(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_load = threading.Event()

    def load(*_: Any) -> Classifier:
        may_load.wait(30)
        return stand_in()[0]

    monkeypatch.setattr(holder_module, "load_classifier", load)
    before = set(threading.enumerate())
    client = create_app().test_client()
    (loading,) = set(threading.enumerate()) - before
    assert client.get("/ping").status_code == 503
    may_load.set()
    loading.join(30)
    assert client.get("/ping").status_code == 200


def test_ping_is_503_while_prediction_is_broken_and_200_once_it_works_again() -> None:
    classifier, recorder = stand_in()
    broken = True

    def predict(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        if broken:
            raise RuntimeError("out of memory")
        return recorder(pixels)

    client = _client(Classifier(without_foreign(predict), classifier.info))
    assert client.get("/ping").status_code == 200
    assert _post(client, jpeg(0), "image/jpeg").status_code == 500
    reply = client.get("/ping")
    assert (reply.status_code, json.loads(reply.data)["error"]["code"]) == (503, "not_ready")
    broken = False
    assert client.get("/ping").status_code == 200


def test_an_image_that_cannot_be_read_does_not_make_the_server_unhealthy(
    client: FlaskClient,
) -> None:
    assert _post(client, b"no image", "image/jpeg").status_code == 400
    assert client.get("/ping").status_code == 200


def test_more_requests_than_places_are_told_to_come_back_while_ping_answers() -> None:
    inside, go_on = threading.Event(), threading.Event()
    classifier, recorder = stand_in()

    def predict(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        inside.set()
        assert go_on.wait(30)
        return recorder(pixels)

    client = _client(Classifier(without_foreign(predict), classifier.info), threads=2)
    first: list[int] = []
    other = client.application.test_client()
    thread = threading.Thread(
        target=lambda: first.append(_post(other, jpeg(0), "image/jpeg").status_code)
    )
    thread.start()
    assert inside.wait(30)
    refused = _post(client, jpeg(0), "image/jpeg")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert json.loads(refused.data)["error"]["code"] == "overloaded"
    assert client.get("/ping").status_code == 200
    go_on.set()
    thread.join(30)
    assert first == [200]
    assert _post(client, jpeg(0), "image/jpeg").status_code == 200


# --- Replies that are sent while predicting goes on ---

LINES = {"Content-Type": "application/jsonlines", "Accept": "application/jsonlines"}
FORTY = b"[[0, 255], [100, 50]]\n" * 40


def _predicting(predict: Predict) -> Classifier:
    return Classifier(without_foreign(predict), stand_in()[0].info)


def _stream(client: FlaskClient) -> TestResponse:
    return client.post("/invocations", data=FORTY, headers=LINES, buffered=False)


def test_the_first_lines_are_sent_before_the_next_ones_are_predicted() -> None:
    classifier, recorder = stand_in()
    response = _stream(_client(classifier))
    parts = iter(response.iter_encoded())
    assert next(parts).count(b"\n") == 16
    assert len(recorder.batches) == 1
    assert [part.count(b"\n") for part in parts] == [16, 8]
    assert len(recorder.batches) == 3
    response.close()


def test_a_stream_holds_its_place_until_it_is_closed_whether_or_not_it_was_read() -> None:
    classifier, recorder = stand_in()
    client = _client(classifier, threads=2)
    other = client.application.test_client()
    for read in (0, 1, 3):
        response = _stream(client)
        parts = iter(response.iter_encoded())
        for _ in range(read):
            next(parts)
        refused = _post(other, png(0), "image/png")
        assert refused.json["error"]["code"] == "overloaded"
        response.close()
        assert _post(other, png(0), "image/png").status_code == 200
    # Of the forty, only what was asked for was predicted: 16 each time, then all of them.
    assert len(recorder.pixels) < 16 + 32 + 40 + 3 + 1


def test_what_fails_before_the_first_line_still_has_its_status_and_frees_its_place() -> None:
    def fail(_: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise RuntimeError("out of memory")

    client = _client(_predicting(fail), threads=2)
    for _ in range(2):
        _error(_stream(client), 500, "internal_error")


def test_what_fails_later_breaks_the_reply_off_and_is_logged_with_its_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorder = Recorder()

    def fail_later(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        if recorder.batches:
            raise RuntimeError("out of memory")
        return recorder(pixels)

    client = _client(_predicting(fail_later), threads=2)
    response = _stream(client)
    assert response.status_code == 200
    with pytest.raises(RuntimeError, match="out of memory"):
        list(response.iter_encoded())
    response.close()
    assert any(response.headers["X-Request-Id"] in message for message in caplog.messages)
    assert _error(client.get("/ping"), 503, "not_ready")


def test_a_stream_is_logged_and_counted_once_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    client = _client(stand_in()[0])
    caplog.set_level(logging.INFO)
    response = _stream(client)
    assert caplog.messages == []
    response.close()
    assert [message.split(" 200 ")[0] for message in caplog.messages] == ["POST /invocations"]
    assert _metrics(client)["brain_tumor_request_seconds_count['/invocations', '200']"] == 1


@pytest.mark.parametrize("accept", ["application/json", "text/csv", "application/x-npy"])
def test_replies_that_are_one_document_are_sent_whole_with_their_length(accept: str) -> None:
    response = _client(stand_in()[0]).post(
        "/invocations", data=FORTY, headers=LINES | {"Accept": accept}
    )
    assert response.content_length == len(response.data)


# --- Health: what hangs, what is broken ---


def _hanging(may_go_on: threading.Event) -> tuple[Classifier, threading.Event]:
    """Give a classifier whose predictions wait, and what is set once one has begun."""
    classifier, recorder = stand_in()
    begun = threading.Event()

    def predict(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        begun.set()
        assert may_go_on.wait(30)
        return recorder(pixels)

    return Classifier(Batcher(without_foreign(predict)), classifier.info), begun


def test_ping_is_503_while_a_prediction_hangs_and_200_once_it_has_ended() -> None:
    go_on = threading.Event()
    classifier, begun = _hanging(go_on)
    client = _client(classifier, hang_seconds=0.05)
    other = client.application.test_client()
    thread = threading.Thread(target=lambda: _post(other, jpeg(0), "image/jpeg"))
    assert client.get("/ping").status_code == 200
    thread.start()
    assert begun.wait(30)
    while classifier.running_seconds < 0.06:
        pass
    assert "has been running for" in _error(client.get("/ping"), 503, "not_ready")
    go_on.set()
    thread.join(30)
    assert client.get("/ping").status_code == 200
    classifier.close()


def test_ping_is_503_while_a_heat_map_hangs_and_200_once_it_has_ended() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def load() -> HeatMapsFn:
        begun.set()
        assert go_on.wait(30)
        return heat_maps

    recorder = Recorder()
    classifier = Classifier(without_foreign(recorder), model_info(), OnDemand(load))
    client = _client(classifier, hang_seconds=0.05)
    other = client.application.test_client()
    drawn: list[int] = []

    def draw() -> None:
        drawn.append(_post(other, png(0), "image/png", Accept="image/png").status_code)

    thread = threading.Thread(target=draw)
    thread.start()
    assert begun.wait(30)
    while classifier.running_seconds < 0.06:
        pass
    assert "has been running for" in _error(client.get("/ping"), 503, "not_ready")
    go_on.set()
    thread.join(30)
    assert drawn == [200]
    assert client.get("/ping").status_code == 200


def test_a_prediction_that_takes_its_time_is_not_taken_for_one_that_hangs() -> None:
    go_on = threading.Event()
    classifier, begun = _hanging(go_on)
    client = _client(classifier)
    other = client.application.test_client()
    thread = threading.Thread(target=lambda: _post(other, jpeg(0), "image/jpeg"))
    thread.start()
    assert begun.wait(30)
    assert client.get("/ping").status_code == 200
    go_on.set()
    thread.join(30)
    classifier.close()


def test_pings_do_not_queue_up_behind_the_one_that_tries_a_broken_prediction() -> None:
    trying, go_on = threading.Event(), threading.Event()
    classifier, recorder = stand_in()

    def predict(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        if not recorder.batches:
            recorder(pixels)
            raise RuntimeError("out of memory")
        trying.set()
        assert go_on.wait(30)
        return recorder(pixels)

    client = _client(Classifier(without_foreign(predict), classifier.info))
    assert _post(client, jpeg(0), "image/jpeg").status_code == 500
    other = client.application.test_client()
    first: list[int] = []
    thread = threading.Thread(target=lambda: first.append(other.get("/ping").status_code))
    thread.start()
    assert trying.wait(30)
    assert "being tried" in _error(client.get("/ping"), 503, "not_ready")
    go_on.set()
    thread.join(30)
    assert first == [200]
    assert client.get("/ping").status_code == 200


def test_a_prediction_that_succeeds_mends_the_health_by_itself() -> None:
    classifier, recorder = stand_in()

    def predict(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        if not recorder.batches:
            recorder(pixels)
            raise RuntimeError("out of memory")
        return recorder(pixels)

    client = _client(Classifier(without_foreign(predict), classifier.info))
    assert _post(client, jpeg(0), "image/jpeg").status_code == 500
    assert _post(client, jpeg(0), "image/jpeg").status_code == 200
    asked = len(recorder.batches)
    assert client.get("/ping").status_code == 200
    # No prediction of its own was needed.
    assert len(recorder.batches) == asked


def test_on_a_multi_model_endpoint_only_a_prediction_that_hangs_makes_ping_503(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    hanging, begun = _hanging(go_on)
    models = {"hangs": hanging, "fails": _failing(RuntimeError("x")), "works": stand_in()[0]}
    monkeypatch.setattr(holder_module, "load_classifier", lambda folder, *_: models[folder.name])
    settings = Settings(SAGEMAKER_BASE_DIR=tmp_path, SAGEMAKER_MULTI_MODEL=True, hang_seconds=0.05)
    client = create_app(settings).test_client()

    def invoke(name: str) -> int:
        body = client.application.test_client().post(f"/models/{name}/invoke", data=jpeg(0))
        return body.status_code

    for name in models:
        url = str(tmp_path / "models" / name)
        assert client.post("/models", json={"model_name": name, "url": url}).status_code == 200
    assert invoke("fails") == 500
    assert client.get("/ping").status_code == 200
    thread = threading.Thread(target=invoke, args=("hangs",))
    thread.start()
    assert begun.wait(30)
    while hanging.running_seconds < 0.06:
        pass
    assert client.get("/ping").status_code == 503
    assert invoke("works") == 200
    go_on.set()
    thread.join(30)
    assert client.get("/ping").status_code == 200


def test_a_multi_model_endpoint_lists_its_models_page_by_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models_module, "PAGE", 2)
    monkeypatch.setattr(holder_module, "load_classifier", lambda *_: stand_in()[0])
    settings = Settings(SAGEMAKER_BASE_DIR=tmp_path, SAGEMAKER_MULTI_MODEL=True)
    client = create_app(settings).test_client()
    names = ["a", "b&c=d", "e"]
    for name in names:
        model = {"model_name": name, "url": str(tmp_path / "models" / "x")}
        assert client.post("/models", json=model).status_code == 200
    first = client.get("/models").json
    assert first is not None
    last = client.get("/models", query_string={"next_page_token": first["nextPageToken"]}).json
    assert last is not None
    assert [model["modelName"] for model in first["models"] + last["models"]] == names
    assert "nextPageToken" not in last
