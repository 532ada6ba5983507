"""Imported by Python at its start when this folder is in PYTHONPATH: a test's child process gets the mutant too."""

import os

if "MUTANT_OF_PARIS" in os.environ:
    from benchmarks.mutants.loader import install

    install()
