"""The training task of a case, with the digest that the volunteer's chain of commitments names."""

from __future__ import annotations

from paris.coordinator.verify.case import LegStart, VerificationCase
from paris.experts.frozen.codec import CodecConfig
from paris.experts.frozen.text import TextConfig
from paris.experts.models.initial_weights import InitialWeights
from paris.experts.models.presets import ModelConfig
from paris.experts.training.config import TrainingConfig, TrainingTask
from paris.protocol.lanes import expert_of


def training_config(case: VerificationCase) -> TrainingConfig:
    """How the case's expert is trained."""
    fixed = {"steps": case.task.steps, "batch_size": case.task.batch_size, "objective": case.task.objective}
    return TrainingConfig.from_settings({**case.run.training, **fixed})


def training_task(case: VerificationCase, leg: LegStart) -> TrainingTask:
    """The very task that a node trains; it is the same in every lane.

    Args:
        case: The submission and its context.
        leg: Names the rows of the manifest's shards.
    """
    run = case.run
    return TrainingTask(
        run_id=case.run_id,
        seed=run.seed,
        task_id=expert_of(case.task.task_id),
        model=ModelConfig.from_settings(run.model),
        training=training_config(case),
        text=TextConfig.from_settings(run.text),
        codec=CodecConfig.from_settings(run.codec),
        shard_rows=leg.shard_rows,
        initial_weights=InitialWeights.from_settings(run.initial_weights.model_dump()) if run.initial_weights else None,
    )
