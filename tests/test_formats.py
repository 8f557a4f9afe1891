"""Every request and reply format of /invocations, on a real gunicorn over real sockets."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.bodies import b64, instances, npy
from tests.ports import free_port
from tests.scans import encode, head
from tests.server import Reply, Server

JSON, JSON_LINES = "application/json", "application/jsonlines"
CSV, NPY = "text/csv", "application/x-npy"
SCAN = head(0)
GREY = Image.fromarray(SCAN)
WIDE = SCAN.astype(np.uint16) * 257


def _ask(server: Server, body: bytes, content_type: str = "", accept: str = JSON) -> Reply:
    headers = {"Accept": accept} | ({"Content-Type": content_type} if content_type else {})
    return server.request("POST", "/invocations", body, headers)


def _entries(reply: Reply) -> list[dict[str, Any]]:
    assert reply.status == 200, reply.body
    entries: list[dict[str, Any]] = json.loads(reply.body)["predictions"]
    return entries


def _lines(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def _form(*files: bytes) -> tuple[bytes, str]:
    parts = [
        f'--limit\r\nContent-Disposition: form-data; name="f"; filename="{n}"\r\n\r\n'.encode()
        + data
        for n, data in enumerate(files)
    ]
    return b"\r\n".join([*parts, b"--limit--\r\n"]), "multipart/form-data; boundary=limit"


def _turned(orientation: int, undo: Image.Transpose) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(GREY.transpose(undo), "PNG", exif=exif)


def _palette(kind: str) -> bytes:
    # Levels in another order than that of their numbers.
    order = np.random.default_rng(0).permutation(256).astype(np.uint8)
    image = Image.fromarray(np.argsort(order).astype(np.uint8)[SCAN])
    image.putpalette(np.repeat(order, 3).tobytes())
    return encode(image, kind)


LOSSLESS: dict[str, bytes] = {
    "grey PNG": encode(GREY, "PNG"),
    "interlaced RGB PNG": encode(GREY.convert("RGB"), "PNG", interlace=True),
    "RGBA PNG": encode(GREY.convert("RGBA"), "PNG"),
    "grey and alpha PNG": encode(GREY.convert("LA"), "PNG"),
    "palette PNG": _palette("PNG"),
    "16-bit PNG": encode(Image.fromarray(WIDE), "PNG"),
    "BMP": encode(GREY, "BMP"),
    "RGB BMP": encode(GREY.convert("RGB"), "BMP"),
    "GIF": encode(GREY, "GIF"),
    "palette GIF": _palette("GIF"),
    "WebP": encode(GREY.convert("RGB"), "WEBP", lossless=True),
    "TIFF": encode(GREY, "TIFF"),
    "LZW TIFF": encode(GREY.convert("RGB"), "TIFF", compression="tiff_lzw"),
    "deflated TIFF": encode(GREY, "TIFF", compression="tiff_adobe_deflate"),
    "16-bit TIFF": encode(Image.fromarray(WIDE), "TIFF"),
    "PNG turned by EXIF": _turned(6, Image.Transpose.ROTATE_90),
    "PNG mirrored by EXIF": _turned(2, Image.Transpose.FLIP_LEFT_RIGHT),
    "PNG upside down by EXIF": _turned(3, Image.Transpose.ROTATE_180),
}
LOSSY: dict[str, bytes] = {
    "grey JPEG": encode(GREY, "JPEG", quality=95),
    "RGB JPEG": encode(GREY.convert("RGB"), "JPEG", quality=95),
    "progressive JPEG": encode(GREY, "JPEG", quality=95, progressive=True),
    "CMYK JPEG": encode(GREY.convert("RGB").convert("CMYK"), "JPEG", quality=95),
    "WebP": encode(GREY.convert("RGB"), "WEBP", quality=95),
    "JPEG in a TIFF": encode(GREY, "TIFF", compression="jpeg"),
}


@pytest.fixture(scope="module")
def answer(server: Server) -> dict[str, Any]:
    """Give the entry of the scan."""
    (entry,) = _entries(_ask(server, LOSSLESS["grey PNG"], "image/png"))
    return entry


@pytest.mark.parametrize("kind", LOSSLESS)
def test_a_scan_gets_the_same_probabilities_to_the_bit_in_every_lossless_format(
    server: Server, answer: dict[str, Any], kind: str
) -> None:
    assert _entries(_ask(server, LOSSLESS[kind], "image/x-any")) == [answer]


@pytest.mark.parametrize("kind", LOSSY)
def test_a_scan_gets_the_same_label_in_every_lossy_format(
    server: Server, answer: dict[str, Any], kind: str
) -> None:
    (entry,) = _entries(_ask(server, LOSSY[kind], "application/octet-stream"))
    assert entry["label"] == answer["label"]
    assert entry["probability"] == pytest.approx(answer["probability"], abs=0.02)


@pytest.mark.parametrize(("kind", "options"), [("GIF", {"duration": 100}), ("TIFF", {})])
def test_of_several_frames_or_pages_the_first_is_the_scan(
    server: Server, answer: dict[str, Any], kind: str, options: dict[str, Any]
) -> None:
    others = [Image.fromarray(head(seed)) for seed in (1, 2)]
    several = encode(GREY, kind, save_all=True, append_images=others, **options)
    assert Image.open(io.BytesIO(several)).n_frames == 3  # type: ignore[attr-defined]
    assert _entries(_ask(server, several)) == [answer]


COLOUR = np.repeat(SCAN[..., np.newaxis], 3, axis=2)
ONE_SCAN: dict[str, tuple[bytes, str]] = {
    "JSON row, base64": (instances(b64(LOSSLESS["BMP"])), JSON),
    "JSON row, numbers": (instances(SCAN.tolist()), JSON),
    "JSON row, colour numbers": (instances(COLOUR.tolist()), JSON),
    "JSON column": (json.dumps({"inputs": [SCAN.tolist()]}).encode(), JSON),
    "JSON named column": (
        json.dumps({"inputs": {"image_bytes": [b64(LOSSLESS["GIF"])]}}).encode(),
        JSON,
    ),
    "JSON of signature serving_default": (
        json.dumps({"signature_name": "serving_default", "instances": [SCAN.tolist()]}).encode(),
        JSON,
    ),
    "JSON of signature serving_bytes": (
        json.dumps({"signature_name": "serving_bytes", "inputs": [b64(LOSSLESS["TIFF"])]}).encode(),
        JSON,
    ),
    "JSON without a type": (instances(b64(LOSSLESS["BMP"])), ""),
    "JSON Lines, base64": (_lines(b64(LOSSLESS["WebP"])), JSON_LINES),
    "JSON Lines, numbers": (_lines(SCAN.tolist()), JSON_LINES),
    "npy h w": (npy(SCAN), NPY),
    "npy h w 1": (npy(SCAN[..., np.newaxis]), NPY),
    "npy h w 3 (HWC)": (npy(COLOUR), NPY),
    "npy 1 h w 3 (NHWC)": (npy(COLOUR[np.newaxis]), NPY),
    "npy of float32": (npy(SCAN.astype(np.float32)), NPY),
    "npy in Fortran order": (npy(np.asfortranarray(SCAN)), NPY),
    "npy without a type": (npy(SCAN), "application/octet-stream"),
    "form": _form(LOSSLESS["grey PNG"]),
}


@pytest.mark.parametrize("kind", ONE_SCAN)
def test_a_scan_gets_the_same_probabilities_to_the_bit_whatever_it_is_sent_in(
    server: Server, answer: dict[str, Any], kind: str
) -> None:
    assert _entries(_ask(server, *ONE_SCAN[kind])) == [answer]


# The second one cannot be read.
FILES = [encode(head(0), "PNG"), b"<html>", encode(head(1), "BMP"), encode(head(2), "GIF")]
NO_PIXELS = np.full((160, 160), -1, np.int16)
SEVERAL: dict[str, tuple[bytes, str]] = {
    "JSON": (instances(*map(b64, FILES)), JSON),
    "JSON Lines": (_lines(*map(b64, FILES)), JSON_LINES),
    "JSON Lines with a line that is none": (
        _lines(b64(FILES[0])) + b"no json\n" + _lines(*map(b64, FILES[2:])),
        JSON_LINES,
    ),
    "npy": (npy(np.stack([head(0), NO_PIXELS, head(1), head(2)])), NPY),
    "form": _form(*FILES),
}


def _table(reply: Reply) -> NDArray[Any]:
    assert reply.status == 200, reply.body
    if reply.headers["Content-Type"] == NPY:
        array: NDArray[Any] = np.load(io.BytesIO(reply.body))
        assert array.dtype == np.float32
        return array
    text = reply.body.decode()
    assert text.endswith("\n")
    if reply.headers["Content-Type"].startswith(CSV):
        rows = [row.split(",") for row in text.splitlines()]
        return np.array([[float(field or "nan") for field in row] for row in rows])
    entries = [json.loads(line) for line in text.splitlines()]
    if "predictions" in entries[0]:
        (entries,) = (entry["predictions"] for entry in entries)
    missing = dict.fromkeys("abcd", np.nan)
    return np.array([list(e.get("probabilities", missing).values()) for e in entries])


@pytest.mark.parametrize("accept", [JSON, JSON_LINES, CSV, NPY])
@pytest.mark.parametrize("kind", SEVERAL)
def test_several_scans_are_answered_in_order_with_the_bad_one_in_its_place_in_every_reply(
    server: Server, kind: str, accept: str
) -> None:
    reply = _ask(server, *SEVERAL[kind], accept)
    table = _table(reply)
    assert table.shape == (4, 4)
    assert np.isnan(table[1]).all()
    alone = [_ask(server, FILES[n], "", NPY) for n in (0, 2, 3)]
    np.testing.assert_allclose(
        table[[0, 2, 3]], np.concatenate(list(map(_table, alone))), atol=2e-5
    )


# --- Accept ---


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/*", CSV),
        ("TEXT/CSV", CSV),
        ("text/csv;header=absent", CSV),
        ("application/json; charset=utf-8", JSON),
        ("application/json;q=0.2, application/x-npy;q=0.8", NPY),
        ("application/json;q=0.2, */*;q=0.1", JSON),
        ("text/csv, */*", CSV),
        ("*/*;q=0.5, application/jsonlines", JSON_LINES),
        ("*/*, application/json;q=0", JSON_LINES),
        ("application/*;q=0, */*", CSV),
        ("text/html, application/xml;q=0.9, */*;q=0.1", JSON),
        ("image/jpeg, application/x-npy", NPY),
    ],
)
def test_accept_is_answered_by_quality_and_wildcards(
    server: Server, accept: str, given: str
) -> None:
    reply = _ask(server, FILES[0], "image/png", accept)
    assert reply.status == 200
    assert reply.headers["Content-Type"].split(";")[0] == given


@pytest.mark.parametrize(
    "accept", ["text/html", "application/json;q=0", "*/*;q=0", "x", "video/*", "text/csv;q=0, a/b"]
)
def test_what_cannot_be_given_is_a_406_that_lists_what_can(server: Server, accept: str) -> None:
    reply = _ask(server, FILES[0], "image/png", accept)
    assert reply.status == 406
    message = json.loads(reply.body)["error"]["message"]
    assert all(kind in message for kind in (JSON, JSON_LINES, CSV, NPY))


# --- What SageMaker's jobs do ---


@pytest.mark.parametrize("shape", ["HWC", "NHWC"])
@pytest.mark.parametrize("accept", [CSV, JSON])
def test_clarify_sends_jpeg_png_or_npy_and_finds_the_class_scores(
    server: Server, shape: str, accept: str
) -> None:
    array = COLOUR if shape == "HWC" else np.stack([COLOUR, 255 - COLOUR])
    tables = [
        _table(_ask(server, body, content_type, accept))
        for body, content_type in (
            (npy(array), NPY),
            (encode(COLOUR, "PNG"), "image/png"),
            (encode(COLOUR, "JPEG", quality=95), "image/jpeg"),
        )
    ]
    for table in tables:
        # One row an image; the whole row is scores in the order of the labels.
        np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(table[0], tables[0][0], atol=0.02)
    assert len(tables[0]) == (1 if shape == "HWC" else 2)


def test_model_monitor_reads_replies_as_text_of_flat_rows(server: Server) -> None:
    rows = _ask(server, *SEVERAL["JSON"], CSV)
    assert rows.headers["Content-Type"].startswith(CSV)
    assert {row.count(",") for row in rows.body.decode("ascii").splitlines()} == {3}
    (line,) = _ask(server, FILES[0], "", JSON_LINES).body.decode("ascii").splitlines()
    entry = json.loads(line)
    assert isinstance(entry["label"], str)
    assert isinstance(entry["probability"], float)


@pytest.fixture(scope="module")
def batch_server(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a server as Batch Transform starts it."""
    log = tmp_path_factory.mktemp("batch") / "serve.log"
    with Server.start(trained, free_port(), log, SAGEMAKER_BATCH="true") as running:
        running.wait_until_ready()
        yield running


