"""The router job: a router that sees the prompt, a job that was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import torch
from released_run import prepared_run, release

from paris.coordinator.run.config import dump_config
from paris.coordinator.run.directory import RunDir
from paris.coordinator.training.router import run_router_job
from paris.coordinator.training.router_samples import draw_samples
from paris.experts.files import write_whole
from paris.experts.pipeline.drawing import encode_prompts
from paris.experts.release.layout import expert_path, read_layout, read_router, write_layout
from paris.experts.release.model import load_model
from paris.experts.sampling.field import VelocityField
from paris.experts.sampling.routing import Routing


def with_router(run: RunDir, **changes: object) -> RunDir:
    fields = run.config.model_dump(mode="json", exclude_none=True)
    changed = type(run.config).model_validate({**fields, "router": {**fields["router"], **changes}})
    write_whole(run.path / "run.toml", dump_config(changed).encode())
    return RunDir.open(run.path)


def test_a_router_that_sees_the_prompt_routes_by_it_in_pure_noise(tmp_path):
    run = with_router(prepared_run(tmp_path), sees_prompt=True)
    release(run)
    assert "The router names the cluster of" in run_router_job(run)
    router = read_router(run.router)
    assert router.sees_prompt
    layout = read_layout(run.release).model_copy(update={"router": router.config})
    experts = [expert_path(run.release, k) for k in range(2)]
    write_layout(tmp_path / "model", layout, experts, router, run.data)
    model = load_model(tmp_path / "model")
    prompts = encode_prompts(model.text_encoder, None, ["a red heart", "a blue bus"], is_guided=False)
    field = VelocityField(model.ensemble, prompts, routing=Routing.named("full"))
    weights = field.at(torch.randn(2, *field.picture_shape), 1.0).weights
    assert weights.argmax(1).tolist() == [0, 1]
    assert weights.max(1).values.min() > 0.9


def test_without_captions_a_router_has_no_prompt_to_see(tmp_path):
    run = with_router(prepared_run(tmp_path), sees_prompt=True)
    release(run)
    draw_samples(run, 32, null_prompt=True)
    assert "so it sees pictures alone" in run_router_job(run, from_samples=True)
    assert not read_router(run.router).sees_prompt


def test_a_job_that_was_killed_resumes_and_ends_with_the_same_files(tmp_path):
    def make(name: str) -> RunDir:
        return with_router(prepared_run(tmp_path / name), training={"snapshot_every": 15})

    whole, killed = make("whole"), make("killed")
    summary = run_router_job(whole)
    script = Path(__file__).with_name("killed_router_job.py")
    done = subprocess.run([sys.executable, str(script), str(killed.path)], check=False)
    assert done.returncode == -signal.SIGKILL
    snapshots = [path.name for path in killed.router.glob("training/*/snapshots/*")]
    assert sorted(snapshots) == ["step-00000030", "step-00000045"]
    assert run_router_job(killed) == summary
    files = ("config.json", "pytorch_model.safetensors", "prompt_router.safetensors", "report.json", "summary.txt")
    assert all((whole.router / name).read_bytes() == (killed.router / name).read_bytes() for name in files)
    assert not (killed.router / "training").exists()
