"""All attacks on the verification ladder, by theme.

attacks_on_records.py    the signed record
attacks_on_files.py      files and headers
attacks_on_weights.py    weights that nobody trained for the task
attacks_in_training.py   weights that somebody trained, but not as asked
"""

from __future__ import annotations

from attack import Attack
from attacks_in_training import IN_TRAINING
from attacks_on_files import ON_FILES
from attacks_on_legs import ON_LEGS
from attacks_on_records import ON_RECORDS
from attacks_on_weights import ON_WEIGHTS

CATALOGUE: dict[str, tuple[Attack, ...]] = {
    "records": ON_RECORDS,
    "files": ON_FILES,
    "weights": ON_WEIGHTS,
    "training": IN_TRAINING,
    "legs": ON_LEGS,
}

ATTACKS: dict[str, Attack] = {attack.name: attack for attacks in CATALOGUE.values() for attack in attacks}
