"""A recipe by the path or by the name of its file: `recipes/small.yaml` or `small`."""

from pathlib import Path

from data.errors import InputError
from data.nearest import did_you_mean
from data.paths import named_path

PROJECT = Path(__file__).parents[2] / "recipes"  # where the project is installed from its folder
SUFFIXES = (".yaml", ".yml")


def recipe_file(name: str | Path) -> Path:
    """The file: as named, or in `recipes/` of the working folder or of the project.

    Raises:
        InputError: what looks like a name is that of no recipe; it says which is near.
    """
    path = named_path(str(name), "recipe") if str(name).startswith("~") else Path(name)
    if path.exists() or path.suffix not in ("", *SUFFIXES):
        return path
    if str(path) == path.name:
        suffixes = ("",) if path.suffix else SUFFIXES
        for folder in (Path(), Path("recipes"), PROJECT):
            for suffix in suffixes:
                if (found := folder / f"{path.name}{suffix}").is_file():
                    return found
        if not path.suffix:
            names = known_names()
            raise InputError(
                f"{name}: no such file and no recipe of that name"
                f"{did_you_mean(path.name, names)}; recipes here: {', '.join(sorted(names))}"
            )
    if near := did_you_mean(path.stem, known_names()):
        raise InputError(f"{name}: no such file{near}; check the path")
    return path


def known_names() -> set[str]:
    """Names of the recipes of the working folder and of the project."""
    folders = (Path(), Path("recipes"), PROJECT)
    return {
        path.stem
        for folder in folders
        if folder.is_dir()
        for path in folder.iterdir()
        if path.suffix in SUFFIXES and (folder != Path() or _is_recipe(path))
    }


def _is_recipe(path: Path) -> bool:
    """Whether a YAML file in a folder of anything begins like one of ours."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return any(line.startswith("run:") for line in file.read(20_000).splitlines())
    except OSError:
        return False
