"""`paris-coord report`: gather facts, sample, measure, plot, write."""

from __future__ import annotations

from pathlib import Path

from paris.coordinator.console import say
from paris.coordinator.report.facts import gather_facts
from paris.coordinator.report.plots import plot_training
from paris.coordinator.report.tables import write_report_files
from paris.coordinator.run.directory import RunDir
from paris.experts.files import copy_whole


def build_report(run: RunDir, out: Path, num_samples: int = 512) -> None:
    """Write samples.png, nearest.png, clusters.png, training.png, report.json and report.md.

    Args:
        run: A prepared run. Without a release the report has no samples.
        out: The folder; existing files of these names are replaced.
        num_samples: Samples to draw beside those of the grid, at most one for each training picture.

    Raises:
        RunDirError: The data is not prepared.
        ExpertError: The release or the embedder cannot be loaded.
    """
    run.require_prepared()
    out.mkdir(parents=True, exist_ok=True)
    report = gather_facts(run)
    plot_training(out / "training.png", report["curves"], report["router"])
    if (run.data / "clusters.png").is_file():
        copy_whole(run.data / "clusters.png", out / "clusters.png")
    if (run.release / "config.json").is_file():
        from paris.coordinator.report.model import measure_model

        report |= measure_model(run, out, num_samples)
    else:
        say(f"{run.path} has no release yet: the report contains no samples.")
    write_report_files(out, report)
