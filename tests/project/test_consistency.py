"""Facts that must stand in more than one file agree in all of them."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from rr_tcp.frame import MAX_PAYLOAD
from scripts.run_stack import BEHIND_EDGE, STOP_TIMEOUT, Listener, defaults, listeners
from services.smtp.cli.handing_on import COMMANDS
from services.smtp.forward.consumer import GRACE
from services.smtp.forward.settings import QueueSettings
from services.smtp.limits import LARGEST_MESSAGE
from workers.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATIONS = [".rr.yaml", "deploy/split/smtp.rr.yaml", "deploy/split/echo.rr.yaml"]
VERSION = (ROOT / "tools/rr/VERSION").read_text().strip()


def text(name: str) -> str:
    return (ROOT / name).read_text()


def load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(text(name))
    return loaded


def seconds(value: str) -> float:
    assert value.endswith("s")
    return float(value.removesuffix("s"))


def test_a_mail_of_the_largest_size_fits_twice_into_an_event() -> None:
    assert 2 * LARGEST_MESSAGE <= MAX_PAYLOAD


def test_the_image_has_the_version_of_the_own_build() -> None:
    assert re.findall(r"roadrunner-server/roadrunner:(\S+)", text("Dockerfile")) == [VERSION]


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_each_step_of_the_grace_chain_outlasts_the_one_inside_it(name: str) -> None:
    config = load(name)
    pool = config["tcp"]["pool"]
    exec_ttl = seconds(pool["supervisor"]["exec_ttl"])
    grace = seconds(config["endure"]["grace_period"])
    assert exec_ttl < seconds(pool["destroy_timeout"]) <= grace
    assert grace < seconds(load("docker-compose.yml")["services"]["stack"]["stop_grace_period"])
    assert grace < STOP_TIMEOUT


@pytest.mark.parametrize("name", CONFIGURATIONS[1:])
def test_split_deployments_differ_from_the_shared_pool_in_nothing_but_their_service(name: str) -> None:
    whole, part = load(".rr.yaml"), load(name)
    for section in ("version", "kv", "logs", "endure"):
        assert part[section] == whole[section]
    assert part["service"].keys() == whole["service"].keys()
    assert part["service"]["watchdog"] == whole["service"]["watchdog"]
    assert part["tcp"]["pool"] == whole["tcp"]["pool"]
    [(server, listener)] = part["tcp"]["servers"].items()
    assert listener == whole["tcp"]["servers"][server]
    assert part["server"]["command"][-1] == f"workers.{server}:build_app"


def test_the_docs_have_the_users_of_redis_as_they_are_tested() -> None:
    page = text("docs/howto/stores.md")
    for path in sorted((ROOT / "deploy/redis").glob("*.acl")):
        assert path.read_text().strip() in page, path


def test_make_run_knows_every_listener_and_its_default_port() -> None:
    servers = load(".rr.yaml")["tcp"]["servers"]
    assert [listener.name for listener in listeners()] == list(servers)
    for listener in listeners():
        assert servers[listener.name]["addr"].endswith(f":${{{listener.setting}:-{defaults()[listener.setting]}}}")


def open_listeners() -> list[Listener]:
    """Those that clients reach without the edge."""
    return [listener for listener in listeners() if listener.name not in BEHIND_EDGE]


def test_compose_publishes_every_listener_but_the_edges_on_its_default_port() -> None:
    published = [
        port.partition(":-127.0.0.1}:")[2] for port in load("docker-compose.yml")["services"]["stack"]["ports"]
    ]
    ports = {listener.setting: defaults()[listener.setting] for listener in open_listeners()}
    assert published == [f"${{{setting}:-{port}}}:{port}" for setting, port in ports.items()]


def services_settings() -> list[Any]:
    """The settings of every service that has a listener: `MyChatSettings` of the package `services.my_chat`."""
    names = [listener.name for listener in open_listeners()]
    return [
        getattr(importlib.import_module(f"services.{name}"), "".join(map(str.capitalize, name.split("_"))) + "Settings")
        for name in names
    ]


def test_the_example_settings_are_the_defaults() -> None:
    example = dict(re.findall(r"^#([A-Z0-9_]+)=(.*)$", text(".env.example"), re.MULTILINE))
    assert defaults().items() <= example.items()
    for settings in (Settings, QueueSettings, *services_settings()):
        assert settings.from_env(example) == settings.from_env({})


def edges_defaults() -> dict[str, str]:
    """The values that the edge's configuration has for variables that are not set."""
    return dict(re.findall(r"^    presetenv (\w+) (\S+)$", text("deploy/edge/haproxy.cfg"), re.MULTILINE))


