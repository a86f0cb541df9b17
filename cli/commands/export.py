from pathlib import Path
from typing import Annotated

from typer import Option

from cli.app import USE, RunsDir, Store, command
from cli.use.sides import Run, checking


@command("export", USE, "tsalign export embedded --to embedded-policy")
def export(
    run: Run,
    *,
    to: Annotated[Path, Option(metavar="DIR", help="A new folder.")],
    number: Annotated[
        int | None,
        Option("--round", metavar="N", min=0, help="Default: the last round that was adopted."),
    ] = None,
    adapter: Annotated[
        bool, Option("--adapter", help="The LoRA adapter alone, to put on the base.")
    ] = False,
    student: Annotated[
        bool, Option("--student", help="The distilled reward model instead of the policy.")
    ] = False,
    push: Annotated[
        str | None,
        Option(metavar="OWNER/NAME", help="Upload it to the Hugging Face hub too, as private."),
    ] = None,
    public: Annotated[bool, Option("--public", help="With --push: for everyone.")] = False,
    store: Store,
    runs_dir: RunsDir,
) -> None:
    """Write the aligned policy and a model card into a folder.

    Merged weights, tokenizer, chat template and generation settings, each file compared with the
    store. A run over logged completions exports its student.
    """
    from rich.console import Console

    from cli.use.export import check_repository
    from cli.use.export import export as write
    from cli.use.export import push as upload
    from cli.use.policies_of import summary_of
    from data.errors import InputError
    from data.store.store import Store as Artifacts

    if public and not push:
        raise InputError("--public: goes with --push OWNER/NAME")
    summary = summary_of(runs_dir, run)
    if push:
        check_repository(push)
    with checking():
        made = write(
            Artifacts(store),
            summary,
            to,
            number=number,
            adapter=adapter,
            student=student,
            repository=push,
        )
    console = Console(highlight=False, markup=False, soft_wrap=True)
    what = f"round {made.entry.round}'s {made.kind}" if made.entry else f"the {made.kind}"
    console.print(f"Exported {what} of {run} to {to}; README.md says how to load it.")
    if not made.adopted:
        console.print("note: this round's policy was not adopted; its card says so")
    if push:
        console.print(f"Pushed to {upload(to, push, public=public)}")
