"""What Prefect's UI shows of this project: the link to a report, the form of a deployment."""

import json
import subprocess
import sys
from urllib.request import Request, urlopen

from tests.repository import ROOT

PUBLISH = """
import sys
from pathlib import Path
from prefect import flow
from data.summary import read_summary
from reports.prefect_ui import publish_report

path = Path(sys.argv[1])

@flow
def align():
    publish_report(read_summary(path.with_name("summary.json")), path)

align()
"""


def test_the_artifact_of_a_run_leads_to_its_report(visit, address, runs, prefect_ui):
    url, environment = prefect_ui
    environment = environment | {"TSALIGN_REPORTS_URL": address}
    report = runs[0] / "plain" / "report.html"
    subprocess.run(
        [sys.executable, "-c", PUBLISH, str(report)], env=environment, check=True, timeout=180
    )
    page = visit(f"{url}/artifacts/key/report")
    page.locator("a[href*='/artifacts/artifact/']").first.click(timeout=60_000)
    link = page.get_by_role("link", name="Open the report of plain")
    link.wait_for(timeout=60_000)
    assert page.get_by_text("tsalign open plain --runs-dir").count() == 1
    link.evaluate("(one) => one.removeAttribute('target')")  # in this tab, which is watched
    link.click()
    page.wait_for_url(f"{address}/plain/report.html")
    assert page.locator("h1").inner_text() == "plain"


def runs_of_flows(url):
    asked = Request(f"{url}/api/flow_runs/filter", b"{}", {"Content-Type": "application/json"})
    with urlopen(asked, timeout=30) as answer:
        return json.load(answer)


def test_a_recipe_file_is_run_by_the_form_of_its_deployment(visit, prefect_ui):
    url, environment = prefect_ui
    commands = (
        ["-c", "from cli.operating.operate import prepare_server; prepare_server()"],
        ["-m", "prefect", "--no-prompt", "deploy", "--all"],
    )
    for command in commands:
        subprocess.run(
            [sys.executable, *command],
            env=environment | {"PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            check=True,
            timeout=240,
            capture_output=True,
        )
    with urlopen(f"{url}/api/deployments/name/align-file/align-file", timeout=30) as answer:
        deployment = json.load(answer)["id"]
    page = visit(f"{url}/deployments/deployment/{deployment}/run")
    field = page.locator("textarea").first
    page.get_by_text("A recipe (YAML), such as recipes/small.yaml.").wait_for(timeout=60_000)
    assert field.input_value() == "recipes/embedded.yaml"
    field.fill("recipes/small.yaml")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url(f"{url}/deployments/deployment/{deployment}**", timeout=60_000)
    page.get_by_text("scheduled").first.wait_for(timeout=60_000)
    (made,) = [run for run in runs_of_flows(url) if run["deployment_id"] == deployment]
    assert made["parameters"]["recipe_file"] == "recipes/small.yaml"
