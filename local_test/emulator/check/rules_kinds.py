"""Rules of Batch Transform and of serverless endpoints."""

import json

from local_test.emulator.batch.specification import MAX_PAYLOADS_MB, STRATEGIES
from local_test.emulator.check.rule import Outcome, Rules, judged, not_applicable, passed
from local_test.emulator.check.serving import Serving
from local_test.emulator.check.sources import BATCH, SERVERLESS
from local_test.emulator.hosting.serverless import HEALTHY_SECONDS, ServerlessConfig

KINDS: Rules[Serving] = Rules("an endpoint")

_JOB = {
    "SAGEMAKER_BATCH": "true",
    "SAGEMAKER_MAX_PAYLOAD_IN_MB": "6",
    "SAGEMAKER_BATCH_STRATEGY": "SINGLE_RECORD",
    "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "2",
}


@KINDS.rule(
    "BATCH-01",
    "GET /execution-parameters is answered with the documented JSON, or 404.",
    source=BATCH,
    why="Batch Transform reads MaxConcurrentTransforms, BatchStrategy and MaxPayloadInMB from it; "
    "their product of MB may be 100 at most. Answer 404 to leave it to the platform.",
)
def _execution_parameters(serving: Serving) -> Outcome:
    asked = serving.ask("GET", "/execution-parameters")
    if asked.status == 404:
        return passed("status 404")
    try:
        told = json.loads(asked.body)
        at_once, size = told["MaxConcurrentTransforms"], told["MaxPayloadInMB"]
        fits = at_once >= 1 and at_once * size <= MAX_PAYLOADS_MB
        right = asked.status == 200 and told["BatchStrategy"] in STRATEGIES and fits
    except (ValueError, KeyError, TypeError):
        right = False
    return judged(right, asked.seen)


@KINDS.rule(
    "BATCH-02",
    "`serve` works with the variables of a transform job.",
    source=BATCH,
    why="Batch Transform starts the same `serve`, with SAGEMAKER_BATCH and what the job sets. "
    "Answer as on an endpoint.",
)
def _batch(serving: Serving) -> Outcome:
    return serving.serves(platform=_JOB)


@KINDS.rule(
    "SERVERLESS-01",
    "It serves as another user than root, with nothing to write but /tmp and no /dev/shm.",
    source=f"{SERVERLESS}; mlflow issue 5544",
    why="Serverless endpoints run the image so: one that writes to $HOME or /etc, has files that "
    "root alone can read, or needs shared memory, does not start. Write to /tmp, chmod -R o+rX.",
)
def _serverless(serving: Serving) -> Outcome:
    if not serving.hosted.contained:
        return not_applicable("without Docker there is no other user and no read-only root")
    # There is no network isolation for them.
    options = ServerlessConfig().options
    return serving.serves(isolated=False, options=options, healthy=HEALTHY_SECONDS)
