"""A character for the conformance suite. Its engine is found among the agents of the gateway, as everywhere."""

import json
import tempfile
from pathlib import Path

from adapters.conformance import FarSide, Trial
from adapters.spi import Upstream

ADA = {
    "name": "Ada", "bio": ["Ada writes programs."], "topics": ["engines"], "adjectives": ["exact"],
    "settings": {"secrets": {"KEY": "sk-not-for-anybody-to-see"}},
}  # fmt: skip


class CharacterFarSide(FarSide):
    """`engine` and `beneath` say what thinks: set by whoever has such an agent."""

    engine = "talker"
    passes = 2

    async def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="character-")
        file = Path(self.folder.name) / "ada.json"
        file.write_text(json.dumps(ADA))
        self.upstream = Upstream("ada", "character", command=(str(file),), options={"engine": self.engine})

    async def close(self) -> None:
        self.folder.cleanup()

    def say(self, text: str) -> Trial:
        return Trial("ask", {"message": f"say {text}"}, text)

    def count(self, n: int) -> Trial:
        return Trial("ask", {"message": f"count {n}"}, f"counted to {n}")

    def fail(self, code: str) -> Trial:
        return Trial("ask", {"message": "fail now"})

    def codes(self) -> tuple[str, ...]:
        return ("refused",)

    def hang(self) -> Trial:
        return Trial("ask", {"message": "hang on"})

    def garbage(self) -> tuple[Trial, ...]:
        return (Trial("ask", {"message": "nothing at all"}), Trial("ask", {"message": "die now"}))

    def big(self, size: int) -> Trial:
        return Trial("ask", {"message": f"big {size}"})

    def talk(self, text: str) -> Trial:
        return Trial("ask", {"message": f"talk {text}"})
