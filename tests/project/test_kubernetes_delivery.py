"""deploy/kubernetes/components: relay and webhook, added to production as their first lines say."""

from __future__ import annotations

import copy
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.project.manifests import problems, settings_of
from tests.project.test_kubernetes import KNOWN, the
from tests.support.kustomize import ROOT, Object, render

KUBERNETES = ROOT / "deploy/kubernetes"
CONSUMERS = sorted(path.name for path in (KUBERNETES / "components").iterdir())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


def added(component: str) -> dict[str, list[Any]]:
    """What the overlay is to get: the indented lines of the component's comment."""
    text = (KUBERNETES / "components" / component / "kustomization.yaml").read_text()
    lists: dict[str, list[Any]] = yaml.safe_load("\n".join(re.findall(r"^#     (.*)", text, re.MULTILINE)))
    return lists


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    copied = tmp_path_factory.mktemp("deploy") / "kubernetes"
    shutil.copytree(KUBERNETES, copied)
    overlay: Path = copied / "overlays/production"
    content = yaml.safe_load((overlay / "kustomization.yaml").read_text())
    for component in CONSUMERS:
        for name, items in added(component).items():
            content.setdefault(name, []).extend(items)
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(content))
    return render(overlay)


def pod(objects: list[Object], name: str) -> Any:
    return the(objects, "Deployment", name)["spec"]["template"]["spec"]


def container(objects: list[Object], name: str) -> Any:
    [found] = pod(objects, name)["containers"]
    return found


def map_of(objects: list[Object], setting: str) -> Object:
    [found] = [each for each in objects if each["kind"] == "ConfigMap" and setting in each["data"]]
    return found


def test_nothing_is_wrong(objects: list[Object]) -> None:
    assert not problems(objects, KNOWN)
    deployments = {each["metadata"]["name"] for each in objects if each["kind"] == "Deployment"}
    assert deployments == {"stack", *CONSUMERS}


BREAKS: list[tuple[Callable[[list[Object]], Any], str]] = [
    (lambda o: pod(o, "relay").update(securityContext={}), "may run as root"),
    (lambda o: pod(o, "relay").pop("automountServiceAccountToken"), "token of the API server"),
    (lambda o: container(o, "webhook").pop("securityContext"), "container webhook is not locked up"),
    (lambda o: container(o, "webhook").pop("readinessProbe"), "container webhook lacks a probe"),
    (lambda o: container(o, "relay")["resources"].pop("limits"), "container relay has no bounds"),
    (lambda o: container(o, "relay").update(image="rr-tcp"), "image without a version"),
    (lambda o: container(o, "relay").update(ports=[{"name": "smtp", "containerPort": 1025}]), "ports of relay are"),
    (lambda o: container(o, "relay")["envFrom"].pop(), "not set: RELAY_URL"),
    (lambda o: container(o, "webhook")["env"].pop(), "not set: WEBHOOK_SECRET_FILE"),
    (
        lambda o: container(o, "webhook")["env"].append({"name": "WEBHOOK_URI", "value": "x"}),
        "no settings: WEBHOOK_URI",
    ),
    (lambda o: the(o, "NetworkPolicy", "relay")["spec"]["podSelector"].update(matchLabels={"a": "b"}), "no pod"),
    (lambda o: the(o, "NetworkPolicy", "relay")["spec"]["egress"][0].pop("to"), "out to anywhere"),
    (lambda o: o.remove(map_of(o, "RELAY_URL")), "there is no ConfigMap relay"),
]


@pytest.mark.parametrize(("harm", "said"), BREAKS, ids=[str(number) for number, _ in enumerate(BREAKS)])
def test_what_is_broken_is_found(harm: Callable[[list[Object]], Any], said: str, objects: list[Object]) -> None:
    harmed = copy.deepcopy(objects)
    harm(harmed)
    assert said in "; ".join(problems(harmed, KNOWN))


@pytest.mark.parametrize("name", CONSUMERS)
def test_a_consumer_runs_as_in_compose(name: str, objects: list[Object]) -> None:
    service, run = COMPOSE[name], container(objects, name)
    assert run["command"] == service["command"]
    assert run["readinessProbe"]["exec"]["command"][-1] == service["healthcheck"]["test"][-1]
    assert run["resources"]["limits"]["memory"].removesuffix("i").lower() == service["mem_limit"]
    assert f"{pod(objects, name)['terminationGracePeriodSeconds']}s" == service["stop_grace_period"]


@pytest.mark.parametrize("name", CONSUMERS)
def test_a_consumer_is_locked_up_as_the_stack_is_and_in_its_namespace_with_its_image(
    name: str, objects: list[Object]
) -> None:
    for key in ("securityContext", "image", "imagePullPolicy"):
        assert container(objects, name)[key] == container(objects, "stack")[key]
    assert pod(objects, name)["securityContext"] == pod(objects, "stack")["securityContext"]
    assert {each["metadata"].get("namespace", "rr-tcp") for each in objects} == {"rr-tcp"}


@pytest.mark.parametrize("name", CONSUMERS)
def test_its_secret_is_a_file_that_its_user_can_read_and_no_setting(name: str, objects: list[Object]) -> None:
    [file] = [value for key, value in settings_of(container(objects, name), objects).items() if key.endswith("_FILE")]
    mounts = {mount["mountPath"]: mount["name"] for mount in container(objects, name)["volumeMounts"]}
    volumes = {volume["name"]: volume.get("secret") for volume in pod(objects, name)["volumes"]}
    secret = volumes[mounts[str(Path(file).parent)]]
    assert (secret["secretName"], secret["defaultMode"]) == (name, 0o440)
    assert Path(file).name in (KUBERNETES / "components" / name / "kustomization.yaml").read_text()


@pytest.mark.parametrize("name", CONSUMERS)
def test_it_gets_to_redis_and_to_whom_it_hands_mail_on_and_nobody_gets_to_it(name: str, objects: list[Object]) -> None:
    labels = the(objects, "Deployment", name)["spec"]["template"]["metadata"]["labels"]
    policies = {
        each["metadata"]["name"]: each["spec"]
        for each in objects
        if each["kind"] == "NetworkPolicy"
        and each["spec"]["podSelector"].get("matchLabels", {}).items() <= labels.items()
    }
    assert policies.keys() == {"default-deny", "stores", name}
    assert not any(spec.get("ingress") for spec in policies.values())
    assert policies[name]["policyTypes"] == ["Egress"]
