"""Rules of what POST /invocations answers."""

import http.client
from concurrent.futures import ThreadPoolExecutor

from local_test.emulator.check.asking import Asked, Payload, answered, refused
from local_test.emulator.check.rule import Outcome, Rules, failed, judged, not_applicable, passed
from local_test.emulator.check.serving import Serving
from local_test.emulator.check.sources import BATCH, INFERENCE
from local_test.emulator.hosting.endpoint import MB

INVOCATIONS: Rules[Serving] = Rules("an endpoint")

_ERRORS = "API: ModelError"
_MAX_MESSAGE = 2048
_LARGE = 25 * MB
_CALLS = 8
_NO_TYPE = "application/x-no-such-type"
# Bytes that are no text, no image and no archive.
_NOISE = b"\x00\xff\xfe\x01" * 64


@INVOCATIONS.rule(
    "SERVE-07",
    "POST /invocations answers the payload with 200 within 60 s.",
    source=INFERENCE,
    why="Any other status reaches the caller as 424 ModelError, and after 60 s the request is cut "
    "off. Send with --payload what the model takes, and look at its log (--log).",
)
def _answers(serving: Serving) -> Outcome:
    tried = [asked for _, asked in serving.tried()]
    if tried[-1].status == 200 or serving.hosted.payload:
        return answered(tried[-1])
    if all(asked.broke for asked in tried):
        return failed(f"{len(tried)} kinds of body, and none was answered: {tried[-1].seen}")
    return not_applicable("no payload is known; --payload FILE --content-type T gives one")


@INVOCATIONS.rule(
    "SERVE-08",
    "An answer names its Content-Type.",
    source=INFERENCE,
    why="It is one of the four headers that reach the caller; without it pipelines and Batch "
    "Transform do not know what they got. Set it.",
)
def _content_type(serving: Serving) -> Outcome:
    reply = serving.invoke().reply
    if reply is None:
        return failed("there was no answer")
    kind = reply.headers.get("content-type", "")
    return judged(bool(kind), kind or "none")


def _with(serving: Serving, **headers: str) -> Asked:
    payload = serving.payload()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return serving.ask("POST", "/invocations", payload.body, {**payload.headers, **named})


@INVOCATIONS.rule(
    "SERVE-09",
    "A request with `Accept: */*` is answered, as one without Accept is.",
    source="API: InvokeEndpointInput",
    why="Accept is optional, and many clients send */*. Have a default format.",
)
def _accepts_all(serving: Serving) -> Outcome:
    return answered(_with(serving, Accept="*/*"))


@INVOCATIONS.rule(
    "SERVE-10",
    "Headers that the platform adds are ignored.",
    source=INFERENCE,
    why="SageMaker may add headers, and passes custom attributes of up to 1024 characters on. "
    "Refuse no request for a header that you do not know.",
)
def _headers(serving: Serving) -> Outcome:
    added = {
        "X_Amzn_SageMaker_Custom_Attributes": "x" * 1024,
        "X_Amzn_SageMaker_Inference_Id": "check-1",
        "X_Amzn_SageMaker_Added_Later": "yes",
    }
    return answered(_with(serving, **added))


