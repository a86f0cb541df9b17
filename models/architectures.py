"""Whether the installed transformers can load a model, asked without loading its weights."""

from pathlib import Path

from transformers import AutoConfig

from data.errors import InputError
from models.silence import quiet


@quiet()
def check_architecture(model_dir: Path, field: str, trust_remote_code: bool) -> None:
    """InputError unless transformers knows the model's type, or may run the code beside it."""
    try:
        AutoConfig.from_pretrained(str(model_dir), trust_remote_code=trust_remote_code)
    except Exception as error:  # whatever a field of the file makes it do
        if "trust_remote_code" in str(error):
            raise InputError(
                f"{field}: '{model_dir}' needs Python code of its own; read it, and set "
                "runtime.trust_remote_code=true if you trust it"
            ) from error
        raise InputError(
            f"{field}: transformers cannot read the config.json of '{model_dir}': "
            f"{' '.join(str(error).split())[:200]}; use a supported architecture"
        ) from error
