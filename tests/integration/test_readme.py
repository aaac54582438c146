"""The README's commands and its example service, as a reader would paste them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rr_tcp.testing import free_ports, roadrunner
from tests.e2e.targets import native
from tests.integration.conftest import ROOT, accepts, connect

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_try_it_lines_work(tmp_path: Path) -> None:
    """Only ports and the interpreter are replaced; everything runs in one directory after the other, in order."""
    outputs = []
    with native(tmp_path) as stack:
        for block in blocks("bash"):
            script = block.replace("1025", str(stack.smtp.port)).replace("8889", str(stack.echo.port))
            script = script.replace(".venv/bin/python", sys.executable).replace("msg.eml", str(tmp_path / "msg.eml"))
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script],
                cwd=ROOT,
                env={**os.environ, "MAIL_STORE": f"sqlite:///{tmp_path}/mail.db"},
                check=False,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
            outputs.append(done.stdout)
    assert len(outputs) == 4
    listing, mail = outputs[2].split("\n", 2)[:2], outputs[2]
    assert all("<a@x.test>" in line and "<b@y.test>" in line for line in listing)
    assert mail.endswith("Subject: hello again\n\nHello\n")
    answers = [json.loads(line) for line in outputs[3].splitlines()]
    assert [(answer["seq"], answer["body"]) for answer in answers] == [(1, "one"), (2, "two"), (3, "three")]


def test_the_example_service_runs_as_it_stands(rr_binary: Path, tmp_path: Path) -> None:
    [service], [configuration] = blocks("python"), blocks("yaml")
    port, rpc_port = free_ports(2)
    (tmp_path / "counter.py").write_text(re.sub(r"lmdb://[\w/]+", f"lmdb://{tmp_path}/sessions", service))
    config = tmp_path / "counter.rr.yaml"
    configuration = configuration.replace("9000", str(port)).replace("6001", str(rpc_port))
    config.write_text(configuration.replace(".venv/bin/python", sys.executable))
    with (
        roadrunner(
            rr_binary,
            config,
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT)},
            log=tmp_path / "rr.log",
            probes=[accepts(port)],
        ),
        connect(port) as client,
    ):
        for number in range(1, 20):
            client.sendall(b"x\n")
            assert client.recv(100) == b"line %d\n" % number
        command = [sys.executable, "-m", "rr_tcp", "workers", "--json", "--rpc", f"tcp://127.0.0.1:{rpc_port}"]
        assert len(json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)) == 2


@pytest.mark.parametrize("target", ["run", "test", "e2e"])
def test_the_make_targets_that_the_readme_names_exist(target: str) -> None:
    assert f"make {target}" in README
    subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_the_ports_table_names_the_defaults() -> None:
    for port, setting in (("1025", "SMTP_PORT"), ("8889", "ECHO_PORT"), ("6001", "RPC_PORT"), ("2112", "METRICS_PORT")):
        assert re.search(rf"^\| 127\.0\.0\.1:{port} \|.*`{setting}` \|$", README, re.MULTILINE)
