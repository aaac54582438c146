"""What is given to a build or lies about in the clone is in no layer of the image, and in nothing that Docker tells."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.project import PROJECT, Project, copy_clone, docker, inspect
from tests.support.canaries import canary, leaks

PLANTED = (
    ".env",
    ".git/config",
    ".cache/ci/pip.conf",
    "relay-password",
    "secrets/webhook",
    "var/mail.db",
    "deploy/certificates/server.pem",
    "deploy/split/notes.txt",
    "services/.env",
    "services/smtp/users",
    "workers/server.key",
    "workers/server.pem",
    "rr_tcp/.netrc",
    "rr_tcp/cli/private.key",
)
"""Where people keep what is nobody's business, inside the directories that the image has too."""

SECRETS = ("pip_conf", "ca_bundle")
IMAGE = f"{PROJECT}-secrets"
BUILD_TIMEOUT = 600.0


@pytest.fixture(scope="module")
def words() -> dict[str, str]:
    return {name: canary(name.replace("/", "-")) for name in (*PLANTED, *SECRETS)}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, words: dict[str, str]) -> Path:
    """The tree as it is, with what git does not know of planted into it."""
    clone = tmp_path_factory.mktemp("clone")
    copy_clone(clone)
    for name in PLANTED:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text(words[name])
    return clone


@pytest.fixture(scope="module")
def image(clone: Path, words: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image, built anew with both secrets; those of this machine, if it needs them, with a word added."""
    directory = tmp_path_factory.mktemp("secrets")
    given = {"pip_conf": os.environ.get("PIP_CONF"), "ca_bundle": os.environ.get("CA_BUNDLE", system_bundle())}
    command = ["docker", "build", "--quiet", "--tag", IMAGE, "--no-cache-filter", "build"]
    for name in SECRETS:
        own = Path(given[name] or os.devnull).read_text()
        (directory / name).write_text(f"# {words[name]}\n{own}")
        command += ["--secret", f"id={name},src={directory / name}"]
    for name in ("RR_IMAGE", "PYTHON_IMAGE"):
        if name in os.environ:
            command += ["--build-arg", name]
    subprocess.run([*command, str(clone)], check=True, stdout=subprocess.DEVNULL, timeout=BUILD_TIMEOUT)
    yield IMAGE
    docker("image", "rm", "--force", IMAGE)


def system_bundle() -> str:
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    return bundle if Path(bundle).exists() else os.devnull


def layers(image: str) -> Iterator[tuple[str, bytes]]:
    """Every file of every layer, and the image's configuration and manifest."""
    saved = subprocess.run(["docker", "save", image], check=True, capture_output=True, timeout=BUILD_TIMEOUT).stdout
    with tarfile.open(fileobj=io.BytesIO(saved)) as outer:
        for member in outer:
            if (content := outer.extractfile(member)) is None:
                continue
            data = content.read()
            if tarfile.is_tarfile(io.BytesIO(data)):
                with tarfile.open(fileobj=io.BytesIO(data)) as layer:
                    data = b"\0".join([unpacked(layer), *(name.encode() for name in layer.getnames())])
            yield member.name, data


def unpacked(layer: tarfile.TarFile) -> bytes:
    files = (layer.extractfile(member) for member in layer if member.isfile())
    return b"\0".join(file.read() for file in files if file is not None)


def test_no_layer_has_a_secret_of_the_build_or_of_the_clone(image: str, words: dict[str, str]) -> None:
    found = list(layers(image))
    assert any(b"class Worker" in content for _, content in found)  # it is our image, and its files can be read
    assert leaks(words, found) == []


def test_nothing_that_docker_tells_of_the_image_has_one(image: str, words: dict[str, str]) -> None:
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}} {{.Comment}}", image).stdout
    assert "pip" in history or "COPY" in history
    told = [("history", history.encode()), ("configuration", str(inspect(image)).encode())]
    assert leaks(words, told) == []
    names = {entry.partition("=")[0] for entry in inspect(image)["Config"]["Env"]}
    assert not [name for name in names if "PASSWORD" in name or "SECRET" in name or "TOKEN" in name or "PIP_" in name]


def test_no_file_of_what_was_planted_is_in_the_image(image: str) -> None:
    names = docker("run", "--rm", "--network", "none", image, "find", "/app", "-type", "f").stdout.splitlines()
    assert "/app/workers/all.py" in names
    assert [name for name in names if name.removeprefix("/app/") in PLANTED] == []


def test_a_secret_of_a_service_is_in_a_file_and_not_in_its_environment(everything: Project) -> None:
    """Whoever may ask Docker, or read /proc, would see it."""
    secret = everything.exec("webhook", "cat", "/run/secrets/webhook_secret").stdout.strip()
    assert secret.startswith("whsec_")
    containers = everything.compose("ps", "--all", "--quiet").split()  # those that did their work and ended, too
    assert len(containers) == len(everything.configuration())
    for container in containers:
        assert secret not in str(inspect(container)["Config"])
