"""What `tsalign` alone says: how to start, or the last run and what can be done with it."""

from data.places import runs_folder


def next_steps() -> None:
    from rich.console import Console

    from data.inventory import summaries
    from tasks.status import result_line

    console = Console(highlight=False, markup=False, soft_wrap=True)
    folder = runs_folder()
    found = summaries(folder).readable
    if not found:
        console.print(f"No runs in {folder} yet. To start:")
        console.print("  tsalign align recipes/small.yaml   a small run of the embedded world")
    else:
        last = max(
            found.values(), key=lambda run: (folder / run.run / "summary.json").stat().st_mtime
        )
        console.print(f"Last run: {last.run}. {result_line(last)}")
        console.print(f"Its report: {folder / last.run / 'report.html'}")
        console.print(f"  tsalign open {last.run}   its report in the browser")
        console.print("  tsalign status   all runs")
    console.print("  tsalign --help        all commands")
