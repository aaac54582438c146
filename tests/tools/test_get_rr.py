"""`scripts/get-rr` takes the first way to the pinned server."""

import os
import shutil
import signal
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.waiting import wait_until
from tests.tools.common import ROOT, VERSION, WAIT

OTHER_PATCH = VERSION.rpartition(".")[0] + ".99"

# What get-rr itself needs. Nothing of this is a way to a server.
TOOLS = ("bash", "basename", "cp", "dirname", "find", "head", "ln", "mkdir", "mv", "rm", "sed", "timeout", "uname")


def write_script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


def write_rr(path: Path, version: str, origin: str = "build time: 2026-01-01T00:00:00+0000, go1.26.4") -> Path:
    """Write a program that answers --version in the official server's form."""
    return write_script(path, f"echo 'rr version {version} ({origin}), OS: linux, arch: amd64'\n")


@dataclass(frozen=True, slots=True)
class Checkout:
    """A copy of what get-rr reads, and a PATH on which no way to a server exists."""

    root: Path
    path: Path
    calls: Path

    @property
    def rr(self) -> Path:
        """What get-rr is to provide."""
        return self.root / "bin/rr"

    def command(self, **env: str) -> tuple[list[str], dict[str, str]]:
        """Return the arguments and the environment of a call."""
        return [str(self.path / "bash"), str(self.root / "scripts/get-rr")], {"PATH": str(self.path), **env}

    def get_rr(self, **env: str) -> subprocess.CompletedProcess[str]:
        """Call get-rr from a foreign directory: it must find its own place."""
        command, env = self.command(**env)
        return subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, check=False)

    def leftovers(self) -> list[str]:
        """Name what lies in bin/ beside rr, hidden files included."""
        return [entry.name for entry in (self.root / "bin").glob("*") if entry.name != "rr"]

    def add_docker(self, rr: Path, *, can_pull: bool) -> None:
        """Put a docker on PATH that notes its calls, and whose only image holds `rr`."""
        write_script(
            self.path / "docker",
            f"""echo "$@" >> '{self.calls}'
            case $1 in
            version) ;;
            create) exit {0 if can_pull else 1} ;;
            cp) cp '{rr}' "$3" ;;
            rm) ;;
            esac""",
        )


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    root = tmp_path / "a check out"
    (root / "scripts").mkdir(parents=True)
    shutil.copy2(ROOT / "scripts/get-rr", root / "scripts")
    shutil.copytree(ROOT / "tools/rr", root / "tools/rr")
    path = tmp_path / "path"
    path.mkdir()
    for tool in TOOLS:
        where = shutil.which(tool)
        assert where, f"{tool} is not on PATH"
        (path / tool).symlink_to(where)
    return Checkout(root, path, tmp_path / "docker-calls")


def test_with_no_way_to_a_server_the_error_names_the_three(checkout: Checkout) -> None:
    result = checkout.get_rr()
    assert result.returncode == 1
    assert "RR_BINARY" in result.stderr
    assert f"ghcr.io/roadrunner-server/roadrunner:{VERSION}" in result.stderr
    assert "install Go" in result.stderr
    assert not checkout.rr.exists()
    assert not checkout.leftovers()


def test_rr_binary_is_linked_and_a_second_call_does_nothing(checkout: Checkout, tmp_path: Path) -> None:
    """The patch release of a binary that the user names is the user's choice."""
    binary = write_rr(tmp_path / "my own/rr", OTHER_PATCH)
    first = checkout.get_rr(RR_BINARY=str(binary))
    assert first.returncode == 0, first.stderr
    assert checkout.rr.readlink() == binary
    before = checkout.rr.lstat()

    for second in (checkout.get_rr(RR_BINARY=str(binary)), checkout.get_rr()):
        assert second.returncode == 0
        assert second.stdout + second.stderr == ""
    assert checkout.rr.lstat().st_ino == before.st_ino
    assert not checkout.leftovers()


