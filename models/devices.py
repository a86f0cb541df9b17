"""Which device and precision a run computes with: the one rule, for keys and for models alike.

Found without importing torch. A key that asked the driver while the models ask torch would name a
machine that did not compute.
"""

import os
import platform
import re
from ctypes import CDLL, Structure, byref, c_uint, c_ulonglong, c_void_p
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from data.errors import InputError
from data.recipes.recipe import RuntimeConfig

# By which the libraries compute float32 with fewer digits than it has.
LOWERED = (
    "DNNL_DEFAULT_FPMATH_MODE",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)


def has_cuda() -> bool:
    """Whether this process computes on an NVIDIA GPU if it may.

    A driver that sees one, a torch built for CUDA, and CUDA_VISIBLE_DEVICES that does not hide it.
    """
    return torch_has_cuda() and visible(os.environ.get("CUDA_VISIBLE_DEVICES"), gpus())


def visible(devices: str | None, count: int) -> bool:
    """Whether CUDA_VISIBLE_DEVICES leaves one of `count` GPUs: CUDA stops at the first wrong name.

    A name that is no number is a GPU's UUID and is believed.
    """
    if devices is None or not count:
        return bool(count)
    first = devices.split(",")[0].strip()
    return 0 <= int(first) < count if re.fullmatch(r"[+-]?\d+", first) else bool(first)


@cache
def gpus() -> int:
    """How many NVIDIA GPUs the driver sees; 0 where there is no driver."""
    try:
        nvml = CDLL("libnvidia-ml.so.1")
    except OSError:
        return 0
    count = c_uint()
    if nvml.nvmlInit_v2() != 0 or nvml.nvmlDeviceGetCount_v2(byref(count)) != 0:
        return 0
    return count.value


def usable_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    if shown is None:
        return [str(number) for number in range(gpus())]
    return [name.strip() for name in shown.split(",") if name.strip()][: gpus()]


class _Memory(Structure):
    """nvmlMemory_t, in bytes."""

    _fields_ = (("total", c_ulonglong), ("free", c_ulonglong), ("used", c_ulonglong))


@cache
def memory() -> int:
    """Bytes of the first GPU where this process computes on one, else of the machine."""
    if has_cuda():
        nvml, handle, found = CDLL("libnvidia-ml.so.1"), c_void_p(), _Memory()
        if (
            nvml.nvmlDeviceGetHandleByIndex_v2(0, byref(handle)) == 0
            and nvml.nvmlDeviceGetMemoryInfo(handle, byref(found)) == 0
        ):
            return int(found.total)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@cache
def torch_has_cuda() -> bool:
    """Whether the installed torch was built for CUDA."""
    spec = find_spec("torch")
    return built_for_cuda(spec.origin if spec else None)


def built_for_cuda(torch: str | None) -> bool:
    """Whether a torch was built for CUDA, by the file in which it says so; `torch`: its first."""
    if torch is None:
        return False
    version = Path(torch).with_name("version.py")
    return bool(re.search(r"^cuda\b[^=\n]*=\s*['\"]", version.read_text(), re.MULTILINE))


def device(runtime: RuntimeConfig) -> str:
    """ "cpu" or "cuda".

    Raises:
        InputError: the recipe wants a GPU and there is none.
    """
    if runtime.device == "cuda" and not has_cuda():
        raise InputError("runtime.device: 'cuda' asked for, but no NVIDIA GPU answers; use 'auto'")
    return "cuda" if runtime.device != "cpu" and has_cuda() else "cpu"


def dtype(runtime: RuntimeConfig) -> str:
    """Weights' type: bfloat16 on a GPU, float32 on a CPU, unless the recipe says otherwise."""
    if runtime.dtype != "auto":
        return runtime.dtype
    return "bfloat16" if device(runtime) == "cuda" else "float32"


def numerics(runtime: RuntimeConfig) -> str:
    """What decides the digits of a result on this machine; part of the keys."""
    lowered = [f"/{name}={os.environ[name]}" for name in LOWERED if os.environ.get(name)]
    return f"{platform.machine()}/{device(runtime)}/{dtype(runtime)}" + "".join(lowered)
