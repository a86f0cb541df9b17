"""LightGBM's LambdaRank on fingerprints, for comparison (Burges 2010; Ke et al. 2017).

LightGBM is imported here and nowhere else, and by what is called alone.
"""

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt

from data.activities import Cells, Numbers, Values
from data.fingerprints import Packed, bits
from data.recipes.fitness import RankerConfig
from data.retrieval import Vectors

MODEL = "model.txt"
_GRADES = 64  # of relevance at most; the gain of a grade is the grade itself
_QUERY = 10_000  # rows of a query at most, which is LightGBM's limit


def fit_ranker(
    out: Path, fingerprints: Packed, vectors: Vectors, cells: Cells, config: RankerConfig, seed: int
) -> dict[str, Any]:
    """Trees that rank the compounds of each target, saved in `out`.

    A query is one target; one of more than 10,000 activities is parted by chance into as few as
    LightGBM takes.
    """
    mixed = np.random.default_rng(seed).permutation(len(cells.target))
    large = np.bincount(cells.target)[cells.target] > _QUERY
    order = np.lexsort((np.where(large, mixed, 0), cells.target))
    molecule, target, value = cells.molecule[order], cells.target[order], cells.value[order]
    grades = np.floor((value - value.min()) / config.step).clip(0, _GRADES - 1).astype(np.int32)
    data = lightgbm.Dataset(
        _features(fingerprints, vectors, molecule, target),
        label=grades,
        group=[part for n in np.unique(target, return_counts=True)[1] for part in _queries(int(n))],
        free_raw_data=True,
    )
    settings = {
        "objective": "lambdarank",
        "label_gain": list(range(_GRADES)),
        "num_leaves": config.leaves,
        "learning_rate": config.learning_rate,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    model = lightgbm.train(settings, data, num_boost_round=config.trees)
    model.save_model(str(out / MODEL))
    return {"trees": model.num_trees(), "learned": len(order)}


def _queries(rows: int) -> list[int]:
    """Sizes of the parts of a target."""
    number = -(-rows // _QUERY)
    return [rows // number + (part < rows % number) for part in range(number)]


def predict_ranker(
    folder: Path, fingerprints: Packed, vectors: Vectors, molecule: Numbers, target: Numbers
) -> Values:
    """What it says of pairs, (n,): an order within a target, on no scale."""
    model = lightgbm.Booster(model_file=str(folder / MODEL))
    found = model.predict(_features(fingerprints, vectors, molecule, target))
    return np.asarray(found, np.float64)


def _features(
    fingerprints: Packed, vectors: Vectors, molecule: Numbers, target: Numbers
) -> npt.NDArray[np.float32]:
    """(n, bits + d) of pairs."""
    left = bits(fingerprints)[molecule].astype(np.float32)
    return np.concatenate([left, vectors[target].astype(np.float32)], axis=1)
