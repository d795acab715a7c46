"""Characters in Python: an ElizaOS character file becomes an agent that knows its people, on any engine that thinks."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from adapters.errors import BadArguments
from adapters.spi import Host, Inbound, Json, Outbound, Upstream

LOCAL = ("providers", "evaluators", "paths")
"""Options by which code runs: only the operator's file and command line have them."""


class Engine(BaseModel):
    """One that is not found by its name alone: which agent, and what its tool `ask` is told beside the message."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    agent: str = Field(description="The agent that thinks.", min_length=1, max_length=24)
    arguments: dict[str, Json] = Field(default_factory=dict[str, Json], description="Further arguments of its `ask`.")


class Options(BaseModel):
    """Of one character. The upstream's `command` is the character file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine: str = Field(
        "", description="The agent that thinks, until `doolittle engine` says another; empty: the first."
    )
    engines: dict[str, Engine] = Field(default_factory=dict[str, Engine], description="Engines by names of yours.")
    tools: tuple[str, ...] = Field((), description="Globs of the tools that it may call.")
    borrows: bool = Field(False, description="Callers may lend it tools of theirs, each for the call in which they do.")
    providers: tuple[str, ...] = Field((), description='Python functions, "module:function", that tell it more.')
    evaluators: tuple[str, ...] = Field((), description="Python functions that look at each turn after it.")
    paths: tuple[str, ...] = Field((), description="Folders, absolute, in which those functions are.")
    patience: float = Field(1.0, gt=0, le=60, description="Seconds that a provider may take.")
    people: int = Field(1000, ge=1, le=100_000, description="People whom it remembers; of more, the last ones.")
    history: int = Field(20, ge=0, le=200, description="Pieces of the present conversation that it is told.")
    recall: int = Field(8, ge=0, le=100, description="Pieces of earlier conversations that it is reminded of.")

    @model_validator(mode="after")
    def _absolute(self) -> "Options":
        for path in self.paths:
            if not Path(path).is_absolute():
                raise ValueError(f"'{path}' is not an absolute path")
        if (self.providers or self.evaluators) and not self.paths:
            raise ValueError("'providers' and 'evaluators' need 'paths', in which their modules are")
        return self


class Character:
    options = Options

    def outbound(self, upstream: Upstream, host: Host) -> Outbound:
        from adapters.character.functions import Functions
        from adapters.character.outbound import CharacterOutbound
        from adapters.character.persona import read

        options = Options.model_validate(dict(upstream.options))
        if upstream.origin != "file" or upstream.url or len(upstream.command) != 1:
            raise BadArguments("a character is a file of the operator's: doolittle add character NAME character.json")
        functions = Functions(options.providers, options.evaluators, options.paths, options.patience)
        return CharacterOutbound(upstream, host, options, read(Path(upstream.command[0])), functions)

    def inbound(self, host: Host) -> Inbound:
        raise BadArguments("characters call by the calls that they carry out, and not by themselves")


ADAPTER = Character()
