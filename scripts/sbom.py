"""Bills of materials (CycloneDX 1.6) for what has no tool of its own here; `make sbom` calls it.

    python -m scripts.sbom go bin/rr FILE        the modules in RoadRunner's binary
    python -m scripts.sbom debian IMAGE FILE     the Debian packages in an image (needs Docker)

A document is validated against CycloneDX's schema before it is written. The same input gives the same document: there
is no time and no random number in it.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cyclonedx.model import Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

_DPKG: Final = r"${Package}\t${Version}\t${Architecture}\n"


class BillError(Exception):
    """What is to be listed cannot be, and what to do."""


def main(argv: Sequence[str]) -> int:
    """Writes one document, or says on stderr why there is none and returns 1."""
    parser = argparse.ArgumentParser(prog="python -m scripts.sbom", description="Writes a bill of materials.")
    parser.add_argument("kind", choices=["go", "debian"])
    parser.add_argument("subject", help="a binary, or an image")
    parser.add_argument("file", type=Path, help="where the document goes")
    args = parser.parse_args(argv)
    try:
        bom = go_binary(args.subject) if args.kind == "go" else debian_image(args.subject)
        document = encode(bom)
    except BillError as error:
        sys.stderr.write(f"sbom: {error}\n")
        return 1
    args.file.write_text(document)
    return 0


def go_binary(path: str) -> Bom:
    """The modules that the Go linker wrote into a binary, Go's own library among them."""
    report = _output("go", "version", "-m", path)
    version = re.match(r".*: go(\S+)\n", report)
    modules = re.findall(r"^\tdep\t(\S+)\t(\S+)\t(\S+)$", report, re.MULTILINE)
    if version is None or not modules:
        raise BillError(f"{path} has no list of Go modules in it; is it RoadRunner's binary?")
    components = [_go_module("stdlib", version[1], "")] + [_go_module(*module) for module in modules]
    return _bom(Component(name="rr", type=ComponentType.APPLICATION, bom_ref="rr"), components)


def _go_module(path: str, version: str, checksum: str) -> Component:
    namespace, _, name = path.rpartition("/")
    purl = PackageURL("golang", namespace or None, name, version)
    return Component(
        name=path,
        version=version,
        purl=purl,
        bom_ref=str(purl),
        properties=[Property(name="go:sum", value=checksum)] if checksum else [],
    )


def debian_image(image: str) -> Bom:
    """The packages that dpkg knows in an image."""
    inside = ("docker", "run", "--rm", "--network", "none", "--entrypoint")
    packages = _output(*inside, "dpkg-query", image, "--show", "--showformat", _DPKG).splitlines()
    release = dict(
        line.split("=", 1) for line in _output(*inside, "cat", image, "/etc/os-release").splitlines() if "=" in line
    )
    distribution = f"{release['ID']}-{release['VERSION_ID']}".replace('"', "")
    return _bom(
        Component(name=image, type=ComponentType.CONTAINER, bom_ref=image),
        [_debian_package(package, distribution) for package in packages],
    )


def _debian_package(line: str, distribution: str) -> Component:
    name, version, architecture = line.split("\t")
    purl = PackageURL("deb", "debian", name, version, {"arch": architecture, "distro": distribution})
    return Component(name=name, version=version, purl=purl, bom_ref=str(purl))


def _bom(subject: Component, components: Sequence[Component]) -> Bom:
    bom = Bom(components=components, metadata=BomMetaData(component=subject))
    bom.register_dependency(subject, components)
    return bom


def encode(bom: Bom) -> str:
    """The document, without what differs from run to run.

    Raises:
        BillError: it is none by CycloneDX's schema.
    """
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    del document["serialNumber"], document["metadata"]["timestamp"]
    text = json.dumps(document, indent=2) + "\n"
    if (fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)) is not None:
        raise BillError(f"the document does not fit CycloneDX's schema: {fault}")
    return text


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise BillError(f"there is no {command[0]} on PATH: install it, or make the bill where it is") from error
    if done.returncode != 0:
        raise BillError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
