"""Settings that contradict each other, or are unusually set. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from paris.coordinator.proposal.remarks import Remark
from paris.coordinator.run.config import RunConfig
from paris.coordinator.run.shapes import expert_fields
from paris.coordinator.run.stretches import FEW_STRETCHES, snapshots_for

_DOWNSCALE = 8
"""Pixels of a picture's side for each of a latent's, in the VAEs of Stable Diffusion."""
_LATENT_CHANNELS, _PIXEL_CHANNELS = 4, 3
_FAST_LEARNING = 1e-2
_LONG_WARMUP = 0.5


def contradictions(config: RunConfig) -> list[Remark]:
    """What is off in the settings alone.

    Args:
        config: Valid settings.
    """
    return [
        *_sizes(config),
        *_text(config),
        *_times(config),
        *_training(config),
        *_stretches(config),
        *_addresses(config),
    ]


def _sizes(config: RunConfig) -> Iterator[Remark]:
    """The picture's side in [data], [model] and [router]."""
    model = expert_fields(config.model.preset, config.model.overrides, config.text)
    router = {**{name: model[name] for name in ("image_size", "in_channels")}, **config.router.overrides}
    is_vae = config.codec.get("kind") == "vae"
    side = int(config.data.get("image_size", 32))
    wanted: dict[str, Any] = {
        "image_size": side // _DOWNSCALE if is_vae else side,
        "in_channels": _LATENT_CHANNELS if is_vae else _PIXEL_CHANNELS,
    }
    if is_vae and side % _DOWNSCALE:
        yield Remark("data.image_size", str(side), f"a VAE needs a multiple of {_DOWNSCALE}", "Set it to one.")
        return
    what = f"latents of {side} px" if is_vae else f"pictures of {side} px"
    for table, shape in (("model", model), ("router", router)):
        for name, value in wanted.items():
            if shape[name] != value:
                yield Remark(
                    f"{table}.overrides.{name}",
                    str(shape[name]),
                    f"[data] and [codec] make {what}, whose {name} is {value}",
                    f"Set {name} = {value} in [{table}.overrides], or change image_size in [data].",
                )


def _text(config: RunConfig) -> Iterator[Remark]:
    overrides, text = config.model.overrides, config.text
    for name, field in (("text_embed_dim", "dim"), ("max_text_tokens", "max_tokens")):
        if name in overrides and field in text and overrides[name] != text[field]:
            yield Remark(
                f"model.overrides.{name}",
                str(overrides[name]),
                f"text.{field} is {text[field]}",
                "Remove it here.",
            )
    dropout = float(config.expert_training.get("caption_dropout", 0.1))
    if text["kind"] == "none":
        return
    if dropout == 1:
        yield Remark("training.caption_dropout", "1", "no caption is ever seen", 'Set 0.1, or [text] kind = "none".')
    if dropout == 0 and config.sampling.guidance_scale != 1:
        yield Remark(
            "training.caption_dropout",
            "0",
            f"guidance (sampling.guidance_scale = {config.sampling.guidance_scale:g}) needs rows without caption",
            "Set 0.1, or guidance_scale = 1.",
            is_error=False,
        )


def _times(config: RunConfig) -> Iterator[Remark]:
    tasks = config.tasks
    if tasks.lease_s < 3 * tasks.heartbeat_every_s:
        yield Remark(
            "tasks.lease_s",
            f"{tasks.lease_s:g}",
            f"a lease ends before three heartbeats of {tasks.heartbeat_every_s:g} s",
            "Set it to ten heartbeats or more.",
            is_error=tasks.lease_s <= tasks.heartbeat_every_s,
        )
    if tasks.grace_s >= tasks.deadline_s:
        yield Remark(
            "tasks.grace_s",
            f"{tasks.grace_s:g}",
            f"it is not below the deadline of {tasks.deadline_s:g} s, so no lease is ever taken back in time",
            "Set a twentieth of the deadline.",
            is_error=False,
        )
    if tasks.leg_hours is not None and tasks.leg_hours * 3600 >= tasks.deadline_s:
        yield Remark(
            "tasks.leg_hours",
            f"{tasks.leg_hours:g}",
            f"a leg takes as long as the deadline of the whole expert, {tasks.deadline_s / 3600:g} hours",
            "Set it to some hours, or remove it: one volunteer then trains a whole expert.",
            is_error=False,
        )
    if tasks.min_memory_bytes == 0:
        yield Remark(
            "tasks.min_memory_bytes",
            "0",
            "machines with too little memory take tasks and fail",
            "Remove it: it is then computed from the model.",
            is_error=False,
        )


def _stretches(config: RunConfig) -> Iterator[Remark]:
    """Of legs of a number of steps; how many a leg of hours has depends on the volunteer's speed."""
    steps, every = config.tasks.leg_steps, config.snapshot_every
    if steps is None or not config.verify_settings.get("replay", True) or steps >= FEW_STRETCHES * every:
        return
    fitting = snapshots_for(steps)
    yield Remark(
        "training.snapshot_every",
        str(every),
        f"a leg of {steps} steps has so few snapshots that each replay trains {every / steps:.0%} of it again",
        f"Set it to {fitting}." if fitting else "Make it a twentieth of a leg.",
        is_error=False,
    )


def _training(config: RunConfig) -> Iterator[Remark]:
    given, steps = config.expert_training, config.tasks.steps
    every, warmup = int(given.get("snapshot_every", 1000)), int(given.get("warmup_steps", 0))
    rate = float(given.get("learning_rate", 1e-4))
    if every > steps:
        yield Remark(
            "training.snapshot_every",
            str(every),
            f"no snapshot is due in {steps} steps, so an interrupted training starts again",
            f"Set it to {max(1, steps // 10)}.",
            is_error=False,
        )
    if warmup > _LONG_WARMUP * steps:
        yield Remark(
            "training.warmup_steps",
            str(warmup),
            f"most of the {steps} steps warm up",
            f"Set it to {steps // 20}.",
            is_error=False,
        )
    if rate > _FAST_LEARNING:
        yield Remark(
            "training.learning_rate",
            f"{rate:g}",
            "training diverges at such rates",
            "Set 6e-3 or lower; 1e-4 for large models.",
            is_error=False,
        )


def _addresses(config: RunConfig) -> Iterator[Remark]:
    hub = config.hub
    is_local_hub = "//127." in hub.endpoint or "//localhost" in hub.endpoint
    is_local_peer = all("/127." in address for address in (*config.dht.listen, *config.dht.announce))
    if hub.embedded and hub.endpoint.startswith("https://"):
        yield Remark(
            "hub.endpoint", hub.endpoint, "the embedded Hub speaks http", "Set http://HOST:PORT, or embedded = false."
        )
    if is_local_peer != is_local_hub:
        setting, value = ("dht.listen", config.dht.listen[0]) if is_local_peer else ("hub.endpoint", hub.endpoint)
        yield Remark(
            setting,
            value,
            "only volunteers on this machine reach it, while the other address is for all",
            "Set an address that volunteers reach (docs/organisers/serving.md, From this machine to a server).",
            is_error=False,
        )
    if not hub.embedded and hub.model_repo.startswith("paris/"):
        yield Remark(
            "hub.model_repo",
            hub.model_repo,
            f"it is the name of the embedded Hub's repo, and you may not write it at {hub.endpoint}",
            "Create two repos of your own, and name them here and in data_repo.",
            is_error=False,
        )
