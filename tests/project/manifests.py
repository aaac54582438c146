"""What must hold for every object of deploy/kubernetes; each check names what does not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import kubernetes_validate

from tests.project.edge_manifests import careless, others_than_the_edge, unbelieved
from tests.support.kustomize import Object

KUBERNETES: Final = "1.33.0"
"""The API whose schemas the manifests are held to."""

STACK: Final = "stack"
"""The component that has the listeners; the others hand mails on, and have none."""

NEEDED: Final = {
    STACK: {"SESSION_STORE", "MAIL_STORE", "EDGE_NETWORKS"},
    "relay": {"MAIL_STORE", "RELAY_URL", "RELAY_PASSWORD_FILE"},
    "webhook": {"MAIL_STORE", "WEBHOOK_URL", "WEBHOOK_SECRET_FILE"},
}
"""The settings without which each component does not do what it is for."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the manifests are compared with.

    Attributes:
        settings: names of those that there are.
        ports: of the listeners and of the metrics, by their names.
        deployed: the names of those that the pods have. A service that somebody adds need not be deployed.
        probed: the ports that the image's healthcheck asks.
    """

    settings: frozenset[str]
    ports: Mapping[str, int]
    deployed: frozenset[str]
    probed: frozenset[int]


def problems(objects: Sequence[Object], known: Known) -> list[str]:
    """All that is wrong with the objects of one overlay, in words."""
    found = list(_unknown_to_the_api(objects))
    for workload in _of(objects, "Deployment"):
        pod = workload["spec"]["template"]["spec"]
        component = component_of(workload)
        found += [*_soft_pods(pod), *_loose_selectors(workload), *_wrong_ports(pod, component, known)]
        for container in pod["containers"]:
            values = settings_of(container, objects)
            found += [
                *_soft_containers(container, component),
                *_unpinned(container),
                *_unknown_maps(container, objects),
                *_wrong_settings(values, component, known.settings),
            ]
            if component == STACK:
                found += [*careless(values), *unbelieved(values, objects, known.ports)]
    found += [*_unselected(objects), *_unknown_ports(objects), *_secrets(objects), *_open_to_all(objects)]
    return [*found, *_not_led_to(objects, known), *others_than_the_edge(objects, known.ports)]


def component_of(workload: Object) -> str:
    """By the label of its pods."""
    component: str = workload["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"]
    return component


def settings_of(container: Mapping[str, Any], objects: Sequence[Object]) -> dict[str, str]:
    """The variables of a container; one whose value is in a secret has none here."""
    maps = {each["metadata"]["name"]: each["data"] for each in _of(objects, "ConfigMap")}
    values: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        values |= maps.get(source["configMapRef"]["name"], {})
    return values | {each["name"]: each.get("value", "") for each in container.get("env", ())}


def _of(objects: Sequence[Object], kind: str) -> list[Object]:
    return [each for each in objects if each["kind"] == kind]


def _name(each: Object) -> str:
    return f"{each['kind']} {each['metadata']['name']}"


def _unknown_to_the_api(objects: Sequence[Object]) -> Iterator[str]:
    """Strictly: a field that the schema does not know is one that the cluster would ignore."""
    for each in objects:
        try:
            kubernetes_validate.validate(each, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{_name(each)}: {error.message}"


def _soft_pods(pod: Mapping[str, Any]) -> Iterator[str]:
    context = pod.get("securityContext", {})
    if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
        yield "a pod may run as root"
    if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "a pod has no seccomp profile"
    if pod.get("automountServiceAccountToken") is not False or "serviceAccountName" not in pod:
        yield "a pod has a token of the API server"
    if pod.get("enableServiceLinks") is not False:
        yield "a pod gets variables for Services, SMTP_PORT among them"
    if any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")) or any(
        "hostPath" in volume for volume in pod.get("volumes", ())
    ):
        yield "a pod is let into its host"
    if any("sizeLimit" not in volume["emptyDir"] for volume in pod.get("volumes", ()) if "emptyDir" in volume):
        yield "a pod has a directory without a limit"


def _soft_containers(container: Mapping[str, Any], component: str) -> Iterator[str]:
    hard = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    if container.get("securityContext") != hard:
        yield f"container {container['name']} is not locked up"
    probes = {"readinessProbe"} | ({"startupProbe", "livenessProbe"} if component == STACK else set())
    if not probes <= container.keys():
        yield f"container {container['name']} lacks a probe"
    resources = container.get("resources", {})
    if not {"cpu", "memory"} <= resources.get("requests", {}).keys() or "memory" not in resources.get("limits", {}):
        yield f"container {container['name']} has no bounds"


def _unpinned(container: Mapping[str, Any]) -> Iterator[str]:
    if not re.search(r"(:(?!latest$)[\w.-]+|@sha256:[0-9a-f]{64})$", container["image"]):
        yield f"container {container['name']} has an image without a version, {container['image']}"


def _loose_selectors(workload: Object) -> Iterator[str]:
    labels = workload["spec"]["template"]["metadata"]["labels"].items()
    if not workload["spec"]["selector"]["matchLabels"].items() <= labels:
        yield f"{_name(workload)} does not select its own pods"
    for spread in workload["spec"]["template"]["spec"].get("topologySpreadConstraints", ()):
        if not spread["labelSelector"]["matchLabels"].items() <= labels:
            yield f"{_name(workload)} spreads pods that are not its own"


def _wrong_ports(pod: Mapping[str, Any], component: str, known: Known) -> Iterator[str]:
    named = {
        port["name"]: port["containerPort"] for container in pod["containers"] for port in container.get("ports", ())
    }
    wanted = known.deployed if component == STACK else frozenset[str]()
    if not (wanted <= named.keys() and named.items() <= known.ports.items()) or (named and not wanted):
        yield f"the ports of {component} are {named}, those of .rr.yaml are {dict(known.ports)}"
    if component != STACK:
        return
    for container in pod["containers"]:
        for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
            asked = set(map(int, re.findall(r"127\.0\.0\.1:(\d+)", str(container.get(probe)))))
            if asked != known.probed:
                yield f"{probe} asks {sorted(asked)}, the image's healthcheck {sorted(known.probed)}"


def _unknown_maps(container: Mapping[str, Any], objects: Sequence[Object]) -> Iterator[str]:
    names = {each["metadata"]["name"] for each in _of(objects, "ConfigMap")}
    for source in container.get("envFrom", ()):
        if (name := source["configMapRef"]["name"]) not in names:
            yield f"there is no ConfigMap {name}"


def _wrong_settings(values: Mapping[str, str], component: str, settings: frozenset[str]) -> Iterator[str]:
    if unknown := sorted(values.keys() - settings):
        yield f"no settings: {', '.join(unknown)}"
    if missing := sorted(NEEDED[component] - values.keys()):
        yield f"not set: {', '.join(missing)}"


def _not_led_to(objects: Sequence[Object], known: Known) -> Iterator[str]:
    led = {port["targetPort"] for each in _of(objects, "Service") for port in each["spec"]["ports"]}
    if missing := sorted(known.deployed - led - {"metrics"}):
        yield f"no Service leads to {', '.join(missing)}"


def _unselected(objects: Sequence[Object]) -> Iterator[str]:
    pods = [each["spec"]["template"]["metadata"]["labels"] for each in _of(objects, "Deployment")]
    for each in objects:
        match each:
            case {"kind": "Service", "spec": {"selector": selector}}:
                pass
            case {"kind": "PodDisruptionBudget", "spec": {"selector": {"matchLabels": selector}}}:
                pass
            case {"kind": "NetworkPolicy", "spec": {"podSelector": {"matchLabels": selector}}}:
                pass
            case {"kind": "HorizontalPodAutoscaler", "spec": {"scaleTargetRef": target}}:
                if target["name"] not in {work["metadata"]["name"] for work in _of(objects, target["kind"])}:
                    yield f"{_name(each)} scales nothing"
                continue
            case _:
                continue
        if not any(selector.items() <= labels.items() for labels in pods):
            yield f"{_name(each)} selects no pod"


def _unknown_ports(objects: Sequence[Object]) -> Iterator[str]:
    named = {
        port["name"]
        for each in _of(objects, "Deployment")
        for container in each["spec"]["template"]["spec"]["containers"]
        for port in container.get("ports", ())
    }
    for each in _of(objects, "Service"):
        yield from (
            f"{_name(each)} leads to no port {port['targetPort']}"
            for port in each["spec"]["ports"]
            if port["targetPort"] not in named
        )
    for each in _of(objects, "NetworkPolicy"):
        opened = [port["port"] for rule in each["spec"].get("ingress", ()) for port in rule.get("ports", ())]
        yield from (f"{_name(each)} opens no port {port}" for port in opened if port not in named)


def _secrets(objects: Sequence[Object]) -> Iterator[str]:
    for each in objects:
        if each["kind"] == "Secret" or re.search(r"://[^/\s']*:[^/\s']*@", str(each)):
            yield f"{_name(each)} has a secret in it"


def _open_to_all(objects: Sequence[Object]) -> Iterator[str]:
    closed = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    if not any(each["spec"] == closed for each in _of(objects, "NetworkPolicy")):
        yield "nothing is denied by default"
    for each in _of(objects, "NetworkPolicy"):
        rules = [*each["spec"].get("ingress", ()), *each["spec"].get("egress", ())]
        peers = [peer for rule in rules for peer in rule.get("from") or rule.get("to") or [{}]]
        if any(not peer or peer.get("ipBlock", {}).get("cidr") in {"0.0.0.0/0", "::/0"} for peer in peers) or any(
            peer.get(selector) == {} for peer in peers for selector in ("podSelector", "namespaceSelector")
        ):
            yield f"{_name(each)} lets everybody in, or out to anywhere"
