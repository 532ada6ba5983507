"""What a form asks for: parsed into `Ask`, and each field that is wrong named with its bounds."""

from __future__ import annotations

from typing import get_args
from urllib.parse import parse_qsl

from pydantic import ValidationError

from paris.coordinator.trying.messages import MOST_GUIDANCE, MOST_PROMPT_CHARS, MOST_STEPS, Ask, RoutingName

MOST_BODY_BYTES = 16 * 1024
_MOST_FIELDS = 8
_FIELDS = {
    "prompt": f"a text of at most {MOST_PROMPT_CHARS} characters",
    "seed": f"a whole number from 0 to {2**32 - 1}",
    "routing": f"one of {', '.join(get_args(RoutingName))}",
    "guidance": f"a number from 0 to {MOST_GUIDANCE:g}",
    "steps": f"a whole number from 1 to {MOST_STEPS}",
}


def parse_form(body: bytes) -> tuple[Ask | None, dict[str, str], list[str]]:
    """Parse the body of a form.

    Args:
        body: As a browser encodes it. A field that is empty is the model's own setting.

    Returns:
        What is asked, None if something is wrong; the fields as they were sent; and what is wrong, a sentence each.
    """
    try:
        sent = dict(parse_qsl(body.decode("utf-8"), max_num_fields=_MOST_FIELDS, keep_blank_values=True))
    except ValueError:
        return None, {}, ["The form cannot be read."]
    values = {name: sent.get(name, "").strip() for name in _FIELDS}
    try:
        return Ask.model_validate({name: text for name, text in values.items() if text}), values, []
    except ValidationError as error:
        return None, values, bounds_of(error)


def bounds_of(error: ValidationError) -> list[str]:
    """The bounds of the fields of an `Ask` that are out of them, a sentence each."""
    wrong = dict.fromkeys(str(one["loc"][0]) for one in error.errors())
    return [f"{name.capitalize()}: give {_FIELDS[name]}." for name in wrong]
