"""Bad input of every kind, sent to a real gunicorn: a 4xx that says what to do, and no more."""

import json
import pickle
import re
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.bodies import b64, instances, npy
from tests.scans import encode, jpeg, noise, png
from tests.server import Server

JSON, JSON_LINES, NPY = "application/json", "application/jsonlines", "application/x-npy"
FORM = "multipart/form-data; boundary=limit"
# What must never leave the container: its paths, its code, its memory.
LEAK = re.compile(
    rb"Traceback|File \\?\"|\.py\b|site-packages|/(usr|tmp|opt|home|work|root)/|0x[0-9a-f]{6}"
)


@dataclass(frozen=True)
class Bad:
    """A request that cannot be answered, and how that is said."""

    what: str
    body: bytes
    content_type: str | None
    status: int
    code: str
    hint: str
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "POST"
    path: str = "/invocations"


def _image(what: str, body: bytes, hint: str, content_type: str | None = "image/png") -> Bad:
    return Bad(what, body, content_type, 400, "unreadable_image", hint)


def _instance(what: str, instance: Any, hint: str) -> Bad:
    return _image(what, instances(instance), hint, JSON)


def _line(what: str, line: bytes, hint: str) -> Bad:
    return _image(f"line of JSON Lines: {what}", line, hint, JSON_LINES)


def _body(what: str, body: bytes, content_type: str | None, hint: str) -> Bad:
    return Bad(what, body, content_type, 400, "unreadable_body", hint)


def _npy(what: str, body: bytes, hint: str) -> Bad:
    return _body(f"npy: {what}", body, NPY, hint)


def _type(content_type: str) -> Bad:
    hint = "application/jsonlines"
    return Bad(content_type[:30], png(0), content_type, 415, "unsupported_content_type", hint)


def _accept(accept: str) -> Bad:
    return Bad(
        f"Accept {accept[:30]}",
        png(0),
        "image/png",
        406,
        "not_acceptable",
        "text/csv",
        {"Accept": accept},
    )


def _header(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode("latin1")
    length = struct.pack("<H" if version[0] == 1 else "<I", len(text))
    return b"\x93NUMPY" + version + length + text + data


def _u1(shape: str) -> str:
    return f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}"


def _part(data: bytes, disposition: str = 'form-data; name="f"; filename="f"') -> bytes:
    return f"--limit\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + data + b"\r\n"


def _png_of_size(width: int, height: int) -> bytes:
    data = bytearray(png(0))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


class _Exploit:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('a pickle was run')",))