def test_the_edge_leads_to_the_listeners_behind_it() -> None:
    behind = [listener for listener in listeners() if listener.name in BEHIND_EDGE]
    assert {listener.name for listener in behind} == BEHIND_EDGE
    for listener in behind:
        assert edges_defaults()[listener.setting] == defaults()[listener.setting]
    compose = load("docker-compose.yml")["services"]
    name = edges_defaults()["EDGE_REPLICAS"]
    assert compose["stack"]["networks"]["edge"]["aliases"] == [name]
    assert compose["stack"]["environment"]["EDGE_NETWORKS"] == f"${{EDGE_NETWORKS:-{name}}}"


def test_the_edge_asks_each_service_as_often_as_the_docs_say() -> None:
    """The echo less often, as RoadRunner keeps its end of such a connection for a while."""
    checks = re.findall(
        r"^backend (\w+)(?:\n.+)*?\n    default-server check inter (\d+)s",
        text("deploy/edge/haproxy.cfg"),
        re.MULTILINE,
    )
    assert checks == [("smtps", "2"), ("echos", "10")]
    assert "220 and 221 of SMTP every two seconds, the echo's line every ten" in text("docs/howto/edge.md")


def test_compose_hands_on_every_limit_of_the_edge_whose_default_the_example_shows() -> None:
    example = dict(re.findall(r"^#(EDGE_\w+)=(.*)$", text(".env.example"), re.MULTILINE))
    edge = load("docker-compose.yml")["services"]["edge"]
    for setting in edge["environment"]:
        assert edges_defaults()[setting] == example[setting]
    published = {"EDGE_SMTPS_PORT", "EDGE_ECHOS_PORT"}
    elsewhere = {"EDGE_NETWORKS", "EDGE_CERTIFICATES"}
    assert set(edge["environment"]) == example.keys() - published - elsewhere
    ports = {setting: edges_defaults()[setting] for setting in sorted(published, reverse=True)}
    assert [port.partition(":-127.0.0.1}:")[2] for port in edge["ports"]] == [
        f"${{{setting}:-{example[setting]}}}:{port}" for setting, port in ports.items()
    ]


def test_a_consumer_of_mails_has_the_time_to_end_in_order() -> None:
    services = load("docker-compose.yml")["services"]
    for name in COMMANDS:
        assert seconds(services[name]["stop_grace_period"]) > GRACE


def test_compose_hands_on_every_setting_of_the_consumers() -> None:
    """Each has those of its own, and those that all have."""
    example = re.findall(r"^#((?:RELAY|WEBHOOK|DELIVERY)_[A-Z_]+)=", text(".env.example"), re.MULTILINE)
    services = load("docker-compose.yml")["services"]
    for name in COMMANDS:
        assert services[name]["command"][-1] == name
        assert services[name]["profiles"] == [name]
        assert services[name]["environment"]["MAIL_STORE"] == services["stack"]["environment"]["MAIL_STORE"]
        its = {setting for setting in example if setting.startswith((name.upper(), "DELIVERY"))}
        assert its | {"MAIL_STORE", "LOG_LEVEL", "LOG_FORMAT", "SMTP_HOSTNAME"} == set(services[name]["environment"])


def test_every_setting_that_the_code_reads_is_in_the_example() -> None:
    """RoadRunner's own variables and what only a Dockerfile or script sets are not for users."""
    read = set()
    for path in [*ROOT.glob("services/**/*.py"), *ROOT.glob("workers/*.py"), *ROOT.glob("rr_tcp/cli/*.py")]:
        read |= set(
            re.findall(r'(?:env\.get|environ\.get|positive|_optional)\((?:env, )?"([A-Z0-9_]+)"', path.read_text())
        )
    example = set(re.findall(r"^#([A-Z0-9_]+)=", text(".env.example"), re.MULTILINE))
    assert read
    assert read <= example


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock", "requirements-otel.lock"])
def test_locks_pin_by_hash_and_name_no_address(name: str) -> None:
    lock = text(name)
    assert "://" not in lock
    pinned = re.findall(r"^([a-z0-9-]+)(?:\[[a-z]+\])?==\S+", lock, re.MULTILINE)
    assert len(pinned) > 5
    assert lock.count("--hash=sha256:") >= len(pinned)


def test_what_is_developed_with_is_what_runs() -> None:
    def versions(name: str) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9-]+)(?:\[[a-z]+\])?==(\S+)", text(name), re.MULTILINE))

    assert versions("requirements.lock").items() <= versions("requirements-dev.lock").items()
    assert versions("requirements.lock").items() <= versions("requirements-otel.lock").items()
    assert versions("requirements-otel.lock").items() <= versions("requirements-dev.lock").items()


def test_the_packages_version_has_one_value() -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    assert f'__version__ = "{project["version"]}"' in text("rr_tcp/__init__.py")


def test_end_to_end_tests_import_nothing_of_ours() -> None:
    for path in ROOT.glob("tests/e2e/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not {name.partition(".")[0] for name in names} & {"rr_tcp", "services", "workers", "scripts"}, path
