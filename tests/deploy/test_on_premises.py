"""deploy/on_premises: its pages' commands run with the real image, Compose and Caddy."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from tests.deploy.stack import Stack
from tests.deploy.tools import TOOLS, needs_command, needs_tool
from tests.docker import build, docker, inspect, needs_docker
from tests.jobs import ROOT
from tests.ports import free_port
from tests.scans import encode, head

FILES = ROOT / "deploy/on_premises"
PROXY = "brain-tumor:test-proxy"
BLOCK = re.compile(r"^<!-- tested: on premises -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGE = (ROOT / "docs/deploy.md").read_text()
PACK, COMPARE, LOAD, PREPARE, START, REPLACE = BLOCKS = BLOCK.findall(PAGE)
ASK_BY_CURL, ASK_BY_PYTHON = BLOCK.findall((ROOT / "docs/clients.md").read_text())
# As in the official image, the file has a capability (an extended attribute: revision 2, effective,
# CAP_NET_BIND_SERVICE), which keeps Caddy from starting where the container may not have it. Its
# wget is BusyBox's too.
_PROXY_DOCKERFILE = """
FROM {base}
COPY caddy /usr/bin/caddy
COPY busybox /usr/bin/wget
RUN ["python3", "-c", "import os; os.setxattr('/usr/bin/caddy', 'security.capability', \\
    bytes.fromhex('0100000200040000000000000000000000000000'))"]
ENV XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
"""


def _run(code: str, folder: Path, env: dict[str, str], status: int = 0) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == status, f"{code}\n{done.stdout[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def proxy_image(serve_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Stand in for the official image of Caddy, which no registry here has."""
    folder = tmp_path_factory.mktemp("proxy")
    shutil.copy(TOOLS / "caddy", folder / "caddy")
    shutil.copy(shutil.which("busybox") or "", folder / "busybox")
    (folder / "Dockerfile").write_text(_PROXY_DOCKERFILE.format(base=serve_image))
    yield build(PROXY, "--network", "none", folder)
    docker("rmi", "-f", PROXY)


@pytest.fixture(scope="module")
def another_image(serve_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give an image that serves as well, and is not the same."""
    folder = tmp_path_factory.mktemp("another")
    (folder / "Dockerfile").write_text(f"FROM {serve_image}\nLABEL another=yes\n")
    yield build("brain-tumor:test-another", "--network", "none", folder)
    docker("rmi", "-f", "brain-tumor:test-another")


def _tags(bundle: Path) -> set[str]:
    """Name the tags that bundle.sh gave, where it came so far."""
    settings = bundle / ".env"
    told = settings.read_text() if settings.is_file() else ""
    return set(re.findall(r"^\w+_IMAGE=(.*)$", told, re.MULTILINE))


def _untag(tags: set[str]) -> None:
    for tag in tags:
        docker("rmi", tag)


@pytest.fixture(scope="module")
def stack(
    serve_image: str, proxy_image: str, trained: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Give a stack that was packed, loaded and started by the page's own commands."""
    folder = tmp_path_factory.mktemp("premises")
    (folder / "deploy").symlink_to(ROOT / "deploy")
    plugins = folder / "docker/cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-compose").symlink_to(TOOLS / "docker-compose")
    # As behind a company's proxy. Nobody listens there, so what obeyed it would fail.
    told = {"default": {"httpProxy": "http://127.0.0.1:9", "httpsProxy": "http://127.0.0.1:9"}}
    (folder / "docker/config.json").write_text(json.dumps({"proxies": told}))
    port = free_port()
    env = {
        **os.environ,
        "DOCKER_CONFIG": str(folder / "docker"),
        "COMPOSE_PROJECT_NAME": f"brain-tumor-{port}",
        "PROXY_ADDRESS": f"127.0.0.1:{port}",
        "NO_PROXY": "localhost",
    }
    unpacked = Stack(folder / "bundle", port, env)
    (folder / "scan.jpg").write_bytes(encode(head(0), "JPEG"))
    model = f"--image {serve_image} --proxy {proxy_image} {trained / 'model'}"
    try:
        _run("umask 077\n" + PACK.replace("FOLDER/model", model), folder, env)
        assert _run("find bundle ! -perm -o=r", folder, env) == ""
        # What was copied may have lost that.
        _run("chmod -R go= bundle", folder, env)
        start = START.replace("@scan.jpg", "@../scan.jpg")
        # In one shell, as a reader has it.
        printed = _run(COMPARE + LOAD + PREPARE + unpacked.here(start) + "umask", folder, env)
        assert sha256((unpacked.folder / "SHA256SUMS").read_bytes()).hexdigest() in printed
        assert '"predictions"' in printed
        assert printed.endswith(_run("umask", folder, env))
        yield unpacked
    finally:
        if unpacked.folder.exists():
            unpacked.compose("down")
            _untag(_tags(unpacked.folder))


