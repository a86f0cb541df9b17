"""Where the folder of a model that a recipe names is."""

from pathlib import Path

from data.errors import InputError
from data.files import check_folder_files
from data.nearest import did_you_mean
from data.paths import is_url, named_path
from data.readers.hub import quiet_hub
from data.readers.known_data import where_from
from data.recipes.names import Naming
from data.reward_functions import SHIPPED
from flows.preflight.gguf import imported
from flows.preflight.served import address, check_here
from models.gguf import gguf_file


def folder_of(named: Naming) -> Path:
    """Local folder of a model; of one behind a server nothing is downloaded. Raises InputError."""
    if address(named):
        check_here(named)
    return model_path(named.field, named.value)


def packed_path(field: str, name: str, sign: str) -> Path:
    """Local folder of a model: one of another library, by the file `sign` in it, or as
    `model_path`. Raises InputError, as that."""
    folder = named_path(name, field)
    if (folder / sign).is_file():
        check_folder_files(folder, field)
        return folder.resolve()
    return model_path(field, name).resolve()


def model_path(field: str, name: str) -> Path:
    """Local folder of a model: as named, or a hub id in the local cache or downloaded, or what a
    GGUF file was made into.

    Raises:
        InputError: neither a folder with a config.json, nor a GGUF file, nor a model the hub gives.
    """
    folder = named_path(name, field)
    if file := gguf_file(folder, field):
        return imported(file, field).folder
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            merge = "merge the adapter into its model first; " if _is_adapter(folder) else ""
            inner = _inner_model(folder)
            raise InputError(
                f"{field}: '{name}' has no config.json; {merge}name a Hugging Face directory"
                + (f", such as {inner} in it" if inner else "")
            )
        check_folder_files(folder, field)
        return folder
    if is_url(name):
        raise InputError(
            f"{field}: '{name}' is a URL, which is not read; name the model's id on the hub "
            "(ORGANISATION/NAME) or a folder here"
        )
    if folder.is_file() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise InputError(
            f"{field}: '{name}' is no folder here; name a Hugging Face directory{where_from(name)}"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    wanted = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.py"]
    try:
        with quiet_hub():
            return Path(snapshot_download(name, allow_patterns=wanted))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ImportError, ValueError) as error:
        raise InputError(
            f"{field}: '{name}' is neither a folder here nor a model the hub gives "
            f"({type(error).__name__}){did_you_mean(name, SHIPPED)}; check the name, or log in "
            "for a gated model"
        ) from error


def _is_adapter(folder: Path) -> bool:
    return (folder / "adapter_config.json").is_file()


def _inner_model(folder: Path) -> str | None:
    """The folder with a model's weights in this one, as older sentence encoders have it."""
    parts = (path.parent for path in sorted(folder.glob("*/config.json")))
    return next((part.name for part in parts if any(part.glob("*.safetensors"))), None)
