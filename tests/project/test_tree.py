"""What is under version control: no key, no credential, no address of a registry, no path of somebody's machine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]

PRIVATE: Final = re.compile(
    r"(.*(artifactory|harbor|mirror|nexus|registry).*|.*\.(corp|home|internal|intranet|lan|local)|\d+(\.\d+){3})"
)
"""Hosts as companies and machines have them: registries of their own, names that no one else knows, bare addresses."""

NOBODYS: Final = re.compile(
    r"(127\.\d+\.\d+\.\d+|0\.0\.0\.0|(192\.0\.2|198\.51\.100|203\.0\.113)\.\d+|.+\.(test|example|invalid))"
)
"""This machine's own addresses, and what RFC 5737 and RFC 2606 reserve."""

SECRETS: Final = {
    "a private key": rb"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a key of AWS": rb"\b(AKIA|ASIA)[0-9A-Z]{16}\b",
    "a token of GitHub": rb"\b(gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})",
    "a token of GitLab": rb"\bglpat-[A-Za-z0-9_-]{20}",
    "a token of Slack": rb"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    "a token of PyPI": rb"\bpypi-[A-Za-z0-9_-]{50,}",
    "a JSON web token": rb"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.",
    "a URL with a password": rb"https?://[^\s/@:]+:[^\s/@]+@(?!127\.|localhost)[a-z0-9.-]+\.(com|net|org|io|dev|internal)\b",
    "somebody's directory": rb"(?<![\w.$}])/(home|Users|root)/\w+",
}


def tracked() -> list[Path]:
    """All files but this one, which has examples of what must not be."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    paths = [ROOT / name for name in names.split("\0") if name]
    assert len(paths) > 300
    return [path for path in paths if path.is_file() and not path.is_symlink() and path != Path(__file__)]


@pytest.mark.parametrize("what", SECRETS)
def test_no_file_has(what: str) -> None:
    assert [str(path.relative_to(ROOT)) for path in tracked() if re.search(SECRETS[what], path.read_bytes())] == []


@pytest.mark.parametrize(
    ("what", "example"),
    [
        ("a private key", b"-----BEGIN EC PRIVATE KEY-----"),
        ("a URL with a password", b"https://user:word@pypi.corp.internal/simple"),
        ("somebody's directory", b"cd /home/alice/clone"),
    ],
)
def test_one_would_be_found(what: str, example: bytes) -> None:
    assert re.search(SECRETS[what], example)


def is_private(host: str) -> bool:
    return bool(PRIVATE.fullmatch(host)) and not NOBODYS.fullmatch(host)


def test_no_file_names_a_registry_or_a_host_of_a_company() -> None:
    found = {
        (host.decode().lower().strip("."), path.name)
        for path in tracked()
        for host in re.findall(rb"\b(?:https?|ftp)://(?:[^\s/@\"'<>]*@)?([A-Za-z0-9.-]+)", path.read_bytes())
    }
    assert "roadrunner.dev" in {host for host, _ in found}
    assert {(host, name) for host, name in found if is_private(host)} == set()


def test_such_a_host_would_be_found() -> None:
    private = ["pypi.corp", "artifactory.company.com", "10.1.2.3", "mirror.example.com", "registry-1.docker.io"]
    assert [host for host in private if not is_private(host)] == []
    assert not is_private("pypi.org")
    assert not is_private("127.0.0.1")


def test_nothing_that_a_run_makes_is_tracked() -> None:
    names = [str(path.relative_to(ROOT)) for path in tracked()]
    assert not [name for name in names if re.search(r"(^|/)(\.env|.*\.(pem|key|crt|p12|db|sqlite3?))$", name)]
