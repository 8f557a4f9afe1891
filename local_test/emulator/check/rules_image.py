"""Rules that an image keeps or breaks before it is run."""

import re
from pathlib import PurePosixPath

from local_test.emulator.check.image import DOCKER_MANIFEST, Image
from local_test.emulator.check.rule import (
    Outcome,
    Rules,
    failed,
    judged,
    listed,
    not_applicable,
    passed,
)
from local_test.emulator.check.sources import ALGORITHM, BATCH, INFERENCE, PIPELINE, SERVERLESS

IMAGE: Rules[Image] = Rules("the image")

CAPABILITIES = "com.amazonaws.sagemaker.capabilities."
MULTI_MODEL = f"{CAPABILITIES}multi-models"
BIND_TO_PORT = f"{CAPABILITIES}accept-bind-to-port"
_KNOWN = {MULTI_MODEL, BIND_TO_PORT, f"{CAPABILITIES}bidirectional-streaming"}
_SERVERLESS_BYTES = 10 * 1000**3
_LAYER_BYTES = 52_000 * 1024**2
# Below this a cache is an empty folder or an index that the base image came with.
_CACHE_BYTES = 1024**2
_CACHES = re.compile(
    r"^/(root|home/[^/]+)/\.cache/|^/var/cache/apt/archives/.*\.deb$|^/var/lib/apt/lists/"
    r"|^/var/cache/(yum|dnf|apk)/|/conda/pkgs/|/\.npm/_cacache/"
)
_SECRET_FILES = re.compile(
    r"/\.aws/credentials$|/id_(rsa|dsa|ecdsa|ed25519)$|/\.netrc$|/\.git-credentials$|/\.pypirc$"
    r"|/\.docker/config\.json$|/\.env$|/\.kube/config$|/kaggle\.json$"
)
# HF_TOKEN, but not TOKENIZERS_PARALLELISM or MAX_TOKENS.
_SECRET_NAMES = re.compile(
    r"(^|_)((SECRETS?|PASSWORD|PASSWD|PRIVATE_KEY)(_|$)|(TOKEN|API_KEY|ACCESS_KEY(_ID)?)$)",
    re.IGNORECASE,
)
_SHELLS = {"sh", "bash", "ash", "dash"}
_DRIVER = re.compile(r"/(libcuda|libnvidia-ml|libnvidia-ptxjitcompiler)\.so[.\d]*$|/nvidia-smi$")


@IMAGE.rule(
    "IMAGE-01",
    "The image is built for linux/amd64.",
    source="API: TrainingInstanceType; realtime-endpoints-graviton",
    why="Training, processing and transform instances run amd64: another image ends with 'exec "
    "format error'. Build with --platform linux/amd64.",
)
def _architecture(image: Image) -> Outcome:
    built = f"{image.system}/{image.architecture}"
    return judged(built == "linux/amd64", f"it is built for {built}")


@IMAGE.rule(
    "IMAGE-02",
    "ENTRYPOINT, where there is one, is in exec form.",
    source=ALGORITHM,
    why="In shell form `sh -c` is process 1: it passes neither the word `train` nor SIGTERM on, so "
    'the job is killed without a save. Write ENTRYPOINT ["python", "k.py"].',
)
def _exec_form(image: Image) -> Outcome:
    words = image.entrypoint
    shell = bool(words) and PurePosixPath(words[0]).name in _SHELLS and "-c" in words[1:]
    return judged(not shell, f"ENTRYPOINT is {words}" if words else "there is no ENTRYPOINT")


@IMAGE.rule(
    "IMAGE-03",
    "ENTRYPOINT is no init program.",
    source=f"{ALGORITHM}; {BATCH}",
    why="The guide forbids init and tini as an entry point: they get confused by the words `train` "
    "and `serve`. Make the program itself process 1.",
)
def _no_init(image: Image) -> Outcome:
    first = PurePosixPath((image.entrypoint or [""])[0]).name
    inits = {"tini", "tini-static", "init", "docker-init", "dumb-init"}
    return judged(first not in inits, f"process 1 is {first or 'the word itself'}")


def _program(image: Image, name: str) -> Outcome:
    if image.entrypoint:
        return not_applicable(f"ENTRYPOINT {image.entrypoint} gets the word {name}")
    found = image.find_program(name)
    return judged(bool(found), f"{found or 'no executable file'} is on PATH for `{name}`")


@IMAGE.rule(
    "IMAGE-04",
    "There is a program `train` on PATH, unless ENTRYPOINT takes the word.",
    source=ALGORITHM,
    why="The platform runs `docker run IMAGE train`; without such an executable the job fails "
    "before its first line. Put it on PATH with mode 755.",
)
def _train(image: Image) -> Outcome:
    return _program(image, "train")


@IMAGE.rule(
    "IMAGE-05",
    "There is a program `serve` on PATH, unless ENTRYPOINT takes the word.",
    source=INFERENCE,
    why="The platform runs `docker run IMAGE serve`; without such an executable the endpoint never "
    "becomes healthy. Put it on PATH with mode 755.",
)
def _serve(image: Image) -> Outcome:
    return _program(image, "serve")


