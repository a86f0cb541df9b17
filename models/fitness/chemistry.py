"""What RDKit says of a compound: its canonical SMILES, fingerprint, scaffold and properties.

RDKit is imported here and nowhere else, and by what is called alone.
"""

from typing import NamedTuple

import numpy as np
from rdkit import Chem, RDLogger
from rdkit.Chem import Crippen, Descriptors, rdFingerprintGenerator, rdMolDescriptors
from rdkit.Chem.Scaffolds import MurckoScaffold

from data.recipes.fitness import FingerprintConfig

RDLogger.DisableLog("rdApp.*")  # a SMILES that cannot be read is counted, and not printed


class Described(NamedTuple):
    """What is known of a compound without measuring it."""

    scaffold: str  # of Bemis and Murcko (1996); "" for a compound without a ring
    fingerprint: bytes  # as `data.fingerprints` has it
    weight: float  # Da
    clogp: float  # Wildman and Crippen (1999)
    donors: int
    acceptors: int


def canonical(smiles: str) -> str | None:
    """RDKit's own way to write the compound; None where it cannot read it or finds no atom."""
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or not molecule.GetNumAtoms():
        return None
    return str(Chem.MolToSmiles(molecule))


class Describer:
    """Describes compounds by their canonical SMILES."""

    def __init__(self, config: FingerprintConfig) -> None:
        self._morgan = rdFingerprintGenerator.GetMorganGenerator(
            radius=config.radius, fpSize=config.bits
        )

    def __call__(self, smiles: str) -> Described:
        molecule = Chem.MolFromSmiles(smiles)
        on = self._morgan.GetFingerprintAsNumPy(molecule)
        return Described(
            str(MurckoScaffold.MurckoScaffoldSmiles(mol=molecule)),
            np.packbits(on).tobytes(),
            float(Descriptors.MolWt(molecule)),
            float(Crippen.MolLogP(molecule)),
            int(rdMolDescriptors.CalcNumHBD(molecule)),
            int(rdMolDescriptors.CalcNumHBA(molecule)),
        )
