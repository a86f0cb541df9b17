"""Ray: a cluster of this machine's own, which is nobody else's, or one that is there.

A cluster of one's own listens on 127.0.0.1 alone, knows its users by a token, and begins and ends
with the process that starts it: its processes end with it however it ends.
"""

import json
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import InputError
from data.recipes.execution import RUNNING, ExecutionConfig
from data.recipes.recipe import RuntimeConfig
from data.store.locks import folder_in_use, if_unused
from models import devices, host

_OBJECTS = 80 << 20  # bytes of memory for what travels: a job and its answer are small
_ANSWERS, _GREETS, _CONNECTS = 5.0, 2.0, 60.0  # seconds an address has, a greeting, and Ray
# What HTTP/2, and so gRPC, begins with on both sides: a frame of SETTINGS (RFC 9113, 3.4), type 4.
_SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _SETTINGS
_ASK = """
import json, sys, ray
ray.init(address=sys.argv[1], log_to_driver=False)
print(json.dumps(ray.cluster_resources()))
"""
_LEFT = "tsalign-ray-"
# Read by Ray as it is imported. What it would print of lost workers the run says in its own words.
_SILENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS_SKIP_REGEX": "."}
# What has Ray 2.60 bind to 127.0.0.1, on any system; a `_node_ip_address` of it alone is replaced.
_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
# Ray would have its workers come last of all processes; these do the work of the run.
_PRIORITY = {"RAY_worker_niceness": "0"}


class Room(NamedTuple):
    """What workers may have of a cluster."""

    cpus: float
    gpus: float
    where: str


def check_execution(execution: ExecutionConfig, runtime: RuntimeConfig, gpus: int = 1) -> None:
    """Ray is installed, answers, and has room for the workers that the recipe wants.

    Args:
        gpus: Those that an engine has.

    Raises:
        InputError: with the field to change.
    """
    if execution.kind == "local":
        return
    if find_spec("ray") is None:
        raise InputError(
            "execution.kind: ray is not installed; install the extra ray, or leave execution out"
        )
    if gpus > 1:
        raise InputError(
            "generate.parallel: gives an engine several GPUs, and a worker of Ray has one at most; "
            "leave it out, or execution"
        )
    _check_device(execution, runtime)
    address = execution.address
    room = _of_this_machine() if execution.is_own else _of_cluster(address)
    for field, unit, each, there in (
        ("cpus_per_worker", "CPU", execution.cpus_per_worker, room.cpus),
        ("gpus_per_worker", "GPU", execution.gpus_per_worker, room.gpus),
    ):
        wanted = execution.workers * each
        if wanted > there:
            raise InputError(
                f"execution.workers: {execution.workers} with {each:g} {unit} each want "
                f"{wanted:g}, and {room.where} has {there:g}; lower workers or {field}"
            )


def _check_device(execution: ExecutionConfig, runtime: RuntimeConfig) -> None:
    """The workers compute where the run does, which is in the keys."""
    on_gpu = devices.device(runtime) == "cuda"
    if on_gpu and not execution.gpus_per_worker:
        raise InputError(
            "execution.gpus_per_worker: is 0, and this run computes on a GPU; give each worker "
            "its share, or set runtime.device to cpu"
        )
    if execution.gpus_per_worker and not on_gpu:
        raise InputError(
            "execution.gpus_per_worker: must be 0, as this run computes on the processor; "
            "start it where there is a GPU"
        )


def _of_this_machine() -> Room:
    return Room(host.cores(), len(devices.usable_gpus()), "this machine")


