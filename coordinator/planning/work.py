"""Floating point operations of each stage of a run."""

from __future__ import annotations

from dataclasses import dataclass

from paris.coordinator.planning.facts import Facts
from paris.coordinator.verify.bounds import VerificationBounds
from paris.experts.models.flops import forward_flops, router_flops, step_flops

_PROMPT_ROUTER_CAPTIONS = 300 * 1024
"""Captions that the training of the prompt router encodes."""
_CACHED_TEXT_BYTES = 256 << 20
"""Text states up to this size are kept in memory: each caption is encoded once."""


@dataclass(frozen=True)
class Work:
    """Operations of each stage."""

    step: int
    """One step of one expert."""
    expert: int
    """The training of one expert."""
    warm_start: int
    """The common start; 0 without one."""
    router: int
    """Router and prompt router."""
    verification: int
    """One submission, when all other experts are registered."""
    prepare: int
    """Embedder and VAE, on all pictures."""


def work_of(facts: Facts) -> Work:
    """Count them."""
    config, model, text = facts.config, facts.model, facts.text
    table = config.router
    caption = 0 if text is None else text.flops
    seen = step_flops(model, model.max_text_tokens, 1)
    step = facts.batch_size * (seen + (0 if _states_fit(facts) else caption))
    once = caption * max(facts.data.rows, default=0) if _states_fit(facts) else 0
    start = (config.model.warm_start_steps or 0) * facts.batch_size * config.run.num_experts * (seen + caption)
    routed = 3 * router_flops(facts.router) + (caption if table.sees_prompt else 0)
    encoded = facts.embedder.flops + (0 if facts.vae is None else facts.vae.flops)
    return Work(
        step=step,
        expert=config.tasks.steps * step + once,
        warm_start=start,
        router=table.steps * table.batch_size * routed + _PROMPT_ROUTER_CAPTIONS * caption,
        verification=_verification(facts, caption),
        prepare=facts.data.num_pictures * encoded,
    )


def _states_fit(facts: Facts) -> bool:
    text = facts.config.text
    states = max(facts.data.rows, default=0) * int(text.get("max_tokens", 0)) * int(text.get("dim", 0)) * 4
    return states <= _CACHED_TEXT_BYTES


def _verification(facts: Facts, caption: int) -> int:
    """The skill rung: initial weights and candidate on all clusters, each other expert on its own and this one."""
    bounds = VerificationBounds.model_validate(facts.config.verify_settings)
    experts = facts.config.run.num_experts
    secret = [min(rows, bounds.heldout_rows) for rows in facts.data.heldout_rows]
    rows = sum(secret)
    scored = 2 * rows + 2 * rows * (experts - 1) / experts
    forward = sum(forward_flops(facts.model, facts.model.max_text_tokens).values())
    passes = int(scored * bounds.heldout_draws) + bounds.claim_rows
    return passes * forward + (rows + bounds.claim_rows) * caption
