"""The tensors that the files of a leg's states have, which the run's settings decide."""

from __future__ import annotations

from paris.coordinator.verify.case import VerificationCase
from paris.coordinator.verify.structure_rung import expected_shapes
from paris.coordinator.verify.training_task import training_config
from paris.experts.models.presets import ModelConfig
from paris.experts.training.adamw import moment_shapes
from paris.experts.training.compact_state import compact_specs
from paris.experts.weights.checkpoint import TensorSpec
from paris.protocol.hub_layout import OPTIMIZER_FILE, TRAINED_FILE

LOSS_SCALE = "loss_scale"
Specs = dict[str, dict[str, TensorSpec]]


def state_specs(case: VerificationCase, config: ModelConfig, steps: int) -> Specs:
    """The tensors of each of a state's files.

    Args:
        case: Names the run's settings.
        config: The model of the case's expert.
        steps: Of the state: the last ones of a training are exact in every run.
    """
    training, shapes = training_config(case), expected_shapes(config)
    scale = {LOSS_SCALE: TensorSpec((2,))} if training.precision == "float16" else {}
    weights = {name: TensorSpec(shape) for name, shape in shapes.items()}
    exact = {"weights": weights, "ema": weights, "optimizer": {**moment_shapes(shapes, training.moments), **scale}}
    return compact_specs(exact) if steps < training.compact_before else exact


def submitted_specs(case: VerificationCase, config: ModelConfig, steps: int) -> Specs:
    """The same of the files that are submitted beside the EMA weights, by their names."""
    specs = state_specs(case, config, steps)
    return {TRAINED_FILE: specs["weights"], OPTIMIZER_FILE: specs["optimizer"]}
