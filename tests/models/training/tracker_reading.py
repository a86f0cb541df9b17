"""What trackers hold, read back with their own libraries."""

import os
from collections.abc import Iterator
from pathlib import Path

Points = dict[str, list[tuple[int, float]]]


def tensorboard(folder: Path, run: str, title: str) -> Points:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard" / title)).Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def trackio(folder: Path, run: str, title: str) -> Points:
    import sqlite3

    name = f"{run}/{title}"
    with sqlite3.connect(Path(os.environ["TRACKIO_DIR"]) / "tsalign.db") as database:
        rows = database.execute(
            "select step, metrics from metrics where run_name = ? order by timestamp, step", (name,)
        ).fetchall()
    return _by_name([(step, _json(values)) for step, values in rows])


def mlflow(folder: Path, run: str, title: str) -> Points:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlflow' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(run)
    found = [
        one
        for one in client.search_runs([experiment.experiment_id])
        if one.data.tags["mlflow.runName"] == title
    ]
    (only,) = found
    return {
        name: [(m.step, m.value) for m in client.get_metric_history(only.info.run_id, name)]
        for name in only.data.metrics
    }


def wandb(folder: Path, run: str, title: str) -> Points:
    from wandb.proto import wandb_internal_pb2 as messages

    rows, ids = [], set()
    for path in sorted((folder / "wandb").rglob("*.wandb"), key=lambda p: p.stat().st_mtime_ns):
        name, of_file = None, []
        for data in _records(path.read_bytes()):
            record = messages.Record()
            record.ParseFromString(data)
            if record.WhichOneof("record_type") == "run":
                name = f"{record.run.run_group}/{record.run.display_name.partition('/')[2]}"
                identity = record.run.run_id
            if record.WhichOneof("record_type") == "history":
                of_file.append(
                    {
                        item.key or item.nested_key[0]: _json(item.value_json)
                        for item in record.history.item
                    }
                )
        if name == f"{run}/{title}":
            rows += of_file
            ids.add(identity)
    assert len(ids) == 1, "one curve, however often it was gone on with"
    step = next(key for key in ("train/global_step", "round") if key in rows[0])
    return _by_name([(row[step], row) for row in rows])


def _records(content: bytes) -> Iterator[bytes]:
    """Of wandb's file: LevelDB's log format, after a header of seven bytes."""
    place, record = 7, b""
    while place + 7 <= len(content):
        left = 32_768 - place % 32_768
        if left < 7:
            place += left
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        record += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # the whole of a record, or its last part
            yield record
            record = b""


def _json(text: str) -> dict:
    import json

    return json.loads(text)


def _by_name(rows: list[tuple[int, dict]]) -> Points:
    found: Points = {}
    for step, values in rows:
        step = values.get("train/global_step", step)
        for name, value in values.items():
            if isinstance(value, int | float):
                found.setdefault(name, []).append((step, value))
    return found


READ = {"tensorboard": tensorboard, "trackio": trackio, "wandb": wandb, "mlflow": mlflow}
