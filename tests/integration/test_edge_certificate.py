"""The edge's certificate for development, and the check of one's own."""

from __future__ import annotations

import os
import ssl
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.edge import CONFIGURATION, haproxy, make_certificate


@pytest.fixture
def made(tmp_path: Path) -> Path:
    done = make_certificate(tmp_path / "certificates")
    assert done.returncode == 0, done.stderr
    return tmp_path / "certificates"


def self_signed(file: Path, *, days: int) -> None:
    """A certificate of somebody's own, with its key, in one file."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=mail.example", "-batch"]
    made = subprocess.run(
        [*command, "-days", str(days), "-keyout", "-", "-out", "-"], check=True, capture_output=True
    ).stdout
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(made)


def test_nobody_else_may_read_the_key(made: Path) -> None:
    assert stat.S_IMODE((made / "edge.pem").stat().st_mode) == 0o600
    files = [path for path in made.rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == ["ca.crt", "edge.pem"]
    assert [path.name for path in files if b"PRIVATE KEY" in path.read_bytes()] == ["edge.pem"]


def test_clients_need_the_authority_alone(made: Path) -> None:
    context = ssl.create_default_context(cafile=made / "clients/ca.crt")
    [authority] = context.get_ca_certs()
    assert "development" in str(authority["subject"])


def test_a_certificate_that_is_still_good_is_kept(made: Path) -> None:
    before = (made / "edge.pem").read_bytes()
    done = make_certificate(made)
    assert (done.returncode, (made / "edge.pem").read_bytes()) == (0, before)
    assert "still good" in done.stderr


@pytest.mark.parametrize("damage", ["last week", "another key", "no certificate"])
def test_one_that_is_of_no_use_any_more_is_made_anew(made: Path, damage: str) -> None:
    pem = made / "edge.pem"
    match damage:
        case "last week":
            self_signed(pem, days=6)
        case "another key":
            other = made.parent / "other.pem"
            self_signed(other, days=90)
            pem.write_bytes(b"".join(part(other, "PRIVATE KEY") + part(pem, "CERTIFICATE")))
        case _:
            pem.write_text("damaged")
    before = pem.read_bytes()
    assert make_certificate(made).returncode == 0
    assert pem.read_bytes() != before
    assert "still good" in make_certificate(made).stderr


def part(pem: Path, kind: str) -> list[bytes]:
    lines = pem.read_bytes().splitlines(keepends=True)
    [first] = [number for number, line in enumerate(lines) if line.startswith(b"-----BEGIN %s" % kind.encode())]
    [last] = [number for number, line in enumerate(lines) if line.startswith(b"-----END %s" % kind.encode())]
    return lines[first : last + 1]


def test_more_names_are_in_it(tmp_path: Path) -> None:
    assert make_certificate(tmp_path / "c", CERTIFICATE_NAMES="DNS:mail.example,IP:192.0.2.1").returncode == 0
    shown = subprocess.run(
        ["openssl", "x509", "-in", tmp_path / "c/edge.pem", "-noout", "-ext", "subjectAltName"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "DNS:localhost" in shown
    assert "DNS:mail.example, IP Address:192.0.2.1" in shown


def test_names_that_are_none_are_said_and_nothing_is_left(tmp_path: Path) -> None:
    done = make_certificate(tmp_path / "c", CERTIFICATE_NAMES="mail.example")
    assert done.returncode == 1
    assert "are the names right: DNS:localhost" in done.stderr
    assert list((tmp_path / "c").iterdir()) == []


def test_ones_own_certificate_is_looked_at_and_left_alone(tmp_path: Path) -> None:
    own = tmp_path / "own"
    self_signed(own / "mail.pem", days=1)
    before = (own / "mail.pem").read_bytes()
    done = make_certificate(own, OWN_CERTIFICATES="./own")
    assert done.returncode == 0, done.stderr
    assert "the edge shows mail.pem" in done.stderr
    assert [path.name for path in own.iterdir()] == ["mail.pem"]
    assert (own / "mail.pem").read_bytes() == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no *.pem: give a certificate, its chain and its private key in one file"),
        ("certificate", "mail.pem is not a private key, and a certificate for it that holds, in one PEM file"),
        ("damaged", "mail.pem is not a private key"),
    ],
)
def test_what_the_edge_could_not_use_is_said(tmp_path: Path, content: str | None, said: str) -> None:
    own = tmp_path / "own"
    own.mkdir()
    if content == "certificate":
        self_signed(own / "mail.pem", days=1)
        (own / "mail.pem").write_bytes(b"".join(part(own / "mail.pem", "CERTIFICATE")))
    elif content is not None:
        (own / "mail.pem").write_text(content)
    done = make_certificate(own, OWN_CERTIFICATES="./own")
    assert done.returncode == 1
    assert said in done.stderr


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("EDGE_CLIENT_RATE", "many", "'many' is neither a number nor a supported operator"),
        ("EDGE_MAX_CONNECTIONS", "", "'maxconn' expects an integer argument"),
        ("EDGE_IDLE", "5 minutes", "in 'timeout client'"),
        ("EDGE_CERTIFICATES", "/nonexistent/", "no SSL certificate specified"),
    ],
)
def test_a_setting_that_cannot_be_used_is_said_before_the_edge_starts(
    made: Path, setting: str, value: str, said: str
) -> None:
    env = {**os.environ, "EDGE_CERTIFICATES": f"{made}/", setting: value}
    done = subprocess.run([haproxy(), "-c", "-f", CONFIGURATION], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert said in done.stderr