def test_another_rr_binary_replaces_the_first(checkout: Checkout, tmp_path: Path) -> None:
    one = write_rr(tmp_path / "one/rr", VERSION)
    other = write_rr(tmp_path / "other/rr", VERSION)
    assert checkout.get_rr(RR_BINARY=str(one)).returncode == 0
    assert checkout.get_rr(RR_BINARY=str(other)).returncode == 0
    assert checkout.rr.readlink() == other


@pytest.mark.parametrize("version", ["2024.3.5", "2025.2.0", "2025.11.0"])
def test_rr_binary_of_another_series_is_refused(checkout: Checkout, tmp_path: Path, version: str) -> None:
    """A wrong RR_BINARY is an error: no other way is taken in its place, and a bin/rr from before stays."""
    good = write_rr(tmp_path / "good/rr", VERSION)
    assert checkout.get_rr(RR_BINARY=str(good)).returncode == 0

    result = checkout.get_rr(RR_BINARY=str(write_rr(tmp_path / "wrong/rr", version)))
    assert result.returncode == 1
    assert "RR_BINARY" in result.stderr
    assert f"rr version {version}" in result.stderr
    assert checkout.rr.readlink() == good


def test_rr_binary_that_is_not_there_is_refused(checkout: Checkout, tmp_path: Path) -> None:
    write_rr(checkout.path / "rr", VERSION)
    result = checkout.get_rr(RR_BINARY=str(tmp_path / "none"))
    assert result.returncode == 1
    assert "no executable file" in result.stderr


def test_the_server_on_path_is_taken_and_another_program_of_that_name_is_not(
    checkout: Checkout, tmp_path: Path
) -> None:
    """The record-and-replay debugger is called rr, too."""
    debugger = write_rr(tmp_path / "debugger/rr", "5.6.0").parent
    server = write_rr(tmp_path / "server/rr", VERSION)
    result = checkout.get_rr(PATH=f"{debugger}:{server.parent}:{checkout.path}")
    assert result.returncode == 0, result.stderr
    assert checkout.rr.readlink() == server


def test_a_bin_directory_on_path_is_no_source_for_itself(checkout: Checkout, tmp_path: Path) -> None:
    write_rr(checkout.rr, OTHER_PATCH)  # not a link, so only the pinned release is right
    server = write_rr(tmp_path / "server/rr", VERSION)
    result = checkout.get_rr(PATH=f"{checkout.rr.parent}:{server.parent}:{checkout.path}")
    assert result.returncode == 0, result.stderr
    assert checkout.rr.readlink() == server


def test_rr_binary_may_name_bin_rr_itself(checkout: Checkout) -> None:
    """It is then no other binary to take: what happens without it, happens."""
    write_rr(checkout.rr, OTHER_PATCH)
    server = write_rr(checkout.path / "rr", VERSION)
    result = checkout.get_rr(RR_BINARY=str(checkout.rr))
    assert result.returncode == 0, result.stderr
    assert checkout.rr.readlink() == server


def test_a_link_whose_target_went_away_is_made_anew(checkout: Checkout, tmp_path: Path) -> None:
    gone = write_rr(tmp_path / "gone/rr", VERSION)
    assert checkout.get_rr(RR_BINARY=str(gone)).returncode == 0
    gone.unlink()
    other = write_rr(checkout.path / "rr", VERSION)
    assert checkout.get_rr().returncode == 0
    assert checkout.rr.readlink() == other


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the official image holds a binary for Linux")


