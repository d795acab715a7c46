"""Python sidekicks: agents of Python frameworks, each framework in a child process with an environment of its own."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from adapters.errors import BadArguments
from adapters.spi import Host, Inbound, Outbound, Upstream

CODE = ("agents", "paths", "env", "venvs", "more")
"""Options by which somebody can have code run: only the operator's file and command line have them."""


class Own(BaseModel):
    """An agent of the operator's: `load` ("module:object", in `folder`) or `file`. Loading it runs its code."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    framework: str = Field(description="Which framework runs it.")
    load: str = Field("", description='"module:object".')
    folder: str = Field("", description="Where the module is.")
    file: str = Field("", description="A file or folder in the framework's own format.")
    entry: str = Field("", description="Which agent of the file, if it has several.")
    description: str = Field("", max_length=2000, description="What it does, for whoever chooses.")
    keeps: bool = Field(False, description="Keep its steps, so that it can ask, and go on after a crash.")
    benchmark: bool = Field(False, description="Its own score is handed on as `benchmarkScore`.")

    @model_validator(mode="after")
    def _one_source(self) -> "Own":
        if bool(self.load) == bool(self.file):
            raise ValueError("an agent has either 'load' or 'file'")
        if self.load and not self.folder:
            raise ValueError("'load' needs 'folder', in which the module is")
        return self


class Options(BaseModel):
    """Of one group of sidekicks. The upstream's `url` and `key` are those of an OpenAI-compatible model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field("", description="Name of the model.")
    temperature: float = Field(0, ge=0, le=2)
    usage: bool = Field(True, description="Ask the model to count tokens; false for servers that refuse to be asked.")
    frameworks: tuple[str, ...] = Field((), description="Those that are offered; empty: all.")
    default: str = Field("", description="The framework where nobody names one; empty: the first.")
    agents: dict[str, Own] = Field(default_factory=dict[str, Own], description="Agents of your own.")
    paths: tuple[str, ...] = Field((), description="Folders, absolute, in which agents of your own may be.")
    allow: tuple[str, ...] = Field(("*",), description="Globs of all tools that these agents may call.")
    tools: tuple[str, ...] = Field(("*",), description="Globs of those that are offered where a call names none.")
    most_tools: int = Field(20, ge=0, le=128, description="Tools offered at once; of more, those that fit the task.")
    ask_before: tuple[str, ...] = Field((), description="Globs of tools to which a person must agree.")
    iterations: int = Field(10, ge=1, le=1000, description="Requests to the model in one run.")
    tool_calls: int = Field(30, ge=0, le=1000, description="Calls of tools in one run.")
    replans: int = Field(2, ge=0, le=100, description="How often a plan may be made anew.")
    children: int = Field(4, ge=1, le=64, description="Children of one framework at most.")
    runs: int = Field(8, ge=1, le=64, description="Runs that a child has at once.")
    idle: float = Field(600, gt=0, description="Seconds after which an idle child ends.")
    memory: int = Field(2048, ge=0, description="Megabytes in use that a child may have; 0: no limit.")
    warm: tuple[str, ...] = Field((), description="Frameworks of which a child starts with the gateway.")
    install: bool = Field(True, description="Install a framework when it is first called.")
    env: dict[str, str] = Field(default_factory=dict[str, str], description="Variables for the children.")
    venvs: str = Field("", description="Folder of the environments; empty: in data_dir.")
    more: str = Field("", description="A folder with further frameworks: frameworks.toml and backends/.")

    @model_validator(mode="after")
    def _absolute(self) -> "Options":
        own = [p for agent in self.agents.values() for p in (agent.folder, agent.file) if p]
        for path in (*self.paths, *own, self.venvs, self.more):
            if path and not Path(path).is_absolute():
                raise ValueError(f"'{path}' is not an absolute path")
        for path in own:
            if not any(Path(path).resolve().is_relative_to(Path(root).resolve()) for root in self.paths):
                raise ValueError(f"'{path}' is in none of 'paths'")
        return self


class Sidekick:
    options = Options

    def outbound(self, upstream: Upstream, host: Host) -> Outbound:
        from adapters.sidekick.outbound import SidekickOutbound

        options = Options.model_validate(dict(upstream.options))
        said = [name for name in CODE if name in options.model_fields_set]
        if upstream.origin != "file" and said:
            raise BadArguments(f"'{said[0]}' can have code run: it is set in the operator's file, and not over HTTP")
        if not upstream.url or not options.model:
            raise BadArguments("a sidekick needs 'url' of an OpenAI-compatible model, and 'model', its name")
        return SidekickOutbound(upstream, host, options)

    def inbound(self, host: Host) -> Inbound:
        raise BadArguments("sidekicks call by the calls that they carry out, and not by themselves")


ADAPTER = Sidekick()
