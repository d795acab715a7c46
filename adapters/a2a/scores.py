"""What a benchmark said of an agent, on its card: an `AgentExtension` of data alone, as A2A 1.0 means such."""

from collections.abc import Mapping
from math import isfinite

from a2a.extensions.common import find_extension_by_uri
from a2a.types import AgentCard, AgentExtension

from adapters.spi import Json

URI = "urn:doolittle:a2a:benchmark:1"
"""A name, which leads nowhere. `params` are what README.md says of it; another shape is another name."""
SAYS = "The newest score of this agent at a benchmark, as whoever published this card has measured it."
TEXTS = ("benchmark", "domain", "engine", "user", "judge")
NUMBERS = ("benchmarkScore", "n", "trials", "errors", "seed", "floor", "ceiling", "at")
LONGEST = 400


def extension(score: Mapping[str, Json]) -> AgentExtension:
    """No client must understand it; what is blank or unknown is left out."""
    params = {key: value for key, value in score.items() if value not in ("", None, [], {})}
    return AgentExtension(uri=URI, description=SAYS, required=False, params=params)


def claimed(card: AgentCard) -> dict[str, Json] | None:
    """What a card of others claims of itself: nobody here has measured it. Nothing, where it is of another shape."""
    found = find_extension_by_uri(card, URI)
    said = dict(found.params.fields) if found is not None else {}
    numbers = {key: one.number_value for key, one in said.items() if one.WhichOneof("kind") == "number_value"}
    texts = {key: one.string_value[:LONGEST] for key, one in said.items() if one.WhichOneof("kind") == "string_value"}
    if not 0 <= numbers.get("benchmarkScore", -1) <= 1 or "benchmark" not in texts:
        return None
    kept: dict[str, Json] = {key: texts[key] for key in TEXTS if key in texts}
    return kept | {key: numbers[key] for key in NUMBERS if key in numbers and isfinite(numbers[key])}
