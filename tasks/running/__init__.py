"""How a stage runs: its key, the machine, loaded models, shards, Prefect's books, progress."""
