"""What `tsalign` alone says: how to start, or the last run and what can be done with it."""

from data.places import going_on, runs_folder


def next_steps() -> None:
    from rich.console import Console

    from cli.runs import beginning, changed_at
    from data.store.inventory import summaries
    from flows.earlier import whole
    from reports.status import result_line

    console = Console(highlight=False, markup=False, soft_wrap=True)
    folder = runs_folder()
    found = summaries(folder).readable
    names = [*found, *beginning(folder)]
    if not names:
        console.print(f"No runs in {folder} yet. To start:")
        console.print("  tsalign init          a recipe for models of your own")
        console.print("  tsalign align small   a small run of the embedded world")
        console.print("  tsalign --help        all commands")
        return
    name = max(names, key=lambda name: changed_at(folder / name))
    if going_on(folder / name):
        console.print(f"Last run: {name}. It is running.")
    elif name in found:
        console.print(f"Last run: {name}. {result_line(whole(found[name]))}")
    if (report := folder / name / "report.html").exists():
        console.print(f"Its report: {report}")
        console.print(f"  tsalign open {name}   its report in the browser")
    console.print("  tsalign status   all runs")
    console.print("  tsalign --help   all commands")
