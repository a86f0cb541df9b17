"""One file per stage of a round: a plain call into `models`, wrapped as a cached Prefect task."""
