"""Characters pass the suite, with the framework without a framework as their engine."""

from adapters.character.testing import CharacterFarSide
from adapters.conformance import suite
from adapters.sidekick.testing import SidekickFarSide


class OnSidekicks(CharacterFarSide):
    """Real runners in a real environment."""

    async def open(self) -> None:
        await super().open()
        self.far = SidekickFarSide()
        await self.far.open()
        self.beneath = (self.far.upstream,)

    async def close(self) -> None:
        await super().close()
        await self.far.close()

    def running(self) -> int:
        return self.far.running()


TestCharacter = suite("character", OnSidekicks)
