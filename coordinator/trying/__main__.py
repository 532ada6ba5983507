"""The model's process: python -m paris.coordinator.trying, with a Source and then one Ask a line on standard input.

It answers the first line with About, each later one with Drawn, or with Refused and why. It ends with its parent, and
after `_IDLE_S` seconds without a line, which frees the memory; the next question starts another one.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pydantic import ValidationError

from paris.coordinator.trying.drawing import about, draw_traced
from paris.coordinator.trying.messages import About, Ask, Drawn, Refused, Source
from paris.protocol.errors import ParisError
from paris.protocol.hub_layout import PUBLIC_ENDPOINT
from paris.protocol.lifeline import lines_from_parent
from paris.protocol.streams import protect_streams

if TYPE_CHECKING:
    from paris.experts.release.model import ParisModel

_USAGE_EXIT = 2
_IDLE_S = 1800.0


def main(arguments: list[str]) -> int:
    """Draw until nothing is asked any more; return the exit code."""
    if arguments:
        print("Usage: python -m paris.coordinator.trying, with lines on standard input.", file=sys.stderr)
        return _USAGE_EXIT
    protect_streams()
    model: ParisModel | None = None
    answer: About | Drawn | Refused
    for line in lines_from_parent(_IDLE_S):
        if model is None:
            answer, model = _load(line)
        else:
            answer = answer_of(model, line)
        print(answer.model_dump_json(), flush=True)
    return 0


def _load(line: bytes) -> tuple[About | Refused, ParisModel | None]:
    """Load the model that the first line names."""
    from paris.coordinator.hub_errors import hub_errors, use_hub_client
    from paris.experts.errors import ExpertError
    from paris.experts.release.model import load_model, local_folder

    try:
        source = Source.model_validate_json(line)
        use_hub_client()
        with hub_errors(source.endpoint or PUBLIC_ENDPOINT):
            folder = local_folder(source.model, source.revision, source.endpoint)
        model = load_model(folder, device=source.device, max_resident_experts=source.max_resident_experts)
    except (ParisError, ExpertError, ValidationError) as error:
        return Refused(message=_sentence(error)), None
    return about(model), model


def answer_of(model: ParisModel, line: bytes) -> Drawn | Refused:
    """Draw what a line asks for."""
    from paris.experts.errors import ExpertError
    from paris.experts.training.memory import is_out_of_memory

    try:
        return draw_traced(model, Ask.model_validate_json(line))
    except (ParisError, ExpertError, ValidationError) as error:
        return Refused(message=_sentence(error))
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not is_out_of_memory(error):
            raise
        return Refused(message="The memory does not suffice for this model: try it with --max-resident-experts 1.")


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split())[:1000]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
