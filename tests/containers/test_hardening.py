"""What docker-compose.yml says of the containers holds in those that run: each service is asked, whatever it is."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.containers.project import Project, docker, inspect

RPC_PORT = 6001


def each_service(project: Project) -> list[str]:
    """The services that run; one that did its work and ended is not among them."""
    return project.compose("ps", "--services", "--status", "running").split()


def processes(project: Project, service: str) -> list[dict[str, str]]:
    """The status of every process in a service's container, the one that looks included."""
    done = project.exec(service, "sh", "-c", "cat /proc/[0-9]*/status")
    found = [dict(re.findall(r"^(\w+):\t(.*)$", part, re.MULTILINE)) for part in done.stdout.split("Name:")[1:]]
    assert found, done.stderr
    return found


def test_every_service_of_the_file_runs(everything: Project) -> None:
    """Or it has done what it is for: none is left out of the tests below because it is down."""
    ended = [
        name
        for name in everything.compose("ps", "--all", "--services").split()
        if name not in each_service(everything) and everything.configuration()[name].get("restart") != "no"
    ]
    assert ended == []
    assert set(everything.compose("ps", "--all", "--services").split()) == set(everything.configuration())


def test_no_process_has_a_capability_or_may_gain_one(everything: Project) -> None:
    for service in each_service(everything):
        for process in processes(everything, service):
            held = {name: process[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
            assert {int(value, 16) for value in held.values()} == {0}, (service, held)
            assert process["NoNewPrivs"] == "1", service
            assert process["Seccomp"] == "2", service  # Docker's filter of system calls


def test_no_process_is_root_and_those_of_our_image_have_its_user(everything: Project) -> None:
    configuration = everything.configuration()
    for service in each_service(everything):
        users = {user for process in processes(everything, service) for user in process["Uid"].split()}
        assert "0" not in users, service
        if "build" in configuration[service]:
            assert users == {"10001"}, service


def test_nothing_can_be_written_into_the_root_by_root_either(everything: Project) -> None:
    for service in each_service(everything):
        [options] = re.findall(
            r"^\S+ / \S+ (\S+)", everything.exec(service, "cat", "/proc/mounts").stdout, re.MULTILINE
        )
        assert "ro" in options.split(","), service
        done = everything.exec(service, "sh", "-c", "echo > /proof", user="0")
        assert done.returncode != 0, service
        assert "read-only file system" in done.stderr.lower(), (service, done.stderr)


def test_memory_and_processes_are_bounded_and_nothing_is_privileged(everything: Project) -> None:
    for service in each_service(everything):
        host = inspect(everything.container(service))["HostConfig"]
        assert 0 < host["Memory"] <= 2 << 30, service
        assert 0 < host["PidsLimit"] <= 256, service
        assert not host["Privileged"], service
        assert not host["CapAdd"], service
        assert host["PidMode"] == host["UTSMode"] == host["UsernsMode"] == "", service
        assert host["IpcMode"] == "private", service
        assert not [mount for mount in host["Binds"] or [] if "docker.sock" in mount], service


def test_ports_are_published_on_the_loopback_alone(everything: Project) -> None:
    published = []
    for service in each_service(everything):
        ports = inspect(everything.container(service))["NetworkSettings"]["Ports"]
        published += [binding["HostIp"] for bindings in ports.values() for binding in bindings or []]
    assert published
    assert set(published) == {"127.0.0.1"}


def test_every_service_that_stays_has_a_healthcheck_and_passes_it(everything: Project) -> None:
    for service in each_service(everything):
        state = inspect(everything.container(service))["State"]
        assert state.get("Health", {}).get("Status") == "healthy", service


def test_the_stores_reach_no_network_but_that_of_their_users(everything: Project) -> None:
    """A Redis has no way out, and is not published."""
    for service in ("redis", "mail-redis"):
        settings = inspect(everything.container(service))["NetworkSettings"]
        assert not [bindings for bindings in settings["Ports"].values() if bindings], service
        for network in settings["Networks"]:
            assert inspect(network)["Internal"], (service, network)


@pytest.fixture
def neighbour(everything: Project) -> list[str]:
    """How to run Python in a further container on every network that the stack is in."""
    settings = inspect(everything.container("stack"))
    network = everything.name + "_published"
    assert network in settings["NetworkSettings"]["Networks"]
    return ["run", "--rm", "--network", network, "--entrypoint", "python", settings["Config"]["Image"], "-c"]


def test_another_container_reaches_the_services_but_not_the_rpc_server(
    everything: Project, neighbour: list[str]
) -> None:
    """Whoever reaches RoadRunner's RPC server controls it."""
    settings = inspect(everything.container("stack"))["NetworkSettings"]["Networks"]
    addresses = [network["IPAddress"] for network in settings.values()]
    program = (
        "import socket, sys\n"
        "for address in sys.argv[2:]:\n"
        "    with socket.socket() as client:\n"
        "        client.settimeout(5)\n"
        "        print(client.connect_ex((address, int(sys.argv[1]))))\n"
    )
    own = everything.name + "_published"
    reachable = settings[own]["IPAddress"]
    assert docker(*neighbour, program, "1025", reachable).stdout.split() == ["0"]
    refused = docker(*neighbour, program, str(RPC_PORT), reachable, "stack").stdout.split()
    assert refused == ["111", "111"]  # ECONNREFUSED: nothing listens there
    listening = everything.exec("stack", "cat", "/proc/net/tcp", "/proc/net/tcp6").stdout
    assert addresses
    assert rpc_listeners(listening) == {"0100007F"}


def rpc_listeners(table: str) -> set[str]:
    """The addresses, as /proc/net/tcp writes them, on which something listens on the RPC server's port."""
    return set(re.findall(rf"^ *\d+: ([0-9A-F]+):{RPC_PORT:04X} \S+ 0A ", table, re.MULTILINE))


def test_the_image_of_the_stack_has_a_user_of_its_own_and_no_shell_for_it(everything: Project) -> None:
    image = inspect(everything.container("stack"))["Image"]
    assert inspect(image)["Config"]["User"] == "10001:10001"
    entry = subprocess.run(
        ["docker", "run", "--rm", "--network", "none", image, "grep", ":10001:", "/etc/passwd"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert entry.strip().endswith(":/nonexistent:/usr/sbin/nologin")
