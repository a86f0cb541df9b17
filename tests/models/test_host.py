"""The machine in words: what is asked of the system, of torch where it is loaded, of the driver."""

import os
import subprocess
import sys

import pytest

from data.recipes.recipe import RuntimeConfig
from models import host
from tests.repository import ROOT

CPU = RuntimeConfig(device="cpu")


@pytest.fixture
def cpuinfo(tmp_path, monkeypatch):
    """/proc/cpuinfo with this text."""
    host._cpu_lines.cache_clear()

    def write(text):
        (tmp_path / "cpuinfo").write_text(text)
        monkeypatch.setattr(host, "Path", lambda _: tmp_path / "cpuinfo")

    yield write
    host._cpu_lines.cache_clear()


def test_a_processor_is_told_by_its_name_and_what_has_kernels(cpuinfo):
    core = (
        "processor\t: {}\nmodel name\t: Some CPU @ 2: fast\nflags\t\t: fpu avx avx2 avx512f bmi2\n"
    )
    cpuinfo(core.format(0) + "\n" + core.format(1))
    assert host.cpu_name() == "Some CPU @ 2: fast"
    assert host.instructions() == ["avx2", "avx512f"]


def test_an_arm_processor_has_no_name_there_and_other_flags(cpuinfo):
    cpuinfo("processor\t: 0\nFeatures\t: fp asimd bf16 sve\n")
    assert host.cpu_name() == os.uname().machine and host.instructions() == ["asimd", "sve", "bf16"]


def test_where_there_is_no_such_file_the_rest_is_told(cpuinfo, monkeypatch, tmp_path):
    monkeypatch.setattr(host, "Path", lambda _: tmp_path / "none")
    found = host.describe(CPU)
    assert "instructions" not in found and found["cores"] == str(len(os.sched_getaffinity(0)))


def test_a_system_that_knows_no_affinity_has_all_its_cores(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert host.describe(CPU)["cores"] == "3"


def test_limits_are_named_with_their_values(monkeypatch):
    for name in host.LIMITS:
        monkeypatch.delenv(name, raising=False)
    assert host.describe(CPU)["kernel_limits"] == "none"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert host.describe(CPU)["kernel_limits"] == "ONEDNN_MAX_CPU_ISA=AVX2"


def test_torch_is_asked_only_where_it_is_loaded():
    code = (
        "import sys; from models import host; from data.recipes.recipe import RuntimeConfig\n"
        "before = host.describe(RuntimeConfig(device='cpu'))\n"
        "assert 'torch' not in sys.modules and 'threads' not in before\n"
        "import torch; after = host.describe(RuntimeConfig(device='cpu'))\n"
        "assert after['threads'] == '1' and after['kernels'].startswith('ATen DEFAULT'), after\n"
    )
    limited = os.environ | {"OMP_NUM_THREADS": "1", "ATEN_CPU_CAPABILITY": "default"}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=limited)


class Driver:
    """NVML with two GPUs, as its C functions answer."""

    asked = None

    def nvmlInit_v2(self):
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, place, handle):
        self.asked = place
        return 0 if place < 2 else 2

    def nvmlDeviceGetHandleByUUID(self, name, handle):
        self.asked = name
        return 0

    def nvmlDeviceGetName(self, handle, name, length):
        name.value = f"GPU {self.asked}".encode()
        return 0

    def nvmlSystemGetDriverVersion(self, version, length):
        version.value = b"600.1"
        return 0


@pytest.mark.parametrize(
    ("visible", "name"),
    [(None, "GPU 0"), ("1,0", "GPU 1"), ("GPU-8f", "GPU b'GPU-8f'"), ("5", None)],
)
def test_the_gpu_is_the_first_that_the_process_may_use(monkeypatch, visible, name):
    host.gpu.cache_clear()
    monkeypatch.setattr(host, "CDLL", lambda _: Driver())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = host.gpu()
    host.gpu.cache_clear()
    assert found.get("gpu") == name and found["driver"] == "600.1"


def test_without_a_driver_no_gpu_is_told(monkeypatch):
    def none(_):
        raise OSError

    host.gpu.cache_clear()
    monkeypatch.setattr(host, "CDLL", none)
    assert host.gpu() == {} and "gpu" not in host.describe(CPU)
    host.gpu.cache_clear()
