"""What must hold for the ports behind the edge in deploy/kubernetes; each check names what does not."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from scripts.run_stack import BEHIND_EDGE
from tests.support.kustomize import Object

EDGE: Final = {"matchLabels": {"rr-tcp/edge": "true"}}
"""The namespaces of an edge inside the cluster."""


def careless(values: Mapping[str, str]) -> Iterator[str]:
    """Passwords pass a listener that is not behind TLS in clear."""
    listeners = {name.strip() for name in values.get("SMTP_AUTH_LISTENERS", "").split(",") if name.strip()}
    if not listeners <= BEHIND_EDGE:
        yield f"clients may authenticate without TLS: SMTP_AUTH_LISTENERS={values['SMTP_AUTH_LISTENERS']}"
    if listeners and not values.keys() & {"SMTP_USERS", "SMTP_AUTHENTICATOR"}:
        yield "clients may authenticate, and there are no users"


def unbelieved(values: Mapping[str, str], objects: Sequence[Object], ports: Mapping[str, int]) -> Iterator[str]:
    """Who tells clients' addresses is the edge, as much of it as may connect, and not everybody."""
    try:
        believed = [ipaddress.ip_network(entry.strip()) for entry in values.get("EDGE_NETWORKS", "").split(",")]
    except ValueError as error:
        yield f"EDGE_NETWORKS: {error}"
        return
    if any(network.prefixlen < network.max_prefixlen // 4 for network in believed):
        yield f"EDGE_NETWORKS={values['EDGE_NETWORKS']} believes everybody"
    for peer in (peer for rule in _rules_of(objects, ports) for peer in rule.get("from") or ()):
        if (cidr := peer.get("ipBlock", {}).get("cidr")) and not any(
            _lies_in(ipaddress.ip_network(cidr), network) for network in believed
        ):
            yield f"the edge at {cidr} may connect and is not believed"


def _lies_in(
    one: ipaddress.IPv4Network | ipaddress.IPv6Network, other: ipaddress.IPv4Network | ipaddress.IPv6Network
) -> bool:
    match one, other:
        case (ipaddress.IPv4Network(), ipaddress.IPv4Network()):
            return one.subnet_of(other)
        case (ipaddress.IPv6Network(), ipaddress.IPv6Network()):
            return one.subnet_of(other)
        case _:
            return False


def _behind(ports: Mapping[str, int]) -> frozenset[str | int]:
    """The edge's ports, by name and by number."""
    return frozenset(BEHIND_EDGE) | {ports[name] for name in BEHIND_EDGE}


def _rules_of(objects: Sequence[Object], ports: Mapping[str, int]) -> list[Mapping[str, Any]]:
    """What lets somebody in to one of the edge's ports; a rule without ports is one for all of them."""
    return [
        rule
        for each in objects
        if each["kind"] == "NetworkPolicy"
        for rule in each["spec"].get("ingress", ())
        if not rule.get("ports") or any(port["port"] in _behind(ports) for port in rule["ports"])
    ]


def others_than_the_edge(objects: Sequence[Object], ports: Mapping[str, int]) -> Iterator[str]:
    """Whoever gets to these ports may be believed, and nobody but the edge gets there."""
    behind = _behind(ports)
    rules = _rules_of(objects, ports)
    for rule in rules:
        if any("ipBlock" not in peer and peer.get("namespaceSelector") != EDGE for peer in rule.get("from") or [{}]):
            yield "others than the edge get to its ports"
        if not rule.get("ports") or any(port["port"] not in behind for port in rule["ports"]):
            yield "the edge gets to other ports than its own"
    if missing := sorted(BEHIND_EDGE - {port["port"] for rule in rules for port in rule.get("ports", ())}):
        yield f"the edge does not get to {', '.join(missing)}"
    for each in (each for each in objects if each["kind"] == "Service"):
        name = each["metadata"]["name"]
        targets = {port["targetPort"] for port in each["spec"]["ports"]}
        if targets & behind and targets - behind:
            yield f"Service {name} is for the edge and for others"
        if (
            targets & behind
            and each["spec"]["type"] != "ClusterIP"
            and not each["spec"].get("loadBalancerSourceRanges")
        ):
            yield f"Service {name} leads everybody to the edge's ports"
