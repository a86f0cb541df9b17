from pathlib import Path
from typing import Annotated

from typer import Option

from cli.app import USE, RunsDir, Store, command
from cli.use.sides import Run, checking
from data.errors import InputError


@command("serve", USE, "tsalign serve embedded --port 8001")
def serve(
    run: Run,
    *,
    number: Annotated[
        int | None,
        Option("--round", metavar="N", min=0, help="Default: the last round that was adopted."),
    ] = None,
    base: Annotated[bool, Option("--base", help="The base policy instead.")] = False,
    port: Annotated[int, Option(metavar="N", min=1, max=65_535, help="On 127.0.0.1.")] = 8000,
    max_length: Annotated[
        int | None,
        Option(
            metavar="N",
            min=2,
            help="Longest prompt with its answer, in tokens. "
            "Default: 4096 or the run's, as far as the model reads.",
        ),
    ] = None,
    log: Annotated[
        Path | None,
        Option(metavar="FILE", help="What vLLM prints. Default: serve.log in the run's folder."),
    ] = None,
    store: Store,
    runs_dir: RunsDir,
) -> None:
    """Serve the aligned policy with vLLM, for OpenAI clients on this machine.

    It listens on loopback alone, until Ctrl-C.
    """
    from rich.console import Console

    from cli.use.policies_of import BASE, notes_on, policy_of, summary_of
    from cli.use.serve import check_server, longest
    from cli.use.serve import serve as run_server
    from data.store.inventory import run_folder
    from data.store.store import Store as Artifacts

    if base and number is not None:
        raise InputError("--base: goes without --round")
    summary = summary_of(runs_dir, run)
    check_server(port, summary)
    with checking():
        policy = policy_of(Artifacts(store), summary, BASE if base else number)
    length = longest(policy, max_length)
    name = f"tsalign/{run}" + (f"@{policy.round}" if base or number is not None else "")
    log = log or run_folder(runs_dir, run) / "serve.log"
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for note in notes_on([policy]):
        console.print(f"note: {note}")
    console.print(f"Starting vLLM with {run}, {policy.name}; it takes a minute. Its log: {log}")

    def ready(address: str) -> None:
        console.print(f"{name} answers at {address}; Ctrl-C ends it. To try it:")
        console.print(
            f"  curl {address}/chat/completions -H 'Content-Type: application/json' -d "
            f'\'{{"model": "{name}", "messages": [{{"role": "user", "content": "Hello!"}}]}}\''
        )

    try:
        run_server(policy, name, port, log, max_length=length, on_ready=ready)
    except KeyboardInterrupt:
        console.print("Stopped.")