def _records(count: int) -> Iterator[bytes]:
    """Give lines, every third of them bad, as Batch Transform sends them: chunked."""
    for number in range(count):
        yield b"no json\n" if number % 3 == 1 else _lines(b64(FILES[2 * (number % 2)]))


@pytest.mark.parametrize("accept", [JSON_LINES, CSV])
@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_each_line_of_batch_transform_has_a_line_of_its_own_that_can_be_joined_to_it(
    batch_server: Server, accept: str, count: int
) -> None:
    headers = {"Content-Type": JSON_LINES, "Accept": accept}
    reply = batch_server.request("POST", "/invocations", _records(count), headers)
    assert reply.status == 200
    assert reply.body.endswith(b"\n")
    answers = reply.body.decode().splitlines()
    assert len(answers) == count
    for record, line in zip(_records(count), answers, strict=True):
        if accept == CSV:
            filled = [field != "" for field in line.split(",")]
            assert filled == [record != b"no json\n"] * 4
        else:
            # What DataProcessing does with JoinSource=Input and an OutputFilter.
            assert ("error" in json.loads(line)) == (record == b"no json\n")


@pytest.mark.parametrize(
    ("accept", "placeholder"),
    [
        (JSON, lambda body: "error" in json.loads(body)["predictions"][0]),
        (JSON_LINES, lambda body: "error" in json.loads(body)),
        (CSV, lambda body: body == b",,,\n"),
        (NPY, lambda body: np.isnan(np.load(io.BytesIO(body))).all()),
    ],
)
def test_the_only_record_of_batch_transform_is_a_placeholder_when_it_is_bad(
    batch_server: Server, server: Server, accept: str, placeholder: Callable[[bytes], bool]
) -> None:
    reply = _ask(batch_server, b"no json\n", JSON_LINES, accept)
    assert reply.status == 200
    assert placeholder(reply.body)
    assert _ask(server, b"no json\n", JSON_LINES, accept).status == 400


def test_execution_parameters_are_within_the_platforms_limits(batch_server: Server) -> None:
    document = json.loads(batch_server.request("GET", "/execution-parameters").body)
    assert document["BatchStrategy"] == "MultiRecord"
    assert 1 <= document["MaxConcurrentTransforms"] * document["MaxPayloadInMB"] <= 100


def test_a_session_is_refused_with_a_sentence_and_other_ids_are_ignored(server: Server) -> None:
    def ask(session: str) -> Reply:
        headers = {"Content-Type": "image/png", "X-Amzn-SageMaker-Session-Id": session}
        return server.request("POST", "/invocations", FILES[0], headers)

    refused = ask("NEW_SESSION")
    assert refused.status == 400
    assert "keeps no sessions" in json.loads(refused.body)["error"]["message"]
    assert ask("some-id").status == 200
