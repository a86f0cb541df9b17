"""Arrow schemas of the tables about compounds and targets; `data.schemas` has all the others."""

import pyarrow as pa

# How strongly compounds bind to targets; the mean, of a compound measured more than once at one.
ACTIVITIES = pa.schema(
    [
        ("activity_id", pa.string()),
        ("target", pa.string()),
        ("group", pa.string()),  # targets of a group are held out together
        ("molecule_id", pa.string()),
        ("smiles", pa.string()),  # RDKit's canonical one
        ("pxc50", pa.float64()),  # -log10 of mol/l
        ("cliff", pa.bool_()),  # of an activity cliff; null: the source does not say
    ]
)

# Compounds, whatever they were measured at.
MOLECULES = pa.schema(
    [
        ("molecule_id", pa.string()),
        ("smiles", pa.string()),
        ("scaffold", pa.string()),  # SMILES of it; "": no ring
        ("fingerprint", pa.binary()),  # as `data.fingerprints` has it
        ("weight", pa.float64()),  # Da
        ("clogp", pa.float64()),
        ("donors", pa.int32()),
        ("acceptors", pa.int32()),
    ]
)

# What of the activities is learned, chosen on and measured on.
ACTIVITY_PARTS = pa.schema(
    [
        ("activity_id", pa.string()),
        ("part", pa.string()),  # "train", "dev", "test"
    ]
)

# Targets as networks read them.
PROTEINS = pa.schema(
    [
        ("target", pa.string()),
        ("vector", pa.list_(pa.float32())),
    ]
)

# What a model says of activities.
PREDICTIONS = pa.schema(
    [
        ("activity_id", pa.string()),
        ("value", pa.float64()),  # pXC50; of a ranker, and after a listwise stage, of any scale
    ]
)

# How sure an ensemble is of the activities that are learned.
CONFIDENCES = pa.schema(
    [
        ("activity_id", pa.string()),
        ("value", pa.float64()),  # mean over its members, pXC50
        ("spread", pa.float64()),  # standard deviation between them
        ("confidence", pa.float64()),  # 0 to 1: share of the activities whose spread is no smaller
    ]
)

# Lists of compounds of one target, by which a model learns to rank.
RANK_LISTS = pa.schema(
    [
        ("list_id", pa.string()),
        ("target", pa.string()),
        ("activity_id", pa.string()),
        ("rank", pa.int32()),  # from 0, the strongest first
    ]
)

# The cluster of each compound that is most like it, by its centroid.
CENTROIDS = pa.schema(
    [
        ("molecule_id", pa.string()),
        ("centroid_id", pa.string()),  # a compound too
    ]
)

# What the teacher makes of the centroids of clusters at every target.
TRUNKS = pa.schema(
    [
        ("target", pa.string()),
        ("molecule_id", pa.string()),  # the centroid
        ("value", pa.float64()),  # the teacher's, pXC50
        ("vector", pa.list_(pa.float32())),  # of its trunk
    ]
)

# What a model says of every compound of a library at every target.
LIBRARY_SCORES = pa.schema(
    [
        ("target", pa.string()),
        ("molecule_id", pa.string()),
        ("value", pa.float64()),
    ]
)

# The compounds that the teacher has scored again, and what became of them.
HITS = pa.schema(
    [
        ("target", pa.string()),
        ("molecule_id", pa.string()),
        ("smiles", pa.string()),
        ("rank", pa.int32()),  # from 1, by the teacher, among those that it has scored again
        ("fast_value", pa.float64()),
        ("value", pa.float64()),
        ("out", pa.string()),  # what it was left out by; "": it is kept
    ]
)

# By the artifact's kind.
ACTIVITY_TABLES = {
    "activities": ACTIVITIES,
    "molecules": MOLECULES,
    "activity_parts": ACTIVITY_PARTS,
    "proteins": PROTEINS,
    "predictions": PREDICTIONS,
    "confidences": CONFIDENCES,
    "rank_lists": RANK_LISTS,
    "centroids": CENTROIDS,
    "trunks": TRUNKS,
    "library_scores": LIBRARY_SCORES,
    "hits": HITS,
}
