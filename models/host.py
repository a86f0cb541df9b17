"""This machine in words: what a repeated run's last digits may depend on.

For summaries, and in no key. Found without importing torch: a run that only found what it needed
never loads it. Where this process has loaded it, it is asked.
"""

import os
import platform
import re
import sys
from ctypes import CDLL, byref, c_void_p, create_string_buffer
from functools import cache
from pathlib import Path

from data.recipes.recipe import RuntimeConfig
from models.devices import device
from models.engine_python import environment

# By which a user holds the libraries back from what the processor can do.
LIMITS = (
    "ATEN_CPU_CAPABILITY",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "ONEDNN_MAX_CPU_ISA",
)
# The extensions for which oneDNN, MKL and ATen have kernels of their own (x86 and Arm).
_EXTENSIONS = (
    *("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16"),
    *("asimd", "sve", "sve2", "bf16"),
)


def describe(runtime: RuntimeConfig) -> dict[str, str]:
    """What this machine is and computes with, by name; what is not known is left out.

    cpu: the processor's name. cores: those this process may use. instructions: its extensions that
    have kernels of their own. threads and kernels: as torch has them, where it is loaded.
    kernel_limits: environment variables that hold kernels back, or "none". gpu, driver: where the
    run computes on one. engine_python: versions of what vLLM runs with, where that is not here.
    """
    there = environment(runtime)
    limits = [f"{name}={os.environ[name]}" for name in LIMITS if os.environ.get(name)]
    found = {
        "cpu": cpu_name(),
        "cores": str(cores()),
        "instructions": " ".join(instructions()),
        "kernel_limits": " ".join(limits) or "none",
        **kernels(),
        **(gpu() if device(runtime) == "cuda" else {}),
        "engine_python": f"vllm {there}" if there else "",
    }
    return {name: value for name, value in found.items() if value}


def cores() -> int:
    """Processor cores that this process may use."""
    known = getattr(os, "sched_getaffinity", None)  # of Linux alone
    return len(known(0)) if known else os.cpu_count() or 1


def cpu_name() -> str:
    return next(iter(_cpu_lines("model name")), platform.machine())


def instructions() -> list[str]:
    """The processor's extensions, of those that decide which kernels a library takes."""
    lines = _cpu_lines("flags") or _cpu_lines("Features")
    has = set(lines[0].split()) if lines else set()
    return [name for name in _EXTENSIONS if name in has]


@cache
def _cpu_lines(name: str) -> list[str]:
    """What /proc/cpuinfo says under a name, core by core; empty where there is no such file."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
    pairs = (line.partition(":") for line in lines)
    return [value.strip() for key, _, value in pairs if key.strip() == name]


def kernels() -> dict[str, str]:
    """Threads and kernels that torch computes with; empty where this process has not loaded it.

    ATen's level is the one in use. MKL and oneDNN tell their versions only: they take what the
    processor has, up to `kernel_limits`.
    """
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "get_num_threads"):
        return {}
    built = torch.__config__.show()
    versions = {
        "oneDNN": re.search(r"MKL-DNN v([\d.]+)", built),
        "MKL": re.search(r"Math Kernel Library Version ([\d.]+)", built),
    }
    named = [f"{name} {match[1]}" for name, match in versions.items() if match]
    level = f"ATen {torch.backends.cpu.get_cpu_capability()}"
    return {"threads": str(torch.get_num_threads()), "kernels": ", ".join([level, *named])}


@cache
def gpu() -> dict[str, str]:
    """Name and driver of the first GPU that this process may use, as the driver says."""
    try:
        nvml = CDLL("libnvidia-ml.so.1")
    except OSError:
        return {}
    handle, name, driver = c_void_p(), create_string_buffer(96), create_string_buffer(80)
    if nvml.nvmlInit_v2() != 0:
        return {}
    found = {}
    if not _first(nvml, handle) and not nvml.nvmlDeviceGetName(handle, name, len(name)):
        found["gpu"] = name.value.decode(errors="replace")
    if not nvml.nvmlSystemGetDriverVersion(driver, len(driver)):
        found["driver"] = driver.value.decode(errors="replace")
    return found


def _first(nvml: CDLL, handle: c_void_p) -> int:
    """NVML's status of fetching the first GPU of CUDA_VISIBLE_DEVICES, a number or a UUID."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip() or "0"
    if re.fullmatch(r"\+?\d+", first):
        return int(nvml.nvmlDeviceGetHandleByIndex_v2(int(first), byref(handle)))
    return int(nvml.nvmlDeviceGetHandleByUUID(first.encode(), byref(handle)))