@INVOCATIONS.rule(
    "SERVE-11",
    "A body without Content-Length, in chunks, is answered as well.",
    source="batch-transform; API: CreateTransformJobRequest (MaxPayloadInMB 0)",
    why="Batch Transform with MaxPayloadInMB 0 sends chunks. Use a server that reads them, as "
    "gunicorn does, and do not rely on Content-Length.",
)
def _chunked(serving: Serving) -> Outcome:
    payload = serving.payload()
    half = max(1, len(payload.body) // 2)
    parts = [payload.body[:half], payload.body[half:]]
    return answered(serving.ask("POST", "/invocations", [p for p in parts if p], payload.headers))


@INVOCATIONS.rule(
    "SERVE-12",
    "Requests at the same time are answered as they are alone.",
    source=f"{BATCH} (MaxConcurrentTransforms)",
    why="The platform sends several at once. Share no state between requests, and have a lock "
    "where the model is not safe for threads.",
)
def _at_once(serving: Serving) -> Outcome:
    payload, live = serving.payload(), serving.live()
    alone = [serving.invoke(payload, live) for _ in range(2)]
    with ThreadPoolExecutor(_CALLS) as pool:
        asked = list(pool.map(lambda _: serving.invoke(payload, live), range(2 * _CALLS)))
    if bad := [a for a in asked if a.status != 200]:
        return failed(f"{len(bad)} of {len(asked)}: {bad[0].seen}")
    if alone[0].body != alone[1].body:
        return passed(f"{len(asked)} were answered 200; answers differ from call to call")
    other = sum(a.body != alone[0].body for a in asked)
    return judged(not other, f"{other} of {len(asked)} answers differ from that of one alone")


@INVOCATIONS.rule(
    "SERVE-13",
    "A connection is kept open for the next request.",
    source="RFC 9112, HTTP/1.1; the developer guide does not ask for it (unverified)",
    why="A connection for each request costs time and, under load, ports. Answer with HTTP/1.1 and "
    "Content-Length or chunks.",
)
def _keeps_alive(serving: Serving) -> Outcome:
    address = serving.live().server.address()
    payload = serving.payload()
    if address is None:
        return not_applicable("it has no address")
    connection = http.client.HTTPConnection(address.host, address.port, timeout=60)
    try:
        connection.request("POST", "/invocations", payload.body, payload.headers)
        reply = connection.getresponse()
        reply.read()
        return judged(not reply.will_close, "closed" if reply.will_close else "kept open")
    except (OSError, http.client.HTTPException) as error:
        return failed(f"the connection broke: {error!r}")
    finally:
        connection.close()


@INVOCATIONS.rule(
    "SERVE-14",
    "An unknown Content-Type is no server error.",
    source=_ERRORS,
    why="The caller cannot tell a mistake of its own from a broken model. Answer 415.",
)
def _unknown_type(serving: Serving) -> Outcome:
    asked = serving.invoke(Payload(serving.payload().body, _NO_TYPE))
    return judged(not asked.broke, asked.seen)


@INVOCATIONS.rule(
    "SERVE-15",
    "A broken body is answered with 4xx.",
    source=_ERRORS,
    why="A 5xx says that the model is broken, and a 200 hides the mistake. Answer 400 and say what "
    "is wrong.",
)
def _broken_body(serving: Serving) -> Outcome:
    return refused(_broken(serving, _NOISE))


@INVOCATIONS.rule(
    "SERVE-16",
    "An empty body is answered with 4xx.",
    source=_ERRORS,
    why="It happens to each client once. Answer 400 and say that the body is empty.",
)
def _empty_body(serving: Serving) -> Outcome:
    return refused(_broken(serving, b""))


def _broken(serving: Serving, body: bytes) -> Asked:
    return serving.invoke(Payload(body, serving.payload().content_type))


@INVOCATIONS.rule(
    "SERVE-17",
    "Errors have at most 2048 characters, and no traceback.",
    source=_ERRORS,
    why="OriginalMessage is cut at 2048 characters, and a traceback tells callers how the server "
    "is made. Answer a sentence, and log the traceback.",
)
def _short_errors(serving: Serving) -> Outcome:
    asked = [_broken(serving, _NOISE), _broken(serving, b"")]
    asked.append(serving.invoke(Payload(serving.payload().body, _NO_TYPE)))
    errors = [a.body.decode(errors="replace") for a in asked if a.status >= 400]
    if not errors:
        return not_applicable("nothing was refused")
    traced = [e for e in errors if "Traceback (most recent call last)" in e]
    longest = max(map(len, errors))
    seen = f"the longest of {len(errors)} has {longest} characters"
    if traced:
        return failed(f"{seen}, and there is a traceback")
    return judged(longest <= _MAX_MESSAGE, seen)


@INVOCATIONS.rule(
    "SERVE-18",
    "A body of 25 MB is read to its end and answered, and the server lives on.",
    source="Model Hosting FAQs",
    why="Real-time endpoints pass 25 MB on. A server that refuses such sizes, or breaks the "
    "connection, gives ModelError without a message. Raise its limit (nginx's "
    "client_max_body_size).",
)
def _large_body(serving: Serving) -> Outcome:
    payload = serving.payload()
    padded = payload.body + bytes(_LARGE - len(payload.body))
    asked = serving.invoke(Payload(padded, payload.content_type))
    alive = serving.ask("GET", "/ping").status == 200
    read = not asked.broke and asked.status != 413
    return judged(read and alive, asked.seen + ("" if alive else "; then /ping is not 200"))


@INVOCATIONS.rule(
    "SERVE-19",
    "GET /metrics is answered with Prometheus' text, or 404.",
    source="API: MetricsConfig (EnableDetailedObservability)",
    why="New endpoints scrape it every minute. Another text or a server error there fills the log.",
)
def _metrics(serving: Serving) -> Outcome:
    asked = serving.ask("GET", "/metrics")
    if asked.status in {404, 405}:
        return passed(f"status {asked.status}")
    lines = asked.body.decode(errors="replace").splitlines()
    numbers = [line for line in lines if line and not line.startswith("#")]
    try:
        text = bool([float(line.rsplit(" ", 1)[-1]) for line in numbers])
    except ValueError:
        text = False
    return judged(asked.status == 200 and text, f"status {asked.status}, {len(numbers)} samples")
