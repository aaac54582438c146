"""`make audit`: known vulnerabilities of all that is pinned, and a plain word where that could not be asked.

Python's packages come from the lock files, RoadRunner's modules from tools/rr. pip-audit and govulncheck know which
service has the advisories; neither's exit code tells "nothing known" from "nobody to ask", so their answers are read.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parent.parent

GOVULNCHECK: Final = "golang.org/x/vuln/cmd/govulncheck@v1.9.0"
"""Go verifies it against its checksum database."""

VULNERABLE: Final = 3
"""govulncheck's exit code when it found something (v1.9.0)."""

_PIN: Final = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?==(?P<version>\S+)(?: ;[^\\\n]*)? \\\n"
    r"(?P<hashes>(?:    --hash=\S+.*\n)+)",
    re.MULTILINE,
)


_PIP_AUDIT: Final = ("--require-hashes", "--disable-pip", "--format", "json", "--progress-spinner", "off")

_ADVISORY: Final = re.compile(
    r"^Vulnerability #\d+: (\S+)$.*?^    Found in: (\S+)$\n^    Fixed in: (\S+)$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one kind of dependency came to.

    Attributes:
        checked: how many were.
        vulnerable: a line for each advisory that is about one of them.
        unchecked: why some, or all, were not; a line for each reason.
    """

    checked: int
    vulnerable: Sequence[str] = ()
    unchecked: Sequence[str] = ()


def main(arguments: Sequence[str]) -> int:
    """Asks, and prints what came.

    Args:
        arguments: more for pip-audit, e.g. `--vulnerability-service osv`.

    Returns:
        0 all was checked and nothing is known, 1 something is known, 2 something could not be checked.
    """
    answers = {
        "Python": audit_python(sorted(ROOT.glob("requirements*.lock")), arguments),
        "Go": audit_go(ROOT / "tools/rr"),
    }
    for kind, answer in answers.items():
        for line in answer.vulnerable:
            sys.stdout.write(f"{kind}: VULNERABLE: {line}\n")
        for line in answer.unchecked:
            sys.stdout.write(f"{kind}: NOT CHECKED: {line}\n")
        sys.stdout.write(f"{kind}: {answer.checked} checked, {len(answer.vulnerable)} advisories\n")
    if any(answer.vulnerable for answer in answers.values()):
        return 1
    if any(answer.unchecked for answer in answers.values()):
        sys.stdout.write(
            "audit: this is no clean result. Run it where the services can be reached: pypi.org (or api.osv.dev with "
            "AUDIT_ARGS='--vulnerability-service osv') and vuln.go.dev\n"
        )
        return 2
    sys.stdout.write("audit: nothing is known against any of them\n")
    return 0


def pins(locks: Iterable[str]) -> dict[tuple[str, str], str]:
    """Every name and version of some lock files, whatever Python or system it is for, with its line and hashes."""
    return {
        (match["name"], match["version"]): f"{match['name']}=={match['version']} \\\n{match['hashes']}"
        for lock in locks
        for match in _PIN.finditer(lock)
    }


def audit_python(locks: Sequence[Path], arguments: Sequence[str]) -> Answer:
    """Asks for everything in the lock files."""
    answers = [_pip_audit(group, arguments) for group in one_version_each(pins(lock.read_text() for lock in locks))]
    return Answer(
        sum(answer.checked for answer in answers),
        [line for answer in answers for line in answer.vulnerable],
        [line for answer in answers for line in answer.unchecked],
    )


def one_version_each(wanted: Mapping[tuple[str, str], str]) -> list[dict[str, tuple[str, str]]]:
    """The pins in groups that name no package twice, which pip-audit refuses: version and line by name."""
    groups: list[dict[str, tuple[str, str]]] = []
    for (name, version), line in wanted.items():
        group = next((group for group in groups if name not in group), None)
        if group is None:
            group = {}
            groups.append(group)
        group[name] = (version, line)
    return groups


def _pip_audit(wanted: Mapping[str, tuple[str, str]], arguments: Sequence[str]) -> Answer:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "requirements.txt")
        file.write_text("".join(line for _, line in wanted.values()))
        done = subprocess.run(
            [sys.executable, "-m", "pip_audit", "--requirement", str(file), *_PIP_AUDIT, *arguments],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    try:
        dependencies: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except json.JSONDecodeError:
        return Answer(0, unchecked=[f"{len(wanted)} packages; pip-audit said: {_last_line(done.stderr)}"])
    return read_python({name: version for name, (version, _) in wanted.items()}, dependencies)


def read_python(wanted: Mapping[str, str], dependencies: Iterable[Mapping[str, Any]]) -> Answer:
    """What pip-audit's list says of the packages that it was asked for, by name with their versions."""
    answered = {dependency["name"]: dependency for dependency in dependencies}
    vulnerable, reasons = [], dict[str, list[str]]()
    for name, version in wanted.items():
        dependency = answered.get(name, {"skip_reason": "pip-audit did not mention it"})
        if "skip_reason" in dependency:
            reasons.setdefault(dependency["skip_reason"].partition(":")[0], []).append(f"{name} {version}")
            continue
        vulnerable += [
            f"{name} {version}: {found['id']}, fixed in {', '.join(found['fix_versions']) or 'no version'}"
            for found in dependency["vulns"]
        ]
    unchecked = [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()]
    return Answer(len(wanted) - sum(map(len, reasons.values())), vulnerable, unchecked)


def audit_go(module: Path) -> Answer:
    """Asks for the packages of RoadRunner's build."""
    if shutil.which("go") is None:
        return Answer(0, unchecked=["tools/rr: govulncheck needs Go, and there is none on PATH"])
    modules = len(re.findall(r"^\t[\w./-]+ v", (module / "go.mod").read_text(), re.MULTILINE))
    done = subprocess.run(
        # By package, not by symbol: RoadRunner calls its plugins by reflection, which govulncheck does not follow.
        ["go", "run", GOVULNCHECK, "-scan", "package", "./..."],  # noqa: S607  # whichever Go builds bin/rr
        cwd=module,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode == 0:
        return Answer(modules)
    # `go run` makes 1 of any exit code, and says which it was.
    if done.stderr.rstrip().endswith(f"exit status {VULNERABLE}"):
        return Answer(modules, read_go(done.stdout))
    return Answer(0, unchecked=[f"tools/rr; govulncheck said: {_last_line(done.stderr)}"])


def read_go(report: str) -> list[str]:
    """The advisories of govulncheck's report; the report itself where it looks otherwise than in v1.9.0."""
    found = [
        f"{found_in}: {identifier}, fixed in {fixed_in.rpartition('@')[2]}"
        for identifier, found_in, fixed_in in _ADVISORY.findall(report)
    ]
    return found if len(found) == report.count("Vulnerability #") > 0 else [report]


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("exit status ")]
    return lines[-1] if lines else "nothing"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
