"""The files of contrib/container, held against each other and against the program.

tests/system/test_container.py runs what they say.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from resqued.cli import cli
from resqued.config import loader
from resqued.config.schema import BY_NAME
from resqued.core.durations import seconds
from resqued.web.routes import ROUTES
from tests.support.image import PLACE, ROOT, compose, image, kubernetes, pod

START_TIMEOUT = BY_NAME["reload", "start_timeout"].default


def container() -> dict[str, Any]:
    (found,) = pod()["containers"]
    assert isinstance(found, dict)
    return found


def web() -> dict[str, Any]:
    (found,) = pod("resqued-web")["containers"]
    assert isinstance(found, dict)
    return found


def built() -> loader.Config:
    text = (PLACE / "resqued.toml").read_text("utf-8")
    return loader.build(tomllib.loads(text))


def longest_job() -> float:
    """Return how long a job may continue, with the grace that it has in the end."""
    limits = tomllib.loads((PLACE / "resqued.toml").read_text("utf-8"))["limits"]
    return seconds(limits["runtime"]) + seconds(limits["grace"])


def size(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([KMG])I?", text.upper()).groups()
    return int(number) << {"K": 10, "M": 20, "G": 30}[unit]


def commands() -> list[list[str]]:
    """Every command line that one of the files has run."""
    found = [image().entrypoint + image().command, image().health]
    found.append(image().entrypoint + container()["args"])
    found.append(image().entrypoint + web()["args"])
    found.append(container()["lifecycle"]["preStop"]["exec"]["command"])
    found += [
        container()[probe]["exec"]["command"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe")
    ]
    for path in PLACE.iterdir():
        comments = re.findall(r"^#   (.*)$", path.read_text("utf-8"), re.M)
        for line in comments:
            words = line.split()
            if "resqued" in words:
                found.append(words[words.index("resqued") :])
            elif "myapp" in words and line.startswith("podman run"):
                found.append(["resqued", *(words[words.index("myapp") + 1 :])])
    return found


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_is_one(words: list[str]) -> None:
    assert words[0] == "resqued"
    name, *rest = words[1:] or image().command
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    command.make_context(name, rest)


def test_what_the_image_is_made_of_is_there() -> None:
    text = (PLACE / "Containerfile").read_text("utf-8")
    for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M):
        for source in sources.split():
            assert (ROOT / source).exists(), source
    # All that pyproject.toml names is needed to build the package.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    licenses = [Path(name).parts[0] for name in project["license-files"]]
    for name in (project["readme"], *licenses, "resqued"):
        assert re.search(rf"^COPY .*\b{re.escape(name)}\b", text, re.M), name


def test_the_python_of_the_image_is_one_that_is_supported() -> None:
    found = re.fullmatch(r"python:3\.(\d+)-slim", image().base)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert int(found[1]) >= int(project["requires-python"].removeprefix(">=3."))


def test_the_image_has_the_configuration_at_its_usual_place() -> None:
    copied = dict(image().copied)
    assert copied["contrib/container/resqued.toml"] == str(loader.DEFAULT_PATH)
    assert built().pools


def test_both_have_one_configuration() -> None:
    held = kubernetes()["ConfigMap"]["data"]["resqued.toml"]
    assert held.rstrip() == (PLACE / "resqued.toml").read_text("utf-8").rstrip()
    (mount,) = [m for m in container()["volumeMounts"] if m["name"] == "configuration"]
    assert Path(mount["mountPath"]) == loader.DEFAULT_PATH.parent


def test_whoever_stops_a_container_gives_jobs_the_time_to_end() -> None:
    workers = compose()["services"]["workers"]
    assert workers["stop_signal"] == image().stop_signal == "SIGQUIT"
    assert seconds(workers["stop_grace_period"]) > longest_job()
    assert pod()["terminationGracePeriodSeconds"] > longest_job()
    text = (PLACE / "Containerfile").read_text("utf-8")
    (told,) = re.findall(r"--stop-timeout (\d+)", text)
    assert int(told) > longest_job()


def test_workers_together_stay_below_the_memory_of_the_container() -> None:
    limits = tomllib.loads((PLACE / "resqued.toml").read_text("utf-8"))["limits"]
    workers = sum(pool.workers for pool in built().pools)
    # What is a quarter beyond its limit is killed at once.
    used = workers * size(limits["memory"]) * 1.25
    assert used < size(container()["resources"]["limits"]["memory"])
    assert used < size(compose()["services"]["workers"]["mem_limit"])


def test_probes_give_the_application_the_time_to_start() -> None:
    startup = container()["startupProbe"]
    lasts = startup["periodSeconds"] * startup["failureThreshold"]
    assert lasts > START_TIMEOUT
    period = seconds(image().health_options["start-period"])
    assert period >= START_TIMEOUT


def test_only_the_master_itself_is_a_reason_to_restart() -> None:
    assert "--alive" in container()["livenessProbe"]["exec"]["command"]
    assert container()["readinessProbe"]["exec"]["command"] == image().health


def test_both_run_it_without_rights() -> None:
    user, group = map(int, image().user.split(":"))
    context = pod()["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"]) == (user, group)
    assert context["runAsNonRoot"]
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    workers = compose()["services"]["workers"]
    assert workers["read_only"]
    assert workers["cap_drop"] == ["ALL"]
    # The control socket is there, as the user has no directory of its own.
    assert workers["tmpfs"] == ["/tmp"]
    assert "/tmp" in [m["mountPath"] for m in container()["volumeMounts"]]


def test_all_names_of_a_composition_fit_together() -> None:
    services = compose()["services"]
    for service in services.values():
        assert service.get("depends_on", {}).keys() <= services.keys()
        url = service.get("environment", {}).get("REDIS_URL", "redis://valkey:6379/0")
        assert url == "redis://valkey:6379/0"
    assert services["produce"]["image"] == services["workers"]["image"]
    build = services["workers"]["build"]
    context = (PLACE / build["context"]).resolve()
    assert context == ROOT
    assert (context / build["dockerfile"]).exists()
    assert services["produce"]["entrypoint"] == ["python", "produce.py"]
    assert ("examples/produce.py", "./") in image().copied


def test_all_names_of_the_cluster_fit_together() -> None:
    objects = kubernetes()
    deployment = objects["Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    target = objects["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"]
    mounted = {m["name"] for m in container()["volumeMounts"]}
    assert mounted == {v["name"] for v in pod()["volumes"]}
    (variable,) = container()["env"]
    reference = variable["valueFrom"]["secretKeyRef"]
    assert reference["name"] == objects["Secret"]["metadata"]["name"]
    assert objects["Secret"]["stringData"][reference["key"]].startswith("redis://")
    (volume,) = [v for v in pod()["volumes"] if "configMap" in v]
    assert volume["configMap"]["name"] == objects["ConfigMap"]["metadata"]["name"]


def test_all_names_of_the_web_front_end_fit_together() -> None:
    objects = kubernetes("resqued-web")
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert objects["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert objects["Service"]["spec"]["selector"] == labels
    text = objects["ConfigMap"]["data"]["web.toml"]
    settings = loader.build_web(tomllib.loads(text))
    (port,) = web()["ports"]
    assert settings.listen == f"0.0.0.0:{port['containerPort']}"
    assert settings.hosts == (objects["Service"]["metadata"]["name"],)
    places = {m["name"]: m["mountPath"] for m in web()["volumeMounts"]}
    assert places.keys() == {v["name"] for v in pod("resqued-web")["volumes"]}
    assert f"{places['configuration']}/web.toml" in web()["args"]
    assert settings.users == f"{places['users']}/users"
    assert "users" in objects["Secret"]["stringData"]
    for probe in ("readinessProbe", "livenessProbe"):
        asked = web()[probe]["httpGet"]
        assert asked["path"] in {route.path for route in ROUTES}
        # They need no header: test_behind_proxies.py asks by the address of a pod.
        assert "httpHeaders" not in asked
        # While Redis is away, pages and metrics say so only if they can be reached.
        assert asked["path"] == "/healthz"
    assert web()["securityContext"] == container()["securityContext"]
    assert "'.[web]'" in (PLACE / "Containerfile").read_text("utf-8")


def test_nothing_is_written_twice_under_one_name() -> None:
    class Strict(yaml.SafeLoader):
        """Refuses what YAML would let the last one win of."""

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
        keys = [loader.construct_object(key) for key, _ in node.value]
        assert len(keys) == len(set(keys)), keys
        return {
            loader.construct_object(key): loader.construct_object(value, deep=True)
            for key, value in node.value
        }

    Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    for path in PLACE.glob("*.yaml"):
        assert list(yaml.load_all(path.read_text("utf-8"), Strict))
