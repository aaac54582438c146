"""Both Redis servers of docker-compose.yml have users with passwords that nobody is told."""

from __future__ import annotations

import json

import pytest

from tests.containers.project import Project, inspect

SERVERS = {"redis": ("sessions", "redis-users"), "mail-redis": ("mail", "mail-redis-users")}
"""Its user, and where its clients find the password of it."""


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def asked(project: Project, server: str, *command: str) -> str:
    return project.exec(server, "redis-cli", *command).stdout


def test_nobody_does_anything_without_a_password(everything: Project, server: str) -> None:
    for identity in ((), ("--user", "default", "--pass", ""), ("--user", SERVERS[server][0], "--pass", "guessed")):
        assert "NOAUTH" in asked(everything, server, *identity, "PING"), identity
    health = ("--user", "health", "--pass", "any")
    assert "PONG" in asked(everything, server, *health, "PING")
    assert "NOPERM" in asked(everything, server, *health, "DBSIZE")


def test_a_client_has_its_users_password_and_not_the_administrators(everything: Project, server: str) -> None:
    user, directory = SERVERS[server]
    assert len(everything.exec("stack", "cat", f"/run/{directory}/{user}").stdout.strip()) == 64
    assert "Permission denied" in everything.exec("stack", "cat", f"/run/{directory}/admin").stderr
    assert "ead-only file system" in everything.exec("stack", "touch", f"/run/{directory}/new").stderr


def test_no_password_is_in_what_docker_tells(everything: Project, server: str) -> None:
    """Neither in an environment or a command line, nor in a log."""
    passwords = [
        everything.exec(server, "cat", f"/run/redis-users/{name}").stdout for name in (SERVERS[server][0], "admin")
    ]
    assert len({*passwords}) == 2
    told = everything.compose("logs", "--no-color") + everything.compose("config")
    told += "".join(json.dumps(inspect(identity)) for identity in everything.compose("ps", "--quiet").split())
    for password in passwords:
        assert len(password.strip()) == 64
        assert password.strip() not in told