pytestmark = [
    needs_docker,
    needs_tool("docker-compose"),
    needs_tool("caddy"),
    needs_command("busybox"),
]


def test_a_request_without_the_token_is_a_401_whatever_it_asks_for(stack: Stack) -> None:
    for path in ("/", "/metrics", "/openapi.json", "/invocations", "/v1/models"):
        for authorization in (
            None,
            "",
            "Bearer",
            "Bearer ",
            "Bearer *",
            stack.token(),
            "Basic eA==",
        ):
            reply = stack.request(path, authorization)
            assert reply.status == 401, (path, authorization)
            assert json.loads(reply.body)["error"]["code"] == "unauthorized"
            assert reply.headers["Www-Authenticate"] == "Bearer"


def test_ping_needs_no_token_and_tells_nothing(stack: Stack) -> None:
    reply = stack.request("/ping")
    assert (reply.status, reply.body) == (200, b"")


def test_with_the_token_a_scan_is_classified_and_metrics_are_told(stack: Stack) -> None:
    bearer = f"Bearer {stack.token()}"
    reply = stack.request("/invocations", bearer, encode(head(0), "JPEG"))
    assert reply.status == 200
    (entry,) = json.loads(reply.body)["predictions"]
    assert sum(entry["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert b"brain_tumor" in stack.request("/metrics", bearer).body


@pytest.mark.parametrize(
    ("command", "code"),
    [(["bash", "-euo", "pipefail", "-c"], ASK_BY_CURL), ([sys.executable, "-c"], ASK_BY_PYTHON)],
    ids=["curl", "python"],
)
def test_clients_ask_as_their_page_says(stack: Stack, command: list[str], code: str) -> None:
    clients = stack.folder.parent
    shutil.copy(stack.folder / "token", clients)
    shutil.copy(stack.folder / "tls.crt", clients / "ca.crt")
    asked = subprocess.run(
        [*command, stack.here(code)], cwd=clients, env=stack.env, capture_output=True, text=True
    )
    assert asked.returncode == 0, asked.stderr
    reply = stack.request("/invocations", f"Bearer {stack.token()}", encode(head(0), "JPEG"))
    assert json.loads(reply.body)["predictions"][0]["label"] in asked.stdout


def test_a_new_token_holds_at_once_and_an_empty_or_short_one_lets_nobody_in(stack: Stack) -> None:
    old = stack.token()
    try:
        for token, status in (("new-" + old, 200), ("", 401), ("short", 401)):
            (stack.folder / "token").write_text(token + "\n")
            assert stack.request("/", f"Bearer {token}").status == status, token
            assert stack.request("/", f"Bearer {old}").status == 401
    finally:
        (stack.folder / "token").write_text(old + "\n")
    assert stack.request("/", f"Bearer {old}").status == 200


def test_a_body_above_the_limit_gets_the_servers_own_413(stack: Stack, tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(32_000_001)
    # curl goes on sending while it is refused, as clients do.
    done = subprocess.run(
        [
            *("curl", "--silent", "--cacert", "tls.crt", "--write-out", "\n%{http_code}"),
            *("--header", f"Authorization: Bearer {stack.token()}", "--data-binary", f"@{large}"),
            *("--header", "Expect:", "--noproxy", "*"),
            f"https://localhost:{stack.port}/invocations",
        ],
        cwd=stack.folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    body, status = done.stdout.rsplit("\n", 1)
    assert (status, json.loads(body)["error"]["code"]) == ("413", "body_too_large")


def test_limits_are_set_in_the_readers_own_file(stack: Stack, tmp_path: Path) -> None:
    with _copy(stack, tmp_path) as larger:
        with (larger.folder / ".env").open("a") as settings:
            settings.write(
                "BRAIN_TUMOR_MAX_BODY_MB=64\nSERVE_MEMORY=4g\nSERVE_TMP=1g\nSERVE_CPUS=4\n"
            )
        serve = json.loads(larger.compose("config", "--format", "json").stdout)["services"]["serve"]
    assert serve["environment"]["BRAIN_TUMOR_MAX_BODY_MB"] == "64"
    assert (int(serve["mem_limit"]), serve["cpus"]) == (4 * 2**30, 4)
    assert serve["tmpfs"][0].startswith("/tmp:size=1g,")  # noqa: S108


def test_neither_container_has_capabilities_beyond_one_or_may_write_or_gain_any(
    stack: Stack,
) -> None:
    for service, added in (("serve", set()), ("proxy", {"NET_BIND_SERVICE"})):
        host = inspect(stack.container(service))["HostConfig"]
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"]
        # Some engines put CAP_ before the name.
        assert {name.removeprefix("CAP_") for name in host["CapAdd"] or []} == added
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert host["Memory"] > 0
        assert host["NanoCpus"] > 0
        assert host["PidsLimit"] > 0
    for path in ("/opt/ml/model/x", "/opt/venv/x", "/x"):
        assert stack.compose("exec", "-T", "serve", "touch", path).returncode != 0


def test_the_server_reaches_its_proxy_and_nothing_outside_of_their_network(stack: Stack) -> None:
    networks = inspect(stack.container("proxy"))["NetworkSettings"]["Networks"]
    reached = {}
    for name, network in networks.items():
        connect = f"import socket; socket.create_connection(('{network['IPAddress']}', 8443), 3)"
        asked = stack.compose("exec", "-T", "serve", "python", "-c", connect)
        reached[name.rsplit("_")[-1]] = asked.returncode == 0
    assert reached == {"inside": True, "outside": False}
    # Nor does either ask the machine's own resolver, where another host may be called serve.
    for service in ("serve", "proxy"):
        assert inspect(stack.container(service))["HostConfig"]["Dns"] == ["127.0.0.1"]


def test_the_proxys_log_leaves_out_what_was_asked() -> None:
    adapted = subprocess.run(
        [TOOLS / "caddy", "adapt", "--config", FILES / "Caddyfile"],
        capture_output=True,
        check=True,
    )
    encoder = json.loads(adapted.stdout)["logging"]["logs"]["default"]["encoder"]
    assert encoder["format"] == "filter"
    assert encoder["fields"] == {"request": {"filter": "delete"}}


def _change(model: Path) -> None:
    (model / "class_names.json").write_text('["pituitary", "notumor", "meningioma", "glioma"]')


def _add(model: Path) -> None:
    (model / "extra").touch()


def _link(model: Path) -> None:
    (model / "extra").symlink_to("class_names.json")


def _remove(model: Path) -> None:
    (model / "class_names.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_change, "class_names.json: FAILED"),
        (_add, "holds files that model.sha256 does not name"),
        (_link, "holds files that model.sha256 does not name"),
        (_remove, "class_names.json: FAILED open or read"),
    ],
)
def test_a_model_that_differs_from_its_checksums_is_not_served(
    stack: Stack, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    with _copy(stack, tmp_path) as spoilt:
        spoil(spoilt.folder / "model")
        ended = spoilt.compose("run", "--rm", "--no-deps", "-T", "serve")
        assert ended.returncode == 1
        assert message in ended.stdout + ended.stderr
        assert "gunicorn" not in ended.stdout + ended.stderr


def test_with_a_spoilt_model_nothing_is_started_before_it(stack: Stack, tmp_path: Path) -> None:
    with _copy(stack, tmp_path) as spoilt:
        _change(spoilt.folder / "model")
        started = spoilt.compose("up", "--wait")
        assert started.returncode != 0
        assert "dependency failed to start" in started.stderr
        assert not inspect(spoilt.compose("ps", "-aq", "proxy").stdout.strip())["State"]["Running"]


def _another_key(folder: Path) -> str:
    make = ["openssl", "ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", "tls.key"]
    subprocess.run(make, cwd=folder, check=True, capture_output=True)
    return "private key does not match public key"


def _another_owner(folder: Path) -> str:
    with (folder / ".env").open("a") as settings:
        settings.write("PROXY_USER=12345:12345\n")
    return "permission denied"


@pytest.mark.parametrize("spoil", [_another_key, _another_owner])
def test_a_proxy_that_does_not_start_is_not_called_started(
    stack: Stack, tmp_path: Path, spoil: Callable[[Path], str]
) -> None:
    with _copy(stack, tmp_path) as spoilt:
        cause = spoil(spoilt.folder)
        started = spoilt.compose("up", "--wait", "--no-deps", "proxy")
        assert started.returncode != 0
        printed = spoilt.compose("logs", "proxy")
        assert cause in printed.stdout + printed.stderr


def _image(stack: Stack) -> str:
    """Give the id of the image that the running server was started from."""
    identifier: str = inspect(stack.container("serve"))["Image"]
    return identifier


def test_a_newer_bundle_takes_over_only_if_it_serves_and_the_old_one_comes_back_with_its_image(
    stack: Stack, serve_image: str, another_image: str, proxy_image: str, trained: Path
) -> None:
    folder, newer = stack.folder.parent, stack.folder.parent / "newer"
    model = f"--image {another_image} --proxy {proxy_image} {trained / 'model'}"
    replace = stack.here(REPLACE).replace("-name newer", f"-name newer-{stack.port}")
    pack = PACK.replace("FOLDER/model bundle", f"{model} newer")
    try:
        _run(pack + COMPARE.replace("cd bundle", "cd newer") + LOAD, folder, stack.env)
        names = (newer / "model/class_names.json").read_text()
        _change(newer / "model")
        running = stack.container("serve")
        _run(replace, stack.folder, stack.env, status=1)
        assert stack.container("serve") == running
        assert stack.request("/ping").status == 200

        (newer / "model/class_names.json").write_text(names)
        _run(replace, stack.folder, stack.env)
        assert _image(stack) == inspect(another_image)["Id"]
        bearer = f"Bearer {stack.token()}"
        assert stack.request("/", bearer).status == 200

        docker("kill", stack.container("serve"))
        reply = stack.request("/", bearer)
        assert (reply.status, reply.headers["Content-Type"]) == (502, "application/json")
        assert json.loads(reply.body)["error"]["code"] == "no_answer"
    finally:
        back = stack.compose("up", "--wait")
        _untag(_tags(newer) - _tags(stack.folder))
    assert back.returncode == 0, back.stderr
    assert _image(stack) == inspect(serve_image)["Id"]
    assert stack.request("/ping").status == 200


@contextmanager
def _copy(stack: Stack, folder: Path) -> Iterator[Stack]:
    """Give a stack of its own that is not started yet, of the images that are loaded."""
    shutil.copytree(stack.folder, folder / "bundle", ignore=shutil.ignore_patterns("images.tar"))
    port = free_port()
    env = stack.env | {
        "COMPOSE_PROJECT_NAME": f"brain-tumor-{port}",
        "PROXY_ADDRESS": f"127.0.0.1:{port}",
    }
    copied = Stack(folder / "bundle", port, env)
    try:
        yield copied
    finally:
        copied.compose("down")


def test_a_compose_file_that_was_added_on_the_way_is_not_taken(
    stack: Stack, tmp_path: Path
) -> None:
    with _copy(stack, tmp_path) as added:
        for name in ("compose.override.yaml", "docker-compose.override.yml", "docker-compose.yml"):
            (added.folder / name).write_text("services: {serve: {entrypoint: [added]}}")
        taken = added.compose("config")
        assert taken.returncode == 0
        assert "added" not in taken.stdout


def test_a_bundle_that_was_damaged_on_its_way_is_told_from_one_that_was_not(
    stack: Stack, tmp_path: Path
) -> None:
    # Whole, with its images, it passed in the page's own commands.
    listed = (stack.folder / "SHA256SUMS").read_text()
    assert {"images.tar", "model.sha256", "compose.yaml"} <= set(listed.split())
    with _copy(stack, tmp_path) as damaged:
        with (damaged.folder / "Caddyfile").open("a") as settings:
            settings.write(" ")
        check = ["sha256sum", "--check", "--quiet", "--ignore-missing", "SHA256SUMS"]
        told = subprocess.run(check, cwd=damaged.folder, capture_output=True, text=True)
        assert told.returncode != 0
        # .env is the one file that the page has its reader change.
        assert {line for line in told.stdout.splitlines() if "env" not in line} == {
            "Caddyfile: FAILED"
        }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["/nonexistent", "out"], "is no model: it holds no model.json"),
        (["--image", "no-such-image", "MODEL", "out"], "no image no-such-image here"),
        (["MODEL", "."], ". exists already"),
        (["--image"], "--image needs a value"),
        (["--unknown"], "unknown option --unknown"),
    ],
)
def test_bundle_says_what_is_wrong_before_it_writes(
    trained: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    words = [word.replace("MODEL", str(trained / "model")) for word in arguments]
    done = subprocess.run(
        [FILES / "bundle.sh", *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


def test_compose_asks_who_owns_the_token_rather_than_guess() -> None:
    done = subprocess.run(
        [TOOLS / "docker-compose", "-f", FILES / "compose.yaml", "config", "--quiet"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "owner of token and tls.key" in done.stderr


def test_every_block_of_the_page_is_one_that_was_run() -> None:
    assert len(BLOCKS) == PAGE.count("```") // 2


def test_caddys_settings_are_as_its_own_formatter_writes_them() -> None:
    done = subprocess.run(
        [TOOLS / "caddy", "fmt", "--diff", FILES / "Caddyfile"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
