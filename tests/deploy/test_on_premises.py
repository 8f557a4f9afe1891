"""deploy/on_premises: its page's commands run with the real image, Compose and Caddy."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.deploy.stack import Stack
from tests.deploy.tools import TOOLS, needs_tool
from tests.docker import build, docker, inspect, needs_docker
from tests.jobs import ROOT
from tests.ports import free_port
from tests.scans import encode, head

FILES = ROOT / "deploy/on_premises"
PROXY = "brain-tumor:test-proxy"
PAGE = (ROOT / "docs/deploy.md").read_text()
BLOCKS = re.findall(
    r"^<!-- tested: on premises -->\n```bash\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
)
# As in the official image, the file has a capability (an extended attribute: revision 2, effective,
# CAP_NET_BIND_SERVICE), which keeps Caddy from starting where the container may not have it.
_PROXY_DOCKERFILE = """
FROM {base}
COPY caddy /usr/bin/caddy
RUN ["python3", "-c", "import os; os.setxattr('/usr/bin/caddy', 'security.capability', \\
    bytes.fromhex('0100000200040000000000000000000000000000'))"]
ENV XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
"""


def _run(code: str, folder: Path, env: dict[str, str]) -> str:
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
    assert done.returncode == 0, f"{code}\n{done.stdout[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def proxy_image(serve_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Stand in for the official image of Caddy, which no registry here has."""
    folder = tmp_path_factory.mktemp("proxy")
    os.link(TOOLS / "caddy", folder / "caddy")
    (folder / "Dockerfile").write_text(_PROXY_DOCKERFILE.format(base=serve_image))
    yield build(PROXY, "--network", "none", folder)
    docker("rmi", "-f", PROXY)


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
    port = free_port()
    env = {
        **os.environ,
        "DOCKER_CONFIG": str(folder / "docker"),
        "COMPOSE_PROJECT_NAME": f"brain-tumor-{port}",
        "PROXY_ADDRESS": f"127.0.0.1:{port}",
        "NO_PROXY": "localhost",
    }
    unpacked = Stack(folder / "bundle", port, env)
    (unpacked.folder.parent / "scan.jpg").write_bytes(encode(head(0), "JPEG"))
    model = f"--image {serve_image} --proxy {proxy_image} {trained / 'model'}"
    try:
        for block in BLOCKS:
            code = block.replace("FOLDER/model", model).replace("@scan.jpg", "@../scan.jpg")
            printed = _run(code.replace("//localhost", f"//localhost:{port}"), folder, env)
        assert '"predictions"' in printed
        yield unpacked
    finally:
        if unpacked.folder.exists():
            unpacked.compose("down")


pytestmark = [needs_docker, needs_tool("docker-compose"), needs_tool("caddy")]


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
        file.truncate(100_000_001)
    # curl goes on sending while it is refused, as clients do.
    done = subprocess.run(
        [
            *("curl", "--silent", "--cacert", "tls.crt", "--write-out", "\n%{http_code}"),
            *("--header", f"Authorization: Bearer {stack.token()}", "--data-binary", f"@{large}"),
            *("--noproxy", "*", f"https://localhost:{stack.port}/invocations"),
        ],
        cwd=stack.folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    body, status = done.stdout.rsplit("\n", 1)
    assert (status, json.loads(body)["error"]["code"]) == ("413", "body_too_large")


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


def _change(model: Path) -> None:
    (model / "class_names.json").write_text('["pituitary", "notumor", "meningioma", "glioma"]')


def _add(model: Path) -> None:
    (model / "extra").touch()


def _remove(model: Path) -> None:
    (model / "class_names.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_change, "class_names.json: FAILED"),
        (_add, "holds files that model.sha256 does not name"),
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
        (["--image", "x@sha256:0", "MODEL", "out"], "docker save keeps tags and no digests"),
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
