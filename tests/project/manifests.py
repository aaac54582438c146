"""What must hold for every object of deploy/kubernetes; each check names what does not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import kubernetes_validate

from scripts.run_stack import BEHIND_EDGE
from tests.support.kustomize import Object

KUBERNETES: Final = "1.33.0"
"""The API whose schemas the manifests are held to."""


UNPROBED: Final = BEHIND_EDGE | {"metrics"}
"""Ports where nothing is probed: that of the metrics is no listener of ours, and those behind the edge close whoever is
not the edge, and are served by the workers that the others show to be there."""


def problems(objects: Sequence[Object], settings: frozenset[str], ports: Mapping[str, int]) -> list[str]:
    """All that is wrong, in words.

    Args:
        objects: of one overlay.
        settings: names of the settings that there are.
        ports: of the listeners and of the metrics, by their names.
    """
    found = list(_unknown_to_the_api(objects))
    for workload in _of(objects, "Deployment"):
        pod = workload["spec"]["template"]["spec"]
        found += [*_soft_pods(pod), *_loose_selectors(workload), *_wrong_ports(pod, ports)]
        for container in pod["containers"]:
            found += [
                *_soft_containers(container),
                *_unpinned(container),
                *_unknown_settings(container, objects, settings),
            ]
    found += [*_unselected(objects), *_unknown_ports(objects), *_secrets(objects), *_open_to_all(objects)]
    return found


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


def _soft_containers(container: Mapping[str, Any]) -> Iterator[str]:
    hard = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    if container.get("securityContext") != hard:
        yield f"container {container['name']} is not locked up"
    if not {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys():
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


def _wrong_ports(pod: Mapping[str, Any], ports: Mapping[str, int]) -> Iterator[str]:
    named = {port["name"]: port["containerPort"] for container in pod["containers"] for port in container["ports"]}
    if named != ports:
        yield f"the pod's ports are {named}, those of .rr.yaml are {dict(ports)}"
    listeners = {port for name, port in named.items() if name not in UNPROBED}
    for container in pod["containers"]:
        for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
            asked = set(map(int, re.findall(r"127\.0\.0\.1:(\d+)", str(container.get(probe)))))
            if asked != listeners:
                yield f"{probe} asks {asked}, not the listeners that answer everybody"


def _unknown_settings(
    container: Mapping[str, Any], objects: Sequence[Object], settings: frozenset[str]
) -> Iterator[str]:
    maps = {each["metadata"]["name"]: each["data"] for each in _of(objects, "ConfigMap")}
    names = [each["name"] for each in container.get("env", ())]
    for source in container.get("envFrom", ()):
        if (name := source["configMapRef"]["name"]) not in maps:
            yield f"there is no ConfigMap {name}"
        names += maps.get(name, ())
    if unknown := sorted(set(names) - settings):
        yield f"no settings: {', '.join(unknown)}"
    if missing := {"SESSION_STORE", "MAIL_STORE"} - set(names):
        yield f"not set: {', '.join(sorted(missing))}"


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
        for port in container["ports"]
    }
    for each in _of(objects, "Service"):
        yield from (
            f"{_name(each)} leads to no port {port['targetPort']}"
            for port in each["spec"]["ports"]
            if port["targetPort"] not in named
        )
    for each in _of(objects, "NetworkPolicy"):
        opened = [port["port"] for rule in each["spec"].get("ingress", ()) for port in rule["ports"]]
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
        peers = [peer for rule in rules for peer in rule.get("from", rule.get("to", [{}]))]
        if any(not peer or peer.get("ipBlock", {}).get("cidr") in {"0.0.0.0/0", "::/0"} for peer in peers) or any(
            peer.get(selector) == {} for peer in peers for selector in ("podSelector", "namespaceSelector")
        ):
            yield f"{_name(each)} lets everybody in, or out to anywhere"
