"""The section of a recipe that says how a run is watched for over-optimisation."""

from typing import Literal

from pydantic import Field

from data.recipes.config import Config, Times

StopWhen = Literal["never", "alarm"]


class LawConfig(Config):
    """When a quantity that has fallen by a law is off it; see docs/monitor.md."""

    enabled: bool = Field(True, description="Watch for over-optimisation")
    z: float = Field(
        3.0, gt=0, le=6, description="Standard deviations above its law at which a value is off it"
    )
    floor: float = Field(
        0.02,
        ge=0.001,
        lt=1,
        description="Standard deviation of a value's logarithm that is taken at least: smaller "
        "changes than `z` of these are no alarm",
    )
    in_row: Times = Field(
        2, ge=1, description="Points of a training in a row that must be off the law for an alarm"
    )
    early_rounds: Times = Field(
        4,
        ge=4,
        description="Adopted rounds to which the laws over rounds are fitted; before that a value "
        "is compared with the lowest so far",
    )


class MonitorConfig(LawConfig):
    """When the proxies of a round say that the teacher is being exploited; see docs/monitor.md."""

    enabled: bool = Field(
        True, description="Watch the trainings and the answers to dev prompts for over-optimisation"
    )
    early: float = Field(
        0.25, gt=0, lt=1, description="Share of a training's steps to which its law is fitted"
    )


class DistanceMonitor(LawConfig):
    """When the policy's distance to its teacher has left the law by which it fell."""

    enabled: bool = Field(
        True, description="Watch the distance to the teacher on dev prompts for over-optimisation"
    )
    in_row: Times = Field(
        2, ge=1, description="Measured rounds in a row that must be off the law for an alarm"
    )
    early_rounds: Times = Field(
        4, ge=4, description="Measured rounds to which the law of the distance is fitted"
    )
