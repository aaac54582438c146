"""deploy/kubernetes is rendered as `kubectl apply -k` does it: valid, locked up, and of one mind with other files."""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import yaml

from scripts.run_stack import BEHIND_EDGE, defaults, listeners
from tests.project.manifests import Known, problems, settings_of
from tests.support.kustomize import ROOT, Object, render

OVERLAYS = sorted(path.name for path in (ROOT / "deploy/kubernetes/overlays").iterdir())
SETTINGS = frozenset(re.findall(r"^#?([A-Z][A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
LISTENERS = {listener.name: int(defaults()[listener.setting]) for listener in listeners()}
PORTS = LISTENERS | {"metrics": int(defaults()["METRICS_PORT"])}
HEALTHCHECK = (ROOT / "Dockerfile").read_text().partition("\nHEALTHCHECK ")[2].partition("\nCMD ")[0]
DEPLOYED = frozenset({"smtp", "echo", "metrics"}) | BEHIND_EDGE
PROBED = frozenset(int(defaults()[name]) for name in re.findall(r"\$(\w+_PORT)", HEALTHCHECK))
KNOWN = Known(SETTINGS, PORTS, DEPLOYED, PROBED)

rendered = cache(lambda overlay: render(ROOT / "deploy/kubernetes/overlays" / overlay))


def the(objects: list[Object], kind: str, name: str = "stack") -> Any:
    [found] = [each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def pod(objects: list[Object]) -> Any:
    return the(objects, "Deployment")["spec"]["template"]["spec"]


def container(objects: list[Object]) -> Any:
    [found] = pod(objects)["containers"]
    return found


def env(objects: list[Object], name: str) -> Any:
    [found] = [each for each in container(objects)["env"] if each["name"] == name]
    return found


def rule(objects: list[Object], port: str) -> Any:
    """What lets somebody in to a port."""
    rules = the(objects, "NetworkPolicy")["spec"]["ingress"]
    [found] = [each for each in rules if {"port": port} in each["ports"]]
    return found


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_is_wrong(overlay: str) -> None:
    assert not problems(rendered(overlay), KNOWN)


# What somebody may do to production, and what is said of it.
BREAKS: list[tuple[Callable[[list[Object]], Any], str]] = [
    (lambda o: container(o)["ports"][0].update(containerPorts=1025), "Deployment stack: "),
    (lambda o: the(o, "Deployment")["spec"].update(replicas="two"), "Deployment stack: "),
    (lambda o: the(o, "HorizontalPodAutoscaler")["spec"].pop("maxReplicas"), "HorizontalPodAutoscaler stack: "),
    (lambda o: pod(o)["securityContext"].update(runAsNonRoot=False), "may run as root"),
    (lambda o: pod(o)["securityContext"].pop("seccompProfile"), "no seccomp profile"),
    (lambda o: pod(o).pop("automountServiceAccountToken"), "token of the API server"),
    (lambda o: pod(o).pop("enableServiceLinks"), "variables for Services"),
    (lambda o: pod(o).update(hostNetwork=True), "let into its host"),
    (lambda o: pod(o)["volumes"][0]["emptyDir"].pop("sizeLimit"), "directory without a limit"),
    (lambda o: container(o)["securityContext"].update(readOnlyRootFilesystem=False), "not locked up"),
    (lambda o: container(o)["securityContext"].update(capabilities={"add": ["NET_ADMIN"]}), "not locked up"),
    (lambda o: container(o).pop("livenessProbe"), "lacks a probe"),
    (lambda o: container(o)["resources"].pop("limits"), "no bounds"),
    (lambda o: container(o).update(image="rr-tcp"), "image without a version"),
    (lambda o: container(o).update(image="rr-tcp:latest"), "image without a version"),
    (lambda o: container(o)["ports"][0].update(containerPort=25), "ports of stack are {'smtp': 25"),
    (lambda o: container(o).update(readinessProbe=container(o)["livenessProbe"] | {"exec": {}}), "readinessProbe asks"),
    (lambda o: container(o)["env"].append({"name": "SMTP_MAXSIZE", "value": "1"}), "no settings: SMTP_MAXSIZE"),
    (lambda o: container(o)["env"].remove(env(o, "SESSION_STORE")), "not set: SESSION_STORE"),
    (lambda o: the(o, "Deployment")["spec"]["selector"].update(matchLabels={"a": "b"}), "select its own pods"),
    (lambda o: the(o, "Service", "smtp")["spec"]["selector"].update(a="b"), "Service smtp selects no pod"),
    (lambda o: the(o, "PodDisruptionBudget")["spec"]["selector"].update(matchLabels={"a": "b"}), "selects no pod"),
    (lambda o: the(o, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"].update(name="x"), "scales nothing"),
    (lambda o: the(o, "Service", "smtp")["spec"]["ports"][0].update(targetPort="smpt"), "leads to no port"),
    (lambda o: rule(o, "smtp")["ports"].append({"port": "x"}), "opens no port"),
    (lambda o: rule(o, "smtp").pop("from"), "lets everybody in"),
    (lambda o: o.remove(the(o, "NetworkPolicy", "default-deny")), "nothing is denied"),
    (lambda o: container(o)["ports"].pop(2), "those of .rr.yaml are"),
    (lambda o: o.remove(the(o, "Service", "behind-edge")), "no Service leads to echos, smtps"),
    (lambda o: the(o, "Service", "smtp")["spec"]["ports"][0].update(targetPort="smtps"), "no Service leads to smtp"),
    (lambda o: the(o, "Service", "behind-edge")["spec"]["ports"][0].update(targetPort="smtp"), "and for others"),
    (lambda o: the(o, "Service", "behind-edge")["spec"].pop("loadBalancerSourceRanges"), "leads everybody to the edge"),
    (lambda o: rule(o, "smtp")["ports"].append({"port": "smtps"}), "others than the edge get to its ports"),
    (lambda o: rule(o, "smtp")["ports"].append({"port": 18890}), "others than the edge get to its ports"),
    (lambda o: rule(o, "metrics").pop("ports"), "others than the edge get to its ports"),
    (lambda o: rule(o, "smtps")["from"].append({"podSelector": {"matchLabels": {"a": "b"}}}), "others than the edge"),
    (lambda o: rule(o, "smtps")["ports"].append({"port": "echo"}), "the edge gets to other ports than its own"),
    (lambda o: rule(o, "smtps")["ports"].pop(0), "the edge does not get to smtps"),
    (lambda o: container(o)["env"].remove(env(o, "EDGE_NETWORKS")), "not set: EDGE_NETWORKS"),
    (lambda o: env(o, "EDGE_NETWORKS").update(value=""), "EDGE_NETWORKS: "),
    (lambda o: env(o, "EDGE_NETWORKS").update(value="192.0.2.0/24,0.0.0.0/0"), "believes everybody"),
    (lambda o: env(o, "EDGE_NETWORKS").update(value="192.0.2.0/24,::/0"), "believes everybody"),
    (lambda o: env(o, "EDGE_NETWORKS").update(value="10.0.0.0/8"), "the edge at 192.0.2.0/24 may connect and is not"),
    (lambda o: container(o)["env"].append({"name": "SMTP_AUTH_LISTENERS", "value": "smtp"}), "without TLS"),
    (lambda o: container(o)["env"].append({"name": "SMTP_AUTH_LISTENERS", "value": "smtps"}), "there are no users"),
    (lambda o: o.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "stores"}}), "has a secret"),
    (lambda o: container(o)["env"].append({"name": "RELAY_URL", "value": "smtp://a:b@c"}), "has a secret"),
]


@pytest.mark.parametrize(("harm", "said"), BREAKS, ids=[str(number) for number, _ in enumerate(BREAKS)])
def test_what_is_broken_is_found(harm: Callable[[list[Object]], Any], said: str) -> None:
    objects = copy.deepcopy(rendered("production"))
    harm(objects)
    assert said in "; ".join(problems(objects, KNOWN))


def test_production_lets_in_what_the_base_does_and_the_edges_addresses() -> None:
    """Its patch replaces the list as a whole."""
    strict, wider = (the(rendered(overlay), "NetworkPolicy")["spec"]["ingress"] for overlay in OVERLAYS)
    assert [rule["ports"] for rule in strict] == [rule["ports"] for rule in wider]
    added = [
        peer for one, other in zip(strict, wider, strict=True) for peer in other["from"] if peer not in one["from"]
    ]
    assert [list(peer) for peer in added] == [["ipBlock"]]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_grace_chain_goes_on(overlay: str) -> None:
    """What preStop takes counts; then RoadRunner has its own time, and some is left."""
    config = yaml.safe_load((ROOT / ".rr.yaml").read_text())
    command = container(rendered(overlay))["lifecycle"]["preStop"]["exec"]["command"]
    assert command[0] == "sleep"
    before = int(command[1])
    grace = int(config["endure"]["grace_period"].removesuffix("s"))
    assert before + grace < pod(rendered(overlay))["terminationGracePeriodSeconds"]


def test_the_pod_is_the_images_user_with_what_compose_gives() -> None:
    assert f"USER {pod(rendered('production'))['securityContext']['runAsUser']}:" in (ROOT / "Dockerfile").read_text()
    limits = container(rendered("production"))["resources"]["limits"]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["stack"]
    assert limits["memory"].removesuffix("i").lower() == compose["mem_limit"]


def test_the_image_is_named_in_one_place_of_an_overlay() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert container(rendered("production"))["image"] == f"registry.example.com/rr-tcp:{version}"
    files = [
        path for path in (ROOT / "deploy/kubernetes").rglob("*.yaml") if "registry.example.com" in path.read_text()
    ]
    assert [path.relative_to(ROOT / "deploy/kubernetes/overlays").as_posix() for path in files] == [
        "production/kustomization.yaml"
    ]


def test_production_keeps_the_edges_address_and_a_pod_of_two() -> None:
    """The PROXY protocol goes by the address that connects. Nothing else is to be reached from outside the cluster."""
    services = {each["metadata"]["name"]: each["spec"] for each in rendered("production") if each["kind"] == "Service"}
    assert [name for name, spec in services.items() if spec["type"] != "ClusterIP"] == ["behind-edge"]
    service = services["behind-edge"]
    assert (service["type"], service["externalTrafficPolicy"]) == ("LoadBalancer", "Local")
    assert the(rendered("production"), "HorizontalPodAutoscaler")["spec"]["minReplicas"] > 1
    assert the(rendered("production"), "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    sources = service["loadBalancerSourceRanges"]
    policy = the(rendered("production"), "NetworkPolicy")["spec"]["ingress"]
    assert [peer["ipBlock"]["cidr"] for rule in policy for peer in rule["from"] if "ipBlock" in peer] == sources
    assert env(rendered("production"), "EDGE_NETWORKS")["value"].split(",") == sources


def test_the_edge_reaches_the_listeners_that_read_the_proxy_protocols_line() -> None:
    """The others would take that line for a command, and the edge's address for that of every client."""
    service = the(rendered("production"), "Service", "behind-edge")["spec"]
    assert {port["name"]: port["port"] for port in service["ports"]} == {name: PORTS[name] for name in BEHIND_EDGE}
    assert {port["port"] for port in rule(rendered("production"), "smtps")["ports"]} == BEHIND_EDGE


def test_the_stores_urls_are_secrets_in_production_only() -> None:
    production = {
        each["name"]: each["valueFrom"]["secretKeyRef"]["key"]
        for each in container(rendered("production"))["env"]
        if "valueFrom" in each
    }
    assert production == {"SESSION_STORE": "session-store", "MAIL_STORE": "mail-store"}
    assert "secretKeyRef" not in str(rendered("development"))


def test_the_embedded_store_has_shared_memory() -> None:
    mounts = {mount["mountPath"]: mount["name"] for mount in container(rendered("development"))["volumeMounts"]}
    volumes = {volume["name"]: volume["emptyDir"] for volume in pod(rendered("development"))["volumes"]}
    assert volumes[mounts["/dev/shm"]]["medium"] == "Memory"  # noqa: S108 - a path in a container
    assert the(rendered("development"), "Deployment")["spec"]["replicas"] == 1


def test_who_the_edge_is_says_an_overlay_and_nobody_is_without() -> None:
    base = render(ROOT / "deploy/kubernetes/base")
    assert "EDGE_NETWORKS" not in settings_of(container(base), base)
    assert "not set: EDGE_NETWORKS" in problems(base, KNOWN)


def test_an_edge_in_the_cluster_finds_the_pods_by_the_name_that_it_is_configured_for() -> None:
    """HAProxy shares connections among the addresses of a name, which a Service with an address of its own hides."""
    base = render(ROOT / "deploy/kubernetes/base")
    configuration = (ROOT / "deploy/edge/haproxy.cfg").read_text()
    [name] = re.findall(r"presetenv EDGE_REPLICAS (\S+)", configuration)
    service = the(base, "Service", name)["spec"]
    assert service["clusterIP"] == "None"
    expected = {int(port) for port in re.findall(r"presetenv (?:SMTPS|ECHOS)_PORT (\d+)", configuration)}
    assert {port["port"] for port in service["ports"]} == expected
