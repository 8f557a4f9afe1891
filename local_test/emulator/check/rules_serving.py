"""Rules that `serve` keeps or breaks as it starts, is asked for its health, and ends."""

import time
from concurrent.futures import ThreadPoolExecutor, wait

from local_test.emulator.check.model import broken_copy
from local_test.emulator.check.rule import (
    Outcome,
    Rules,
    failed,
    judged,
    listed,
    not_applicable,
    passed,
)
from local_test.emulator.check.rules_image import BIND_TO_PORT
from local_test.emulator.check.serving import Serving
from local_test.emulator.check.sources import BATCH, INFERENCE, INTERNET_FREE, PIPELINE

SERVING: Rules[Serving] = Rules("an endpoint")
# What is looked at when all requests have been answered.
ENDING: Rules[Serving] = Rules("an endpoint")

_PING_SECONDS = 2.0
# Between pings.
_PAUSE_SECONDS = 0.05
_CALLS = 8
_OTHER_PORT = 8093


@SERVING.rule(
    "SERVE-01",
    "`serve` becomes healthy: GET /ping is answered 200, twice in a row, within 8 minutes.",
    source=INFERENCE,
    why="An endpoint that does not is Failed with 'did not pass the ping health check' and nothing "
    "else. What it printed last is the cause, as a rule.",
)
def _healthy(serving: Serving) -> Outcome:
    main = serving.main()
    if main.healthy_after is None:
        return failed(main.why)
    return passed(f"after {main.healthy_after:.1f} s")


@SERVING.rule(
    "SERVE-02",
    "`serve` starts without any network.",
    source=INTERNET_FREE,
    why="Under network isolation, and in a VPC without a way out, a download at the start never "
    "ends. Put packages and weights into the image or the model.",
)
def _no_network(serving: Serving) -> Outcome:
    if not serving.hosted.contained:
        return not_applicable("a command of this machine cannot be isolated")
    if not serving.hosted.isolates():
        return not_applicable("this engine's containers are reached by published ports alone")
    if not serving.main().healthy:
        return not_applicable("it was not healthy with a network either (SERVE-01)")
    first = serving.first()
    return judged(first.healthy, first.why or "it was healthy without one")


@SERVING.rule(
    "SERVE-03",
    "It listens on all addresses, not on localhost alone.",
    source=INFERENCE,
    why="The platform connects from outside of the container: what listens on 127.0.0.1 is never "
    "healthy. Bind to 0.0.0.0.",
)
def _all_addresses(serving: Serving) -> Outcome:
    main = serving.main()
    if main.everywhere is None:
        return not_applicable(f"nobody listened on port {main.port}, or its kernel does not tell")
    where = "all addresses" if main.everywhere else "127.0.0.1 alone"
    return judged(main.everywhere, f"port {main.port} is open on {where}")


@SERVING.rule(
    "SERVE-04",
    "GET /ping has an empty body.",
    source=BATCH,
    why="The guide asks for status 200 and an empty body. Answer with Content-Length: 0.",
)
def _empty_ping(serving: Serving) -> Outcome:
    asked = serving.ask("GET", "/ping")
    if asked.status != 200:
        return failed(asked.seen)
    return judged(not asked.body, f"{len(asked.body)} bytes")


@SERVING.rule(
    "SERVE-05",
    "POST and HEAD /ping are answered 200 as well.",
    source=INFERENCE,
    why="The page demands that containers accept POST requests to /ping, though its section on "
    "health checks says GET. Answer all three.",
)
def _ping_methods(serving: Serving) -> Outcome:
    seen = {method: serving.ask(method, "/ping").status for method in ("POST", "HEAD")}
    return judged(set(seen.values()) == {200}, ", ".join(f"{k} {v}" for k, v in seen.items()))


@SERVING.rule(
    "SERVE-06",
    "GET /ping is answered within 2 s while requests are being worked on.",
    source=INFERENCE,
    why="A ping that queues behind predictions fails, and a busy instance is taken for a dead one. "
    "Answer it from a thread or process that predictions do not block.",
)
def _ping_under_load(serving: Serving) -> Outcome:
    payload, live = serving.payload(), serving.live()
    end = time.monotonic() + serving.limits.load

    def keep_asking() -> int:
        count = 0
        while True:
            count += serving.invoke(payload, live).status == 200
            # After one at least, should a busy machine have begun late.
            if time.monotonic() >= end:
                return count

    with ThreadPoolExecutor(_CALLS) as pool:
        calls = [pool.submit(keep_asking) for _ in range(_CALLS)]
        # A ping before the first request would tell nothing.
        time.sleep(_PAUSE_SECONDS)
        pings = [live.server.ping()]
        while wait(calls, timeout=_PAUSE_SECONDS).not_done:
            pings.append(live.server.ping())
    slow = [ping for ping in pings if not ping.healthy or ping.seconds > _PING_SECONDS]
    slowest = max(ping.seconds for ping in pings)
    answered = sum(call.result() for call in calls)
    if not answered:
        return not_applicable("no request of several at once was answered (SERVE-12)")
    seen = f"{len(pings)} pings beside {answered} answers; the slowest took {slowest:.2f} s"
    return judged(not slow, f"{seen}; {slow[0].seen}" if slow else seen)


