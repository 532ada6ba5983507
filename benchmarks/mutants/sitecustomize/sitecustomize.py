"""Imported by Python at its start when this folder is in PYTHONPATH: a test's child process gets the mutant too."""

import os

if "PARIS_MUTANT" in os.environ:
    from benchmarks.mutants.loader import install

    install()