@cache
def _of_cluster(address: str) -> Room:
    """Asked once in a process. Raises InputError where nobody answers."""
    if address != RUNNING:
        name, _, port = address.rpartition(":")
        try:
            with socket.create_connection((name, int(port)), timeout=_ANSWERS) as talk:
                other = _is_no_grpc(talk)
        except (OSError, OverflowError) as error:
            raise InputError(
                f"execution.address: nobody answers at '{address}' ({error}); start Ray there, or "
                "correct it"
            ) from error
        if other:
            raise InputError(
                f"execution.address: what answers at '{address}' is no Ray; name the port of its "
                "head, which is 6379 where no other was chosen, and not that of its dashboard"
            )
    # By a process that can be ended: to what is no Ray, Ray would speak for many minutes.
    try:
        command = [sys.executable, "-P", "-c", _ASK, address]
        asked = subprocess.run(command, capture_output=True, text=True, timeout=_CONNECTS)
    except subprocess.TimeoutExpired as error:
        raise _unusable(address, f"it says nothing for {_CONNECTS:.0f} s") from error
    if asked.returncode:
        raise _unusable(address, asked.stderr)
    found = json.loads(asked.stdout.splitlines()[-1])
    return Room(found.get("CPU", 0), found.get("GPU", 0), f"the cluster at '{address}'")


def _is_no_grpc(talk: socket.socket) -> bool:
    """Whether the other side says something that no server of gRPC, as Ray's head is, begins with.

    What is silent, or ends the talk, may be one that wants TLS.
    """
    talk.settimeout(_GREETS)
    try:
        talk.sendall(_GREETING)
        said = talk.recv(len(_SETTINGS))
    except OSError:
        return False
    return len(said) > 3 and said[3] != _SETTINGS[3]


def _unusable(address: str, said: str) -> InputError:
    """By the last line of what Ray says of it."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    reason = lines[-1][:200] if lines else "it says nothing"
    return InputError(
        f"execution.address: Ray at '{address}' cannot be used ({reason}); this machine must be "
        "one of its own, with its versions of Ray and Python, and have its token, if it wants one"
    )


@contextmanager
def connected(execution: ExecutionConfig) -> Iterator[Any]:
    """Ray's module, connected to the cluster; one of the run's own exists within the block.

    Raises:
        InputError: it cannot be started, or it takes no work of ours.
    """
    with ExitStack() as stack:
        own = stack.enter_context(_own(execution)) if execution.is_own else {}
        os.environ.update({k: v for k, v in _SILENT.items() if k not in os.environ})
        import ray

        logging.getLogger("ray").setLevel(logging.CRITICAL)
        try:
            with _handlers_kept():
                ray.init(
                    address=execution.address, configure_logging=False, log_to_driver=False, **own
                )
            if own and ray.util.get_node_ip_address() != own["_node_ip_address"]:
                raise RuntimeError("it was loaded before, and would listen to other machines")
        except Exception as error:  # of many kinds, none of them in Ray's documentation
            ray.shutdown()
            raise _unusable(execution.address, str(error) or type(error).__name__) from error
        stack.callback(ray.shutdown)
        yield ray


@contextmanager
def _own(execution: ExecutionConfig) -> Iterator[dict[str, Any]]:
    """What makes a cluster of this machine, with a folder for its logs that goes with it."""
    os.environ.update(_LOOPBACK)
    for name, value in _PRIORITY.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # else one in ~/.ray
    place = Path(tempfile.gettempdir())
    if len(str(place)) > 32:  # paths of sockets are in it, of 107 characters at most
        place = Path("/tmp")
    for left in place.glob(f"{_LEFT}*"):  # by a process that was killed
        if left.stat().st_uid == os.getuid():
            with if_unused(left) as unused:
                if unused:
                    shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_LEFT, dir=place))
    try:
        with folder_in_use(folder):
            yield {
                "num_cpus": execution.workers * execution.cpus_per_worker,
                "num_gpus": ceil(execution.workers * execution.gpus_per_worker),
                "object_store_memory": _OBJECTS,
                "include_dashboard": False,
                "_node_ip_address": "127.0.0.1",
                "_temp_dir": str(folder / "ray"),  # Ray opens it to all; what is above is ours
            }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Ray sets a handler for SIGTERM, and the run has one."""
    main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGINT, signal.SIGTERM) if main else ()
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
