"""`make audit` says what is known, and never that nothing is when nobody could be asked."""

from __future__ import annotations

import http.server
import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.audit import audit_go, main, one_version_each, pins, read_go, read_python
from tests.tools.common import ROOT

AUDIT_PYTHON = ROOT / ".cache/audit/bin/python"
VULNERABLE = "redis"  # what the service of these tests has an advisory for


class AdvisoryService(http.server.BaseHTTPRequestHandler):
    """Speaks OSV's API: one advisory for one package, none for others."""

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = query["package"]["name"] == VULNERABLE
        answer = json.dumps({"vulns": [advisory()]} if known else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Says nothing: the tests' output is not for this."""


def advisory() -> dict[str, Any]:
    return {
        "id": "PYSEC-2099-1",
        "modified": "2099-01-01T00:00:00Z",
        "published": "2099-01-01T00:00:00Z",
        "summary": "made up",
        "details": "made up",
        "affected": [
            {
                "package": {"name": VULNERABLE, "ecosystem": "PyPI"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "999.0"}]}],
                "versions": [],
            }
        ],
    }


@pytest.fixture
def osv_url() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), AdvisoryService)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def no_go(tmp_path: Path) -> dict[str, str]:
    """An environment with an empty PATH: the look-up of RoadRunner's modules is left out, and said to be."""
    return {**os.environ, "PATH": str(tmp_path)}


def audit(env: dict[str, str], *args: str) -> subprocess.CompletedProcess[str]:
    """The real pip-audit, as `make audit` runs it."""
    if not AUDIT_PYTHON.exists():
        pytest.fail("there is no .cache/audit: `make audit-env` makes it")
    return subprocess.run(
        [AUDIT_PYTHON, "-m", "scripts.audit", *args], cwd=ROOT, env=env, check=False, capture_output=True, text=True
    )


def test_an_advisory_is_named_with_the_version_that_mends_it(osv_url: str, no_go: dict[str, str]) -> None:
    done = audit(no_go, "--vulnerability-service", "osv", "--osv-url", osv_url)
    assert done.returncode == 1, done.stdout + done.stderr
    [version] = re.findall(rf"^{VULNERABLE}(?:\[\w+\])?==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert f"Python: VULNERABLE: {VULNERABLE} {version}: PYSEC-2099-1, fixed in 999.0\n" in done.stdout
    locks = [path.read_text() for path in ROOT.glob("requirements*.lock")]
    assert f"Python: {len(pins(locks))} checked, 1 advisories" in done.stdout
    assert len(pins(locks)) > 100


def test_a_service_that_does_not_answer_is_no_clean_result(no_go: dict[str, str]) -> None:
    """Port 9 of the loopback: nobody listens there."""
    done = audit(no_go, "--vulnerability-service", "osv", "--osv-url", "http://127.0.0.1:9/", "--timeout", "2")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Python: NOT CHECKED: " in done.stdout
    assert "audit: this is no clean result" in done.stdout
    assert "nothing is known" not in done.stdout


def test_a_machine_without_go_is_no_clean_result(osv_url: str, no_go: dict[str, str]) -> None:
    """Even when Python's packages are fine, which they are here but for one that the others are tested without."""
    done = audit(no_go, "--vulnerability-service", "osv", "--osv-url", osv_url, "--ignore-vuln", "PYSEC-2099-1")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Go: NOT CHECKED: tools/rr: govulncheck needs Go" in done.stdout


def test_a_package_that_the_service_does_not_know_is_not_checked() -> None:
    """pip-audit ends with 0 then (2.10)."""
    answer = read_python(
        {"a": "1", "b": "2", "c": "3"},
        [{"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "Dependency not found: b (2)"}],
    )
    assert answer.checked == 1
    assert answer.unchecked == ["b 2: Dependency not found", "c 3: pip-audit did not mention it"]


def test_every_pin_is_asked_for_whatever_python_it_is_for() -> None:
    lock = (
        "one==1.0 ; python_full_version < '3.12' \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n    # via x\n"
        "one==2.0 ; python_full_version >= '3.12' \\\n    --hash=sha256:cc\n"
        "two[extra]==3 \\\n    --hash=sha256:dd\n"
    )
    found = pins([lock, lock])
    assert list(found) == [("one", "1.0"), ("one", "2.0"), ("two", "3")]
    assert found[("one", "1.0")] == "one==1.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
    assert [list(group) for group in one_version_each(found)] == [["one", "two"], ["one"]]


@pytest.mark.parametrize("path", sorted(ROOT.glob("requirements*.lock")), ids=lambda path: path.name)
def test_no_pin_of_the_lock_files_is_overlooked(path: Path) -> None:
    lock = path.read_text()
    assert len(pins([lock])) == len(re.findall(r"^[A-Za-z0-9]\S*==", lock, re.MULTILINE)) > 0


GO_REPORT = """=== Package Results ===

Vulnerability #1: GO-2099-0001
    A made-up fault
  More info: https://pkg.go.dev/vuln/GO-2099-0001
  Module: github.com/roadrunner-server/tcp/v5
    Found in: github.com/roadrunner-server/tcp/v5@v5.1.9
    Fixed in: github.com/roadrunner-server/tcp/v5@v5.9.9

Your code may be affected by 1 vulnerability.
"""


def stand_in_go(directory: Path, stdout: str, stderr: str, code: int) -> None:
    """A `go` that answers as `go run govulncheck` does; the real one needs a service of the internet."""
    program = directory / "go"
    (directory / "stdout").write_text(stdout)
    (directory / "stderr").write_text(stderr)
    program.write_text(f"#!/bin/sh\n/bin/cat {directory}/stdout\n/bin/cat {directory}/stderr >&2\nexit {code}\n")
    program.chmod(0o755)


def test_govulncheck_found_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_go(tmp_path, GO_REPORT, "exit status 3\n", 1)
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = audit_go(ROOT / "tools/rr")
    assert answer.vulnerable == ["github.com/roadrunner-server/tcp/v5@v5.1.9: GO-2099-0001, fixed in v5.9.9"]


def test_govulncheck_could_not_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_go(tmp_path, "", "govulncheck: fetching vulnerabilities: no such host\nexit status 1\n", 1)
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = audit_go(ROOT / "tools/rr")
    assert answer.checked == 0
    assert answer.unchecked == ["tools/rr; govulncheck said: govulncheck: fetching vulnerabilities: no such host"]


def test_govulncheck_found_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_go(tmp_path, "No vulnerabilities found.\n", "", 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = audit_go(ROOT / "tools/rr")
    assert (answer.vulnerable, answer.unchecked) == ((), ())
    assert answer.checked > 50


def test_a_report_of_another_shape_is_shown_whole() -> None:
    assert read_go("Something: GO-2099-0002\n") == ["Something: GO-2099-0002\n"]


def test_what_is_known_outweighs_what_is_not(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment of the tests has no pip-audit, which is one way not to be able to ask."""
    stand_in_go(tmp_path, GO_REPORT, "exit status 3\n", 1)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main([]) == 1
    printed = capsys.readouterr().out
    assert "Python: NOT CHECKED: " in printed
    assert "Go: VULNERABLE: " in printed