DEEP = 100_000
IMAGES = [
    _image("nothing of a known kind", b"hello, world", "no image"),
    _image("an HTML page", b"<!doctype html><html>403</html>", "no image"),
    _image("XML of S3", b"<?xml version='1.0'?><Error>AccessDenied</Error>", "no image"),
    _image("a PDF", b"%PDF-1.7\n1 0 obj\n<<>>", "no image"),
    _image("a zip", b"PK\x03\x04" + bytes(100), "no image"),
    _image("gzip", b"\x1f\x8b\x08" + bytes(100), "no image"),
    _image("an SVG", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no image", "image/svg+xml"),
    _image("HEIC", b"\x00\x00\x00\x18ftypheic" + bytes(50), "no image", "image/heic"),
    _image("a JPEG 2000", b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(50), "no image", "image/jp2"),
    _image("base64 that was not decoded", b"iVBORw0KGgoAAAANSUhEUg==", "no image"),
    _image("a data URI", b"data:image/png;base64,iVBORw0KGgo=", "no image"),
    _image("a path", rb"C:\scans\scan.png", "no image"),
    _image("the name of a file, from curl without @", b"@scan.jpg", "no image"),
    _image("only zeros", bytes(10_000), "no image"),
    _image("one byte", b"\xff", "no image", "image/jpeg"),
    _image("only a JPEG's first bytes", b"\xff\xd8\xff", "no image", "image/jpeg"),
    _image("only a PNG's first bytes", b"\x89PNG\r\n\x1a\n", "image"),
    _image("half a PNG", png(0)[:1500], "truncated"),
    _image("half a JPEG", jpeg(0)[:800], "truncated", "image/jpeg"),
    _image("half a BMP", encode(noise(0), "BMP")[:900], "truncated", "image/bmp"),
    _image("half a TIFF", encode(noise(0), "TIFF")[:900], "image", "image/tiff"),
    _image("half a WebP", encode(Image.fromarray(noise(0)).convert("RGB"), "WEBP")[:900], "image",
           "image/webp"),
    _image("half a GIF", encode(noise(0), "GIF")[:900], "truncated", "image/gif"),
    _image("a PNG whose check sum is wrong", png(0)[:60] + b"\xaa" * 20 + png(0)[80:], "damaged"),
    _image("a PNG of no width", _png_of_size(0, 5), "image"),
    _image("an icon", b"\x00\x00\x01\x00\x01\x00" + bytes(50), "no image", "image/x-icon"),
    _image("PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image"),
    _image("32-bit numbers in a TIFF", encode(noise(0).astype(np.int32), "TIFF"), "no known range",
           "image/tiff"),
    _image("an untyped body of no kind", b"\x00\x01\x02\x03", "no image", None),
    _image("a pickle", pickle.dumps(_Exploit()), "no image", "application/octet-stream"),
    _image("CSV called x-image", b"1,2,3\n", "no image", "application/x-image"),
    _image("npy called PNG", npy(noise(0)), "no image"),
]  # fmt: skip
TOO_LARGE = [
    Bad("PNG of 60 million pixels", _png_of_size(10_000, 6_000), "image/png", 413,
        "too_many_pixels", "Scale it down"),
    Bad("decompression bomb", _png_of_size(2**31 - 1, 2**31 - 1), "image/png", 413,
        "too_many_pixels", "50 million"),
    Bad("bomb in JSON", instances(b64(_png_of_size(65_535, 65_535))), JSON, 413,
        "too_many_pixels", "50"),
    Bad("10,001 instances", b'{"instances": [' + b"0," * 10_000 + b"0]}", JSON, 413,
        "body_too_large", "BRAIN_TUMOR_MAX_IMAGES"),
    Bad("10,001 lines", b"\n" * 10_001, JSON_LINES, 413, "body_too_large", "MAX_IMAGES"),
    Bad("10,001 arrays", npy(np.zeros((10_001, 2, 2), np.uint8)), NPY, 413, "body_too_large",
        "holds 10001"),
    Bad("10,001 files", _part(b"") * 10_001 + b"--limit--\r\n", FORM, 413, "body_too_large",
        "holds 10001"),
    Bad("a length of a terabyte", b"", "image/png", 413, "body_too_large", "100 MB",
        {"Content-Length": str(10**12)}),
]  # fmt: skip
DOCUMENTS = [
    _body("nothing", b"", "image/png", "--data-binary @FILE"),
    _body("nothing, without a type", b"", None, "body is empty"),
    _body("nothing as JSON", b"", JSON, "body is empty"),
    _body("nothing as JSON Lines", b"", JSON_LINES, "body is empty"),
    _body("JSON: a brace", b"{", JSON, "no JSON"),
    _body("JSON: Python's quotes", b"{'instances': []}", JSON, "no JSON"),
    _body("JSON: a comma too many", b'{"instances": [1,]}', JSON, "no JSON"),
    _body("JSON: an image", png(0), JSON, "no JSON"),
    _body("JSON: Latin-1", '{"instances": ["é"]}'.encode("latin-1"), JSON, "no JSON"),
    _body("JSON: JSON Lines", b'{"b64": ""}\n{"b64": ""}\n', JSON, "no JSON"),
    _body("JSON: deep lists", b"[" * DEEP, JSON, "no JSON"),
    _body("JSON: deep objects", b'{"a":' * DEEP, JSON, "no JSON"),
    _body("JSON: an integer of 5000 digits", b"1" * 5000, JSON, "no JSON"),
    _body("JSON: a list", b"[[1, 2]]", JSON, "instances"),
    _body("JSON: null", b"null", JSON, "instances"),
    _body("JSON: no instances", b'{"data": [1]}', JSON, "instances"),
    _body("JSON: no instance", b'{"instances": []}', JSON, "empty one"),
    _body("JSON: instances that are none", b'{"instances": 3}', JSON, "no list"),
    _body("JSON: a file without a list", b'{"instances": {"b64": ""}}', JSON, "no list"),
    _body("JSON: no input", b'{"inputs": []}', JSON, "empty one"),
    _body("JSON: another input", b'{"inputs": {"pixels": [[1]]}}', JSON, "no list"),
    _body("JSON: two inputs", b'{"inputs": {"images": [1], "image_bytes": [1]}}', JSON, "no list"),
    _body("JSON: rows and columns", b'{"inputs": [1], "instances": [1]}', JSON, "both"),
    _body("JSON: another signature", b'{"signature_name": "predict", "instances": [1]}', JSON,
          "serving_bytes"),
    _body("JSON: a signature of its own", b'{"signature_name": {}, "instances": [1]}', JSON,
          "serving_default"),
    _body("JSON without a type, broken", b'{"instances": [', None, "no JSON"),
]  # fmt: skip
INSTANCES = [
    _instance("a number", 3, "neither"),
    _instance("text", "iVBORw0KGgo=", "neither"),
    _instance("null", None, "neither"),
    _instance("another key", {"image": "aGk="}, "neither"),
    _instance("base64 that is a number", {"b64": 3}, "neither"),
    _instance("base64 that is none", {"b64": "***"}, "not base64"),
    _instance("base64 beyond ASCII", {"b64": "äöü"}, "not base64"),
    _instance("base64 with a data URI", {"b64": "data:image/png;base64,aGk="}, "not base64"),
    _instance("base64 of nothing", {"b64": ""}, "empty"),
    _instance("base64 of text", b64(b"hello"), "no image"),
    _instance("base64 of half an image", b64(png(0)[:900]), "damaged"),
    _instance("base64 of an npy", b64(npy(noise(0))), "no image"),
    _instance("an empty list", [], "no image"),
    _instance("an empty row", [[]], "no image"),
    _instance("one row", [1, 2, 3], "no image"),
    _instance("ragged rows", [[1, 2], [3]], "ragged"),
    _instance("text among numbers", [["1", "2"]], "no numbers"),
    _instance("null among numbers", [[None, 1]], "no numbers"),
    _instance("objects among numbers", [[{}]], "no numbers"),
    _instance("NaN", [[float("nan")]], "finite"),
    _instance("infinity", [[float("inf")]], "finite"),
    _instance("a number beyond float", [[10**400]], "no numbers"),
    _instance("numbers below 0", [[-1, 0]], "0 to 255"),
    _instance("numbers above 255", [[256, 0]], "0 to 255"),
    _instance("numbers that are standardised", [[-1.5, 0.3]], "standardised"),
    _instance("two channels", [[[1, 2]]], "no image"),
    _instance("four channels", [[[1, 2, 3, 4]]], "no image"),
    _instance("five axes", [[[[[1]]]]], "no image"),
    _instance("a deep list", json.loads("[" * 60 + "]" * 60), "no"),
    _line("none", b"no json\n", "no JSON"),
    _line("an empty one", b"\n", "no JSON"),
    _line("a document", b'{"instances": [[[1]]]}', "neither"),
    _line("no text", b"\xff\xfe\x00", "no JSON"),
    _line("deep lists", b"[" * DEEP, "no JSON"),
    _line("CSV", b"1,2,3\n", "no JSON"),
    _line("a number", b"7", "neither"),
    _line("numbers above 255", b"[[256]]\n", "0 to 255"),
]
ARRAYS = [
    _npy("an image", png(0), "no npy"),
    _npy("only its first bytes", b"\x93NUMPY", "no npy"),
    _npy("another version", b"\x93NUMPY\x09\x09\x00\x00", "no npy"),
    _npy("no header", _header(""), "no npy"),
    _npy("a header that is code", _header("__import__('os').abort()"), "no npy"),
    _npy("a deep header", _header("(" * 3000), "no npy"),
    _npy("a header without keys", _header("{}"), "no npy"),
    _npy("a header of 4 GB", b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b" " * 50_000, "no npy"),
    _npy("half", npy(noise(0))[:-100], "truncated"),
    _npy("more than half", npy(noise(0)) + b"x", "bytes follow"),
    _npy("a size that is a lie", _header(_u1("(100000, 100000)"), bytes(20)), "bytes follow"),
    _npy("a negative size", _header(_u1("(-4, -5)"), bytes(20)), "no shape"),
    _npy("a pickle", npy(np.array([["x"]], object)), "no pickle"),
    _npy("text", npy(np.array([["a"]])), "wanted numbers"),
    _npy("complex numbers", npy(np.zeros((4, 4), complex)), "wanted numbers"),
    _npy("dates", npy(np.zeros((4, 4), "datetime64[s]")), "wanted numbers"),
    _npy("records", npy(np.zeros((4, 4), "u1,u1")), "wanted numbers"),
    _npy("one number", npy(np.zeros((), np.uint8)), "has shape ()"),
    _npy("one row", npy(np.zeros(9, np.uint8)), "has shape (9,)"),
    _npy("five axes", npy(np.zeros((1, 1, 4, 4, 1), np.uint8)), "has shape"),
    _npy("two channels", npy(np.zeros((1, 4, 4, 2), np.uint8)), "c of 1 or 3"),
    _npy("no image", npy(np.zeros((0, 8, 8), np.uint8)), "at least 1"),
    _npy("no pixel", npy(np.zeros((3, 0, 8), np.uint8)), "at least 1"),
    _npy("a zip of arrays", b"PK\x03\x04" + bytes(90), "no npy"),
    _image("npy: NaN", npy(np.full((4, 4), np.nan)), "finite", NPY),
    _image("npy: numbers above 255", npy(np.full((4, 4), 300)), "0 to 255", NPY),
    _image("npy: numbers below 0", npy(np.full((4, 4), -1.0)), "0 to 255", NPY),
]
FORMS = [
    _body("form: no boundary", _part(png(0)) + b"--limit--\r\n", "multipart/form-data", "boundary"),
    _body("form: another boundary", _part(png(0)) + b"--limit--\r\n",
          "multipart/form-data; boundary=other", "cannot be read"),
    _body("form: an image", png(0), FORM, "cannot be read"),
    _body("form: half", _part(png(0))[:900], FORM, "cannot be read"),
    _body("form: without its end", _part(png(0)), FORM, "cannot be read"),
    _body("form: no part", b"--limit--\r\n", FORM, "no file"),
    _body("form: a field that is no file", _part(png(0), 'form-data; name="f"') + b"--limit--\r\n",
          FORM, "-F file=@scan.jpg"),
    _body("form: a part without a head", b"--limit\r\n\r\n\r\nx\r\n--limit--\r\n", FORM, "read"),
    _body("form: an endless head", b"--limit\r\n" + b"x" * 1_000_000, FORM, "cannot be read"),
    _image("form: a file that is no image", _part(b"<html>") + b"--limit--\r\n", "no image", FORM),
    _image("form: an empty file", _part(b"") + b"--limit--\r\n", "empty", FORM),
]  # fmt: skip
TYPES = list(
    map(
        _type,
        [
            "text/plain",
            "text/csv",
            "text/html",
            "application/xml",
            "application/pdf",
            "application/zip",
            "application/x-www-form-urlencoded",
            "application/x-npz",
            "application/x-recordio-protobuf",
            "multipart/mixed; boundary=limit",
            "video/mp4",
            "json",
            "/",
            "a" * 5000,
            "\\" * 3000,
            "ÿ" * 1500,
        ],
    )
)
HEADERS = [
    *map(_accept, ["text/html", "image/jpeg", "*/*;q=0", "application/xml", "x" * 5000, "ÿ/ÿ"]),
    Bad("a session", png(0), "image/png", 400, "no_sessions", "no sessions",
        {"X-Amzn-SageMaker-Session-Id": "NEW_SESSION"}),
    Bad("no such route", png(0), "image/png", 404, "not_found", "not found", path="/predict"),
    Bad("a path of files", b"", None, 404, "not_found", "not found", method="GET",
        path="/../../etc/passwd"),
    Bad("GET", b"", None, 405, "method_not_allowed", "not allowed", method="GET"),
    Bad("PUT", png(0), "image/png", 405, "method_not_allowed", "not allowed", method="PUT"),
    Bad("DELETE", b"", None, 405, "method_not_allowed", "not allowed", method="DELETE"),
]  # fmt: skip
ALL = IMAGES + TOO_LARGE + DOCUMENTS + INSTANCES + ARRAYS + FORMS + TYPES + HEADERS


@pytest.mark.parametrize("bad", ALL, ids=[bad.what for bad in ALL])
def test_bad_input_is_a_4xx_with_a_hint_and_tells_nothing_of_the_container(
    server: Server, bad: Bad
) -> None:
    headers = {} if bad.content_type is None else {"Content-Type": bad.content_type}
    reply = server.request(bad.method, bad.path, bad.body, headers | bad.headers)
    assert reply.status == bad.status, reply.body
    assert reply.headers["Content-Type"] == JSON
    assert len(reply.body) < 2048
    assert not LEAK.search(reply.body), reply.body
    document = json.loads(reply.body)
    assert document["error"]["code"] == bad.code
    assert bad.hint in document["error"]["message"]


def test_there_are_enough_kinds_and_after_all_of_them_the_server_answers(server: Server) -> None:
    assert len({bad.what for bad in ALL}) >= 100
    for bad in ALL:
        headers = {} if bad.content_type is None else {"Content-Type": bad.content_type}
        server.request(bad.method, bad.path, bad.body, headers | bad.headers)
    assert server.request("GET", "/ping").status == 200
    assert server.request("POST", "/invocations", png(0)).status == 200
    assert "Traceback" not in server.log.read_text()