@ENDING.rule(
    "SERVE-20",
    "/opt/ml/model is not written.",
    source=INFERENCE,
    why="The folder is read-only on the platform: a server that writes there does not start. Write "
    "to /tmp.",
)
def _model_unchanged(serving: Serving) -> Outcome:
    if serving.hosted.contained:
        return not_applicable("it cannot be: who has to write there is not healthy (SERVE-01)")
    serving.live()
    names = serving.model.changed()
    return judged(not names, f"changed: {listed(names)}" if names else "as it was")


@ENDING.rule(
    "SERVE-21",
    "It prints to stdout or stderr.",
    source="logging-cloudwatch",
    why="Only these reach CloudWatch; a server that logs to files leaves an empty log when it "
    "fails. Log to stderr.",
)
def _prints(serving: Serving) -> Outcome:
    printed = serving.live().server.log().strip()
    return judged(bool(printed), "it did" if printed else "it printed nothing")


@ENDING.rule(
    "SERVE-22",
    "A broken model never becomes healthy.",
    source=INFERENCE,
    why="A static 200 sends traffic to an instance that cannot answer. Let /ping answer 200 only "
    "after the model has been loaded, or end with an error.",
)
def _broken_model(serving: Serving) -> Outcome:
    main = serving.main()
    if main.healthy_after is None:
        return not_applicable("`serve` was not healthy with the whole one either (SERVE-01)")
    seconds = max(serving.limits.unhealthy, 2 * main.healthy_after)
    with (
        broken_copy(serving.model.folder()) as model,
        serving.started(model=model, healthy=seconds) as broken,
    ):
        if broken.healthy and serving.invoke(of=broken).status == 200:
            return not_applicable("it answers as before: it does not use the files of the model")
        if broken.healthy:
            return failed("with each file cut in half it was healthy")
        code = broken.server.ended()
    return passed(
        f"exit code {code}" if code is not None else f"not healthy within {seconds:.0f} s"
    )


@ENDING.rule(
    "SERVE-23",
    "It listens on the port that SAGEMAKER_BIND_TO_PORT names, if it announces that.",
    source=PIPELINE,
    why="In pipelines and multi-container endpoints containers share one address: a second one on "
    "8080 does not start. Read the variable; 8080 is the default.",
)
def _binds_to_port(serving: Serving) -> Outcome:
    hosted = serving.hosted
    if hosted.contained and hosted.labels.get(BIND_TO_PORT) != "true":
        return not_applicable(f"there is no label {BIND_TO_PORT}=true")
    main = serving.main()
    if main.healthy_after is None:
        return not_applicable("`serve` was not healthy (SERVE-01)")
    if not hosted.contained:
        # It could have no other port.
        return passed(f"port {main.port}")
    platform = {"SAGEMAKER_BIND_TO_PORT": str(_OTHER_PORT)}
    platform["SAGEMAKER_SAFE_PORT_RANGE"] = f"{_OTHER_PORT + 1}-{_OTHER_PORT + 5}"
    seconds = max(serving.limits.unhealthy, 3 * main.healthy_after)
    with serving.started(platform=platform, port=_OTHER_PORT, healthy=seconds) as other:
        return judged(other.healthy, other.why or f"port {_OTHER_PORT}")


@ENDING.rule(
    "SERVE-24",
    "It ends by itself within 30 s of SIGTERM.",
    source=INFERENCE,
    why="After 30 s it is killed with the requests that it works on. Handle SIGTERM in process 1: "
    "finish what has begun, then exit.",
)
def _stops(serving: Serving) -> Outcome:
    stopped = serving.stop(serving.live())
    seen = f"exit code {stopped.code} after {stopped.seconds:.1f} s"
    return judged(not stopped.killed, seen + (": killed by SIGKILL" if stopped.killed else ""))
