"""The structure users rely on: one-way imports, no oracle in the loop, a light `--help`."""

import ast
import subprocess
import sys

import pytest

from tests.repository import LONGEST, ROOT

LAYERS = ("data", "models", "tasks", "reports", "flows", "bench", "cli")
FILES = [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]
ORACLE = "data.world.oracle"


def imports(path):
    """Modules a file imports anywhere in it, functions included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path):
    layer = path.relative_to(ROOT).parts[0]
    above = LAYERS[LAYERS.index(layer) + 1 :]
    forbidden = {*above, *(["prefect"] if layer in ("data", "models") else [])}
    forbidden |= {"torch", "transformers", "trl", "vllm"} if layer == "data" else set()
    assert not {name for name in imports(path) if name.split(".")[0] in forbidden}


def test_the_files_that_begin_first_are_there():
    assert not [name for name in LONGEST if not (ROOT / "tests" / name).is_file()]


def name_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def test_only_bootstrap_and_evaluate_reach_the_oracle():
    """No chain of imports leads to the oracle but through these two stages and the judge."""
    direct = {name_of(path) for path in FILES if ORACLE in imports(path)}
    assert direct == {"models.world.judges", "models.world.preferences"}
    of_judges = {name_of(path) for path in FILES if "models.world.judges" in imports(path)}
    assert of_judges == {"tasks.evaluate"}
    of_world = {name_of(path) for path in FILES if "models.world.preferences" in imports(path)}
    assert of_world == {"tasks.bootstrap"}


def test_the_loops_stages_do_not_load_the_oracle():
    stages = ("select", "generate", "score", "mine", "relabel", "distill", "optimize", "gate")
    code = "import sys\n" + "".join(f"import tasks.{stage}\n" for stage in stages)
    code += "import models.chat, models.rewards, models.logps\n"
    code += "import models.training.dpo, models.training.reward_training\n"
    code += f"assert {ORACLE!r} not in sys.modules, 'the loop loaded the oracle'"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize(
    "command", [["--help"], ["align", "--help"], ["bench", "--help"], ["status"]]
)
def test_light_commands_load_no_torch_and_no_prefect(command, tmp_path):
    code = (
        "import sys\n"
        "from cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'vllm', 'prefect'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run(
        [sys.executable, "-c", code, *command], check=True, cwd=tmp_path, capture_output=True
    )


def test_no_file_is_longer_than_400_lines():
    assert [str(p) for p in FILES if len(p.read_text().splitlines()) > 400] == []


def test_no_circle_of_imports():
    """Not even within a room, or one that only a function's import or a type check closes."""
    known = {name_of(path).removesuffix(".__init__"): path for path in FILES}
    todo = {name: imports(path) & set(known) - {name} for name, path in known.items()}
    packages = {name for name, path in known.items() if path.name == "__init__.py"}
    todo = {name: found - packages for name, found in todo.items()}
    while free := {name for name, found in todo.items() if not found & set(todo)}:
        todo = {name: found for name, found in todo.items() if name not in free}
    assert not todo, f"among these: {sorted(todo)}"


def test_files_of_tests_have_names_of_their_own():
    """Without packages pytest knows a file by its name alone, and takes two for one."""
    names = [file.name for file in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
