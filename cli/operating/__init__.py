"""The operate and submit commands: a Prefect server and its deployments."""
