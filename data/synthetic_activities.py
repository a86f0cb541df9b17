"""Made-up activities of made-up compounds: for tests and for a first look, and for nothing else.

A compound is a core with two substituents, put together as SMILES. A target likes cores,
substituents and, as a lock does, single pairs of substituents: such a pair adds 1.5 log units that
its neighbours have not, which makes activity cliffs.
"""

import itertools

import numpy as np

from data.readers.activities import Measured
from data.recipes.fitness import SyntheticConfig

# {0} and {1}: the substituents.
CORES = (
    "c1cc({0})ccc1{1}", "c1cc({0})ncc1{1}", "c1cnc({0})nc1{1}", "c1cc2cc({0})ccc2cc1{1}",
    "c1cc2nc({0})ccc2cc1{1}", "C1CCN({0})CC1{1}", "C1CN({0})CCN1{1}", "c1c({0})c2OCOc2cc1{1}",
    "c1cc(-c2ccc({0})cc2)ccc1{1}", "c1cc(Oc2ccc({0})cc2)ccc1{1}", "c1sc({0})cc1{1}",
    "c1oc({0})cc1{1}", "C1CCC({0})CC1{1}", "c1cc(CN2CCC({0})CC2)ccc1{1}", "C1CC({0})CCO1",
    "c1cc(C(=O)Nc2ccc({0})cc2)ccc1{1}", "c1nc2ccc({0})cc2[nH]1", "c1cc(S(=O)(=O)N{0})ccc1{1}",
    "c1cc(NC(=O){0})ccc1{1}", "c1cc(-n2ccc({0})n2)ccc1{1}",
)  # fmt: skip
SUBSTITUENTS = (
    "C", "CC", "C(C)C", "CO", "CCO", "CN", "CC#N", "C(F)(F)F", "CCl", "CC(=O)O", "CC(=O)N",
    "C1CC1", "C1CCCC1", "C1CCOCC1", "c1ccccc1", "c1ccncc1", "c1ccc(F)cc1", "c1ccc(Cl)cc1",
    "CCN(C)C", "C(C)(C)C", "CCC", "COC", "CS(C)(=O)=O", "c1ccco1",
)  # fmt: skip
CLIFF = 1.5  # log units that a pair of substituents adds where a target likes it
_CLIFFS, _MISSING = 12, 0.1  # pairs that a target likes; share of cells that were not measured


def synthetic_activities(config: SyntheticConfig) -> list[Measured]:
    """Every measurement, by compound and target. The same configuration gives the same ones."""
    rng = np.random.default_rng(config.seed)
    compounds = _compounds(config.molecules, rng)
    rows = []
    for number in range(config.targets):
        name = f"synthetic-{number}"
        cores, left, right = (
            rng.normal(0, scale, size)
            for scale, size in ((0.7, len(CORES)), (0.6, len(SUBSTITUENTS)), (0.4, 24))
        )
        liked = {tuple(pair) for pair in rng.integers(0, len(SUBSTITUENTS), (_CLIFFS, 2)).tolist()}
        for place, (core, one, two, smiles) in enumerate(compounds):
            drawn, noise = rng.random(), rng.normal(0, 1) * config.noise
            if drawn < _MISSING:
                continue
            cliff = (one, two) in liked
            value = 6 + cores[core] + left[one] + right[two] + CLIFF * cliff + noise
            rows.append(
                Measured(f"compound {place}", name, name, smiles, round(float(value), 3), cliff)
            )
    return rows


def _compounds(number: int, rng: np.random.Generator) -> list[tuple[int, int, int, str]]:
    """Core, two substituents and SMILES of so many compounds, at most all that there are."""
    sizes = len(CORES), len(SUBSTITUENTS), len(SUBSTITUENTS)
    every = list(itertools.product(*map(range, sizes)))
    found = []
    for place in rng.permutation(len(every)):
        core, one, two = every[int(place)]
        if "{1}" not in CORES[core] and two:
            continue  # it has room for one
        smiles = CORES[core].format(_branch(SUBSTITUENTS[one]), _branch(SUBSTITUENTS[two]))
        found.append((core, one, two, smiles))
        if len(found) == number:
            break
    return found


def _branch(text: str) -> str:
    """With ring numbers of its own, since a core has 1 and 2."""
    return text.replace("1", "9")
