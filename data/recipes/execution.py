"""Where what samples, scores and labels is computed: by this process, or by workers of Ray."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from data.recipes.config import Config, Times

HERE, RUNNING = "local", "auto"  # addresses: a cluster of the run's own, one that runs here


def _address(text: str) -> str:
    """A word or HOST:PORT, as it is. Raises ValueError for any other."""
    host, _, port = text.rpartition(":")
    if text in (HERE, RUNNING) or (host and "/" not in text and port.isdecimal()):
        return text
    raise ValueError(f"must be '{HERE}', '{RUNNING}' or HOST:PORT, got {text!r}")


class ExecutionConfig(Config):
    """How a run is spread over processes and machines; nothing of it is in a key."""

    kind: Literal["local", "ray"] = Field(
        "local",
        description="Who samples, scores and labels: the run's own process, or workers of a Ray "
        "cluster, each with models of its own",
    )
    address: Annotated[str, AfterValidator(_address)] = Field(
        HERE,
        description="Only used by ray: the cluster, as 'HOST:PORT'; 'auto' is the one that this "
        "machine belongs to, 'local' one of the run's own, which ends with it",
    )
    workers: Times = Field(2, ge=1, description="Only used by ray: how many there are")
    cpus_per_worker: Times = Field(
        1, ge=1, description="Only used by ray: processor cores, and so threads, of a worker"
    )
    gpus_per_worker: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Only used by ray: share of a GPU that is a worker's; 0: it computes on the "
        "processor",
    )

    @model_validator(mode="after")
    def _only_of_ray(self) -> "ExecutionConfig":
        """Settings that nobody would read are a slip."""
        if self.kind == "local":
            for name, field in type(self).model_fields.items():
                if getattr(self, name) != field.default:
                    raise ValueError(f"execution.{name}: is for Ray alone; add kind: ray")
        return self

    @property
    def is_own(self) -> bool:
        """Whether the run starts the cluster itself."""
        return self.address == HERE
