"""docker-compose.yml and the servers' configurations keep what docs/security.md says, without a Docker to ask.

tests/containers asks the containers themselves.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
CONFIGURATIONS = [ROOT / ".rr.yaml", *sorted(ROOT.glob("deploy/**/*rr.yaml"))]

each_service = pytest.mark.parametrize("name", SERVICES)


@each_service
def test_every_service_is_hardened(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"privileged", "cap_add", "devices", "pid", "ipc"} & set(service) == set()
    assert service["pids_limit"] > 0
    assert service["mem_limit"]
    assert service["logging"]["options"]["max-size"]


@each_service
def test_every_service_that_stays_has_a_healthcheck(name: str) -> None:
    """The image that is built here has one; of another's image we do not know."""
    service = SERVICES[name]
    assert "healthcheck" in service or "build" in service or service["restart"] == "no"
    assert not service.get("healthcheck", {}).get("disable")


@each_service
def test_ports_are_published_on_the_loopback_unless_somebody_says_otherwise(name: str) -> None:
    """Who opens the services, or the edge, to others does not open what watches them, which asks for no password."""
    host = "OBSERVABILITY_HOST" if SERVICES[name].get("profiles") == ["observability"] else "PUBLISH_HOST"
    for port in SERVICES[name].get("ports", []):
        assert port.startswith(f"${{{host}:-127.0.0.1}}:")


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_environment_chooses_the_port_of_the_rpc_server_and_not_its_address(path: Path) -> None:
    listen = yaml.safe_load(path.read_text())["rpc"]["listen"]
    assert re.fullmatch(r"tcp://127\.0\.0\.1:\$\{\w*RPC_PORT:-\d+\}", listen)


@each_service
def test_no_service_publishes_the_rpc_port(name: str) -> None:
    ports = yaml.safe_load((ROOT / ".rr.yaml").read_text())["rpc"]["listen"]
    [default] = re.findall(r":-(\d+)\}", ports)
    published = [*SERVICES[name].get("ports", []), *SERVICES[name].get("expose", [])]
    assert not [port for port in published if default in str(port) or "RPC_PORT" in str(port)]