@linux_only
def test_the_binary_is_copied_out_of_the_official_image(checkout: Checkout, tmp_path: Path) -> None:
    """The container that it is copied out of is removed."""
    checkout.add_docker(write_rr(tmp_path / "image/rr", VERSION), can_pull=True)
    result = checkout.get_rr()
    assert result.returncode == 0, result.stderr
    assert f"rr version {VERSION}" in result.stderr
    assert not checkout.rr.is_symlink()
    assert os.access(checkout.rr, os.X_OK)
    assert not checkout.leftovers()

    calls = [line.split() for line in checkout.calls.read_text().splitlines()]
    assert [call[0] for call in calls] == ["version", "create", "cp", "rm"]
    name = calls[1][calls[1].index("--name") + 1]
    assert calls[1][-1] == f"ghcr.io/roadrunner-server/roadrunner:{VERSION}"
    assert calls[2][1] == f"{name}:/usr/bin/rr"
    assert calls[3][-1] == name

    assert checkout.get_rr().stderr == ""
    assert len(checkout.calls.read_text().splitlines()) == len(calls), "the second call asked Docker again"


@linux_only
@pytest.mark.parametrize(("version", "can_pull"), [(VERSION, False), (OTHER_PATCH, True)])
def test_an_image_that_gives_no_such_server_is_passed_over(
    checkout: Checkout, tmp_path: Path, version: str, can_pull: bool
) -> None:
    checkout.add_docker(write_rr(tmp_path / "image/rr", version), can_pull=can_pull)
    result = checkout.get_rr()
    assert result.returncode == 1
    assert "one of three" in result.stderr
    assert checkout.calls.read_text().splitlines()[-1].startswith("rm ")
    assert not checkout.rr.exists()
    assert not checkout.leftovers()


def test_a_failed_build_shows_its_error_and_names_the_three_ways(checkout: Checkout) -> None:
    write_script(checkout.path / "go", "echo 'no route to the modules' >&2; exit 1\n")
    result = checkout.get_rr()
    assert result.returncode == 1
    assert "no route to the modules" in result.stderr
    assert "one of three" in result.stderr
    assert not checkout.leftovers()


def test_an_interrupted_build_leaves_the_old_binary_whole(checkout: Checkout, tmp_path: Path) -> None:
    """bin/rr is replaced by one rename of a complete file, so half a binary never stands there."""
    write_rr(checkout.rr, OTHER_PATCH)
    old = checkout.rr.read_bytes()
    started = tmp_path / "started"
    # A compiler that has written the half of its output when the signal comes.
    write_script(
        checkout.path / "go",
        f"""case $1 in build)
        while [ "$1" != -o ]; do shift; done
        printf half > "$2"
        : > '{started}'
        exec {shutil.which("sleep")} 60 ;; esac""",
    )
    command, env = checkout.command()
    with subprocess.Popen(command, env=env, start_new_session=True, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(started.exists, "the build to start")
            assert checkout.leftovers()
        finally:
            os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(WAIT) == 128 + signal.SIGTERM
    assert checkout.rr.read_bytes() == old
    assert not checkout.leftovers()


@pytest.mark.timeout(900)  # with a cold cache the first build downloads and compiles everything
@pytest.mark.skipif(not shutil.which("go"), reason="Go is not installed")
def test_the_build_from_source_is_the_pinned_release_and_follows_its_source(checkout: Checkout) -> None:
    go = shutil.which("go")
    assert go
    (checkout.path / "go").symlink_to(go)
    env = {key: value for key, value in os.environ.items() if key not in {"PATH", "RR_BINARY"}}
    first = checkout.get_rr(**env)
    assert first.returncode == 0, first.stderr
    assert stat.S_ISREG(checkout.rr.lstat().st_mode)
    answer = subprocess.run([checkout.rr, "--version"], capture_output=True, text=True, check=True).stdout
    assert answer.startswith(f"rr version {VERSION} (built from tools/rr, go")

    built = checkout.rr.lstat()
    assert checkout.get_rr(**env).stderr == ""
    assert checkout.rr.lstat().st_ino == built.st_ino

    os.utime(checkout.rr, (0, 0))  # every source is newer now
    again = checkout.get_rr(**env)
    assert "compiling" in again.stderr
    assert checkout.rr.lstat().st_ino != built.st_ino
    assert checkout.get_rr(**env).stderr == ""
