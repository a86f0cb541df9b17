"""docs/operate: the work pools of Docker and Kubernetes, as far as files can be checked.

Where prefect-kubernetes and prefect-docker are installed, the workers' own classes read them too.
"""

import asyncio
import inspect
import json
import re
from importlib import import_module

import pytest
import yaml

from tests.repository import ROOT

FOLDER = ROOT / "docs" / "operate"
DEPLOYMENTS = yaml.safe_load((FOLDER / "containers.yaml").read_text())["deployments"]
POOLS = ("docker", "kubernetes")


def template(kind):
    return json.loads((FOLDER / f"{kind}-pool.json").read_text())


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda found: found["name"])
def test_a_deployment_is_a_flow_with_parameters_of_these_names(deployment):
    path, name = deployment["entrypoint"].split(":")
    flow = getattr(import_module(path.removesuffix(".py").replace("/", ".")), name)
    assert set(deployment["parameters"]) <= set(inspect.signature(flow.fn).parameters)


def test_containers_have_the_deployments_of_one_machine():
    here = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert {(d["name"], d["entrypoint"]) for d in here} == {
        (d["name"], d["entrypoint"]) for d in DEPLOYMENTS
    }


@pytest.mark.parametrize("kind", POOLS)
def test_what_a_template_uses_is_what_it_declares(kind):
    found = template(kind)
    used = set(re.findall(r"{{ (\w+) }}", json.dumps(found["job_configuration"])))
    assert used == set(found["variables"]["properties"])
    wanted = set(DEPLOYMENTS[0]["work_pool"]["job_variables"])
    assert wanted <= used


async def _configuration(kind, values):
    module = pytest.importorskip(f"prefect_{kind}.worker", reason=f"prefect-{kind} is optional")
    worker = getattr(module, f"{kind.capitalize()}Worker")
    return await worker.job_configuration.from_template_and_values(template(kind), values)


@pytest.mark.parametrize("kind", POOLS)
def test_the_worker_takes_the_template(kind, prefect):
    made = asyncio.run(_configuration(kind, {"image": "registry.example/tsalign:1"}))
    if kind == "kubernetes":
        pod = made.job_manifest["spec"]["template"]["spec"]
        assert pod["containers"][0]["image"] == "registry.example/tsalign:1"
        assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "tsalign"}
    else:
        assert (made.image, made.volumes) == ("registry.example/tsalign:1", ["tsalign-data:/data"])


def test_the_workers_manifest_names_what_is_there():
    documents = list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text()))
    named = {one["kind"]: one["metadata"]["name"] for one in documents}
    variables = template("kubernetes")["variables"]["properties"]
    assert named["PersistentVolumeClaim"] == variables["claim"]["default"]
    deployment = next(one for one in documents if one["kind"] == "Deployment")
    pod = deployment["spec"]["template"]
    assert deployment["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
    assert pod["spec"]["serviceAccountName"] == named["ServiceAccount"]
    pool = DEPLOYMENTS[0]["work_pool"]["name"]
    assert pool in pod["spec"]["containers"][0]["args"]