@IMAGE.rule(
    "IMAGE-06",
    "Labels of capabilities have known names and the value `true` or `false`.",
    source=f"build-multi-model-build-container; {PIPELINE}",
    why="A label that is misspelt announces nothing, and the endpoint is refused. Names are "
    "com.amazonaws.sagemaker.capabilities.multi-models, .accept-bind-to-port and "
    ".bidirectional-streaming.",
)
def _labels(image: Image) -> Outcome:
    # Names of which one part alone is wrong are meant for the platform, too.
    meant = {k: v for k, v in image.labels.items() if "sagemaker.capabilities" in k.lower()}
    wrong = [f"{k}={v}" for k, v in meant.items() if k not in _KNOWN or v not in {"true", "false"}]
    return judged(not wrong, f"wrong: {listed(wrong)}" if wrong else f"{len(meant)} labels")


@IMAGE.rule(
    "IMAGE-07",
    "A push sends a Docker manifest (version 2, schema 2), no OCI manifest or index.",
    source="CreateModel (amazon-sagemaker-feedback issue 180)",
    why="CreateModel rejects 'Unsupported manifest media type application/vnd.oci.image…'. Build "
    "with --provenance=false --sbom=false --output type=docker, or push with oci-mediatypes=false.",
)
def _media_type(image: Image) -> Outcome:
    if image.manifest is None:
        return not_applicable("this engine does not tell; ask the registry after the push")
    return judged(image.manifest == DOCKER_MANIFEST, f"{image.manifest}, pushed from here")


@IMAGE.rule(
    "IMAGE-08",
    "No layer has more than 52 000 MiB, and the image at most 10 GB.",
    source=f"{SERVERLESS}; ECR quotas",
    why="ECR refuses larger layers. Leave out compilers, caches and GPU libraries that are not "
    "needed, or copy them in several steps.",
)
def _size(image: Image) -> Outcome:
    largest = max((sum(e.size for e in layer.values()) for layer in image.layers), default=0)
    seen = f"{image.size / 1000**3:.2f} GB; largest layer {largest / 1000**3:.2f} GB"
    if largest > _LAYER_BYTES:
        return failed(seen)
    if image.size > _SERVERLESS_BYTES:
        return not_applicable(f"{seen}: only serverless endpoints refuse more than 10 GB")
    return passed(seen)


@IMAGE.rule(
    "IMAGE-09",
    "The image has no file below /opt/ml.",
    source=ALGORITHM,
    why="/opt/ml is the platform's: what the image has there may not be visible. Keep code and "
    "baked-in models elsewhere.",
)
def _reserved(image: Image) -> Outcome:
    files = [path for path in image.all_files() if path.startswith("/opt/ml/")]
    return judged(not files, listed(files) if files else "nothing is there")


@IMAGE.rule(
    "IMAGE-10",
    "The image holds no NVIDIA driver.",
    source=ALGORITHM,
    why="The host mounts its own driver; one in the image hides it, and CUDA does not start. "
    "Install the CUDA toolkit alone.",
)
def _driver(image: Image) -> Outcome:
    # Stubs, to link against, and the compatibility package are no drivers.
    files = [p for p in image.all_files() if _DRIVER.search(p) and "/stubs/" not in p]
    files = [path for path in files if "/compat/" not in path]
    return judged(not files, listed(files) if files else "none")


@IMAGE.rule(
    "IMAGE-11",
    "No layer and no variable holds a secret.",
    source="docker-containers; ECR guide",
    why="Whoever may pull the image can read it, also where a later layer deletes it. Pass secrets "
    "by the role, or with docker build --secret.",
)
def _secrets(image: Image) -> Outcome:
    found = [path for path in image.all_files() if _SECRET_FILES.search(path)]
    found += [f"ENV {n}" for n, v in image.environment.items() if v and _SECRET_NAMES.search(n)]
    return judged(not found, listed(found) if found else f"none in {len(image.layers)} layers")


@IMAGE.rule(
    "IMAGE-12",
    "No layer holds the caches of package managers.",
    source=SERVERLESS,
    why="They cost time in each start of an instance and are never read. Delete them in the same "
    "RUN, or use pip --no-cache-dir and docker build's cache mounts.",
)
def _caches(image: Image) -> Outcome:
    files = {path: e.size for path, e in image.all_files().items() if _CACHES.search(path)}
    size = sum(files.values())
    seen = f"{size / 1000**2:.1f} MB of caches"
    return judged(size < _CACHE_BYTES, f"{seen}: {listed(list(files))}" if files else "none")


@IMAGE.rule(
    "IMAGE-13",
    "Containers run as root.",
    source=INFERENCE,
    why="SageMaker AI expects all containers to run with root users; others may not write to "
    "/opt/ml/model. Leave out USER; serverless endpoints take another user by themselves.",
)
def _user(image: Image) -> Outcome:
    user = str(image.config.get("User") or "root")
    return judged(user.split(":")[0] in {"root", "0"}, f"USER is {user}")


@IMAGE.rule(
    "IMAGE-14",
    "The SDK can start a script in an image with Python: bash and pip3 are on PATH.",
    source="sagemaker-python-sdk 3: ModelTrainer(source_code=…)",
    why="ModelTrainer with source_code replaces ENTRYPOINT and `train` by /bin/bash -c and needs "
    "python3 and pip3. Install them, or start jobs without source_code.",
)
def _sdk_scripts(image: Image) -> Outcome:
    if not any(map(image.find_program, ("python3", "python"))):
        return not_applicable("there is no Python: it is not meant for the SDK's scripts")
    wanted = {"bash": ["bash"], "pip": ["pip3", "pip"]}
    missing = [n for n, names in wanted.items() if not any(map(image.find_program, names))]
    return judged(not missing, f"missing: {', '.join(missing)}" if missing else "all are there")
