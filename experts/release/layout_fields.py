"""The fields of a model folder's JSON files: the published names, and what they mean here.

The published ones are those of the Paris weights (arXiv 2510.03434). "text", "codec", "prompt_router" and "sampling"
in config.json, "objective" in expert_k/config.json and "image_size" in router/config.json are ours; where they are
absent, the published model's text encoder, VAE and way of sampling are meant, flow matching, and no prompt router.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from pydantic import model_validator

from paris.experts.errors import LayoutError
from paris.experts.frozen.codec import CodecConfig
from paris.experts.frozen.text import TextConfig
from paris.experts.models.presets import ModelConfig, RouterConfig
from paris.experts.models.prompt_router import PromptRouterConfig
from paris.experts.objectives.objectives import Objective
from paris.experts.sampling.settings import SamplingSettings, default_sampling
from paris.experts.settings import Settings
from paris.experts.training.needs import num_parameters

Fields = dict[str, Any]

_SHAPE = ("hidden_size", "num_layers", "num_heads", "patch_size", "in_channels", "mlp_ratio")
_ROUTER = (*_SHAPE, "num_clusters", "text_embed_dim")
_TEXT = {
    "kind": "transformers",
    "max_tokens": 77,
    "path": "text_encoder",
    "tokenizer_path": "tokenizer",
    "model_class": "CLIPTextModel",
    "attend_padding": True,
}


class Layout(Settings):
    """A model's folder without its weights."""

    name: str
    dataset_name: str = ""
    num_experts: int
    model: ModelConfig
    """The largest shape."""
    sizes: tuple[ModelConfig, ...] = ()
    """The shape of each expert, in order; all as `model` by default."""
    objectives: tuple[Objective, ...] = ()
    """What each expert learned to predict, in order; flow matching by default."""
    router: RouterConfig
    text: TextConfig
    codec: CodecConfig
    prompt_router: PromptRouterConfig | None = None
    sampling: SamplingSettings

    @model_validator(mode="before")
    @classmethod
    def _with_defaults(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        has_prompt_router, reads_text = bool(values.get("prompt_router")), _kind_of(values.get("text")) != "none"
        defaults: Fields = {"sampling": default_sampling(has_prompt_router=has_prompt_router, reads_text=reads_text)}
        if not values.get("objectives") and isinstance(values.get("num_experts"), int):
            defaults["objectives"] = (Objective(),) * values["num_experts"]
        if not values.get("sizes") and isinstance(values.get("num_experts"), int) and "model" in values:
            defaults["sizes"] = (values["model"],) * values["num_experts"]
        given = {name: value for name, value in values.items() if name not in defaults or value}
        return {**defaults, **given}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        model, router = self.model, self.router
        if len(self.objectives) != self.num_experts:
            raise ValueError(f"there are {len(self.objectives)} objectives for {self.num_experts} experts")
        if len(self.sizes) != self.num_experts:
            raise ValueError(f"there are {len(self.sizes)} sizes for {self.num_experts} experts")
        for number, size in enumerate(self.sizes):
            _check_alike(number, size, model)
        if router.num_clusters != self.num_experts:
            raise ValueError(f"the router knows {router.num_clusters} experts, the model has {self.num_experts}")
        if (router.image_size, router.in_channels) != (model.image_size, model.in_channels):
            raise ValueError(
                f"the router reads {router.in_channels}x{router.image_size}x{router.image_size}, "
                f"the experts {model.in_channels}x{model.image_size}x{model.image_size}"
            )
        if self.text.dim != model.text_embed_dim:
            raise ValueError(f"text states are {self.text.dim} wide, the experts read {model.text_embed_dim}")
        if self.codec.kind == "pixels" and model.in_channels != 3:
            raise ValueError(f"pixels have 3 channels, the experts make {model.in_channels}")
        if router.text_embed_dim not in (None, self.text.dim):
            raise ValueError(f"text states are {self.text.dim} wide, the router reads {router.text_embed_dim}")
        prompts = self.prompt_router
        if prompts and (prompts.num_clusters, prompts.text_embed_dim) != (self.num_experts, self.text.dim):
            raise ValueError(
                f"the prompt router reads {prompts.text_embed_dim} wide states for {prompts.num_clusters} experts, "
                f"the model has {self.text.dim} wide states and {self.num_experts} experts"
            )
        if not self.text.reads_text:
            self.sampling.guidance.check_without_text()
        return self


def layout_of(root: Fields, experts: Sequence[Fields], router: Fields) -> Layout:
    """The layout of a folder, from its config.json, those of the experts in order, and that of the router.

    Raises:
        LayoutError: An expert is of a kind that is not known.
        SettingsError: A field is missing, out of range, or contradicts another.
    """
    for number, expert in enumerate(experts):
        _check_expert(number, expert, experts[0])
    first = experts[0]
    published = {**_TEXT, "dim": first.get("text_embed_dim")} if _reads_text(first) else {"kind": "none"}
    text = TextConfig.from_settings(root.get("text") or published)
    size = {"image_size": root.get("image_size")}
    sizes = tuple(ModelConfig.from_settings({**size, **_shape_of(expert, text)}) for expert in experts)
    return Layout.from_settings(
        {
            "name": root.get("model_name", ""),
            "dataset_name": root.get("dataset_name", ""),
            "num_experts": root.get("num_experts"),
            "model": max(sizes, key=num_parameters),
            "sizes": sizes,
            "objectives": tuple(Objective.from_settings(expert.get("objective") or {}) for expert in experts),
            "router": {**size, **_picked(router, _ROUTER)},
            "text": text,
            "codec": root.get("codec") or {"kind": "vae" if root.get("use_latents") else "pixels"},
            "prompt_router": root.get("prompt_router"),
            "sampling": root.get("sampling") or {},
        }
    )


def root_fields(layout: Layout) -> Fields:
    """config.json."""
    return {
        "model_name": layout.name,
        "num_experts": layout.num_experts,
        "dataset_name": layout.dataset_name,
        "image_size": layout.model.image_size,
        "num_channels": layout.model.in_channels,
        "expert_architecture": "dit",
        "router_architecture": "dit",
        "use_latents": layout.codec.kind == "vae",
        "text": layout.text.to_settings(),
        "codec": layout.codec.to_settings(),
        "prompt_router": layout.prompt_router and layout.prompt_router.to_settings(),
        "sampling": layout.sampling.to_settings(),
    }


def index_fields(layout: Layout) -> Fields:
    """model_index.json."""
    fields: Fields = {
        "_class_name": "ParisPipeline",
        "num_experts": layout.num_experts,
        "expert_architecture": "dit",
        "router_architecture": "dit",
    }
    if layout.codec.kind == "vae":
        fields["vae"] = ["diffusers", "AutoencoderKL"]
    if layout.text.kind == "transformers":
        fields["text_encoder"] = ["transformers", layout.text.model_class]
        fields["tokenizer"] = ["transformers", "AutoTokenizer"]
    return fields


def expert_fields(layout: Layout, number: int) -> Fields:
    """expert_k/config.json."""
    return {
        "model_type": "dit_expert",
        "expert_id": number,
        "architecture": "dit",
        **_picked(layout.sizes[number].to_settings(), (*_SHAPE, "text_embed_dim")),
        "out_channels": layout.model.in_channels,
        "use_text_conditioning": layout.model.reads_text,
        "use_class_conditioning": False,
        "use_dit_time_embed": True,
        "use_adaln_single": True,
        "objective": layout.objectives[number].to_settings(),
    }


def router_fields(config: RouterConfig) -> Fields:
    """router/config.json."""
    return {
        "model_type": "router",
        "architecture": "dit",
        "image_size": config.image_size,
        **_picked({name: value for name, value in config.to_settings().items() if value is not None}, _ROUTER),
        "use_dit_time_embed": True,
    }


def router_config_of(fields: Fields) -> RouterConfig:
    """The shape of a router, from its config.json; SettingsError if a field is missing or out of range."""
    return RouterConfig.from_settings(_picked(fields, ("image_size", *_ROUTER)))


def _picked(fields: Fields, names: Sequence[str]) -> Fields:
    return {name: fields[name] for name in names if name in fields}


def _kind_of(text: Any) -> Any:
    """The kind of a text encoder, of its configuration or its fields; None where there is none of either."""
    return text.kind if isinstance(text, TextConfig) else text.get("kind") if isinstance(text, dict) else None


def _shape_of(expert: Fields, text: TextConfig) -> Fields:
    """Fields of an expert's ModelConfig but the size of pictures, from its config.json."""
    without_text = {} if _reads_text(expert) else {"text_embed_dim": 0}
    return {**_picked(expert, (*_SHAPE, "text_embed_dim")), **without_text, "max_text_tokens": text.max_tokens}


def _check_alike(number: int, size: ModelConfig, model: ModelConfig) -> None:
    """Experts of different sizes read and make the same: pictures of one shape, and the same text states."""
    for name in ("image_size", "in_channels", "text_embed_dim", "max_text_tokens"):
        own, common = getattr(size, name), getattr(model, name)
        if own != common:
            raise ValueError(f"{name} of expert_{number} is {own}, that of the largest expert is {common}")


def _reads_text(expert: Fields) -> bool:
    return expert.get("use_text_conditioning") is not False


def _check_expert(number: int, fields: Fields, first: Fields) -> None:
    known = {
        "architecture": "dit",
        "use_text_conditioning": _reads_text(first),
        "use_adaln_single": True,
        "use_class_conditioning": False,
        "expert_id": number,
        "out_channels": fields.get("in_channels"),
    }
    for name, value in known.items():
        if fields.get(name) != value:
            raise LayoutError(f"expert_{number}/config.json: {name} is {fields.get(name)!r}, only {value!r} is known.")
