"""`doolittle bench tau2 --agent AGENT[,AGENT…] --domain retail`: agents of the gateway at a benchmark, side by side."""

import argparse
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from adapters.errors import BadArguments, Broken
from adapters.inspect import report
from adapters.inspect.child import Child
from adapters.inspect.engines import by_engine, planned
from adapters.inspect.session import Bench, Outcome, asked, direct, under_test
from adapters.inspect.venv import HARNESS
from adapters.spi import Door
from adapters.venvs import Venvs
from adapters.words import Parser, Said, document, line, note

DOMAINS = ("retail", "airline", "telecom", "banking")
TAU2 = "tau2"
SIDES = (("floor", "nothing"), ("ceiling", "gold"))
"""What is run without an agent, and by which words. Other tasks have no solution in words that could be replayed."""
JUDGE = "none: databases, actions and what was said are compared"
OTHER = {"user": "the task's own messages", "judge": "the task's own scorer"}
SCRIPTS = {
    "nothing": "scripted: asks for help, and leaves",
    "gold": "scripted: tells the task's own solution word by word",
}


def _parser() -> Parser:
    parser = Parser("bench", "Agents of the gateway at a benchmark of inspect-evals, with its floor and its ceiling.")
    add = parser.add_argument
    add("benchmark", help='"tau2", or a task of inspect-evals as "module:function".')
    add("--agent", default="", help="Agents by slug, or tools by name; several by commas: one table.")
    add("--engines", default="", help='Of one agent: "all", or names by commas; a row for each.')
    add("--domain", default="retail", choices=DOMAINS, help="Of tau2.")
    add("--limit", type=_number, default=0, help="Tasks at most; 0: all.")
    add("--trials", type=_positive, default=1, help="How often each task is tried.")
    add("--seed", type=int, default=1)
    add("--shuffle", action="store_true", help="Take the tasks in an order by the seed.")
    add("--user", default="nothing", help="nothing | gold (both scripted) | URL of an OpenAI-compatible model.")
    add("--user-model", default="", help="Its name.")
    add("--user-key", default="", help='Its key, as "env:NAME".')
    add("--steps", type=_positive, default=30, help="Requests to its model that an agent may make in one turn.")
    add("--turns", type=_positive, default=40, help="Turns of one dialogue at most (tau2).")
    add("--timeout", type=float, default=600, help="Seconds for one turn of the agent.")
    add("--price", type=_price, default=None, metavar="IN/OUT", help="Of a million tokens, as 0.5/1.5: gives the cost.")
    add("--no-baselines", action="store_true", help="Without floor and ceiling.")
    add("--no-record", action="store_true", help="Do not write the score to the agent's record.")
    add("--venvs", default="", help="Folder of the harness's environment.")
    add("--out", default="", help="A file that gets the whole report as JSON, sample by sample.")
    add("--json", action="store_true", help="Answer with JSON.")
    return parser


def _number(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 0")
    return int(text)


def _price(text: str) -> tuple[float, float]:
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)/(\d{1,9}(?:\.\d{1,9})?)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"'{text}' is no price of a million tokens, as 0.5/1.5")
    return float(found[1]), float(found[2])


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 1")
    return int(text)


async def command(door: Door, args: Sequence[str]) -> int:
    """0: all samples were scored; 1: some ended with an error. Raises `GatewayError`."""
    said = parsed(args)
    if said is None:
        return 0
    for agent in said.agents:  # before anything is installed
        await planned(door, agent, said.engines) if said.engines else asked(door, agent)
    venvs = Venvs(Path(said.venvs).absolute() if said.venvs else door.folder / "sidekick" / "venvs")
    if not venvs.of(HARNESS).ready:
        note(f"installing {HARNESS.title}, about {HARNESS.megabytes} MB …")
    venv = await venvs.install(HARNESS)
    async with Child.running(venv.python, door.folder / "inspect") as child:
        if (await child.read())["type"] != "hello":
            raise Broken("the harness does not greet")
        return await measured(child, door, said)


def parsed(args: Sequence[str]) -> Said | None:
    """None if help was asked for. Raises `BadArguments`."""
    said = _parser().read(args)
    if said is None:
        return None
    said.agents = [name for name in said.agent.split(",") if name]
    if not said.agents and said.no_baselines:
        raise BadArguments("name at least one agent, or leave --no-baselines out")
    if said.engines and len(said.agents) != 1:
        raise BadArguments("--engines are those of one agent: name it with --agent")
    return said


async def measured(child: Child, door: Door, said: Said) -> int:
    """Runs it in a harness that waits for orders, and tells what came of it. Raises `GatewayError`."""
    bench, about = _bench(said, door.config.parent)
    arms = await _arms(child, door, bench, said.agents, said.engines)
    sides = SIDES if said.benchmark == TAU2 else SIDES[:1]
    baselines = {} if said.no_baselines else {name: await _side(child, bench, name, how) for name, how in sides}
    whole = report.document(bench, about, arms, baselines)
    if not said.no_record:
        await _record(door, whole)
    if said.out:
        Path(said.out).write_bytes(orjson.dumps(whole, option=orjson.OPT_INDENT_2))
    shown = {key: value for key, value in whole.items() if key != "samples"}
    if said.json:
        document(shown)
    else:
        line("\n".join(report.table(whole)))
    for arm in arms:
        who = f"{arm.agent} on {arm.engine}" if arm.engine else arm.agent
        for sample in arm.samples:
            if sample["error"]:
                note(f"{who}: task {sample['id']}: {sample['error'][:300]}")
    return 1 if any(row["errors"] or row["fault"] for row in whole["rows"]) else 0


async def _arms(child: Child, door: Door, bench: Bench, agents: list[str], engines: str) -> list[Outcome]:
    if engines:
        return await by_engine(door, agents[0], engines, lambda: under_test(child, door, bench, agents[0]))
    arms: list[Outcome] = []
    for number, agent in enumerate(agents, 1):
        note(f"{agent} ({number} of {len(agents)}) …")
        arms.append(await under_test(child, door, bench, agent))
    return arms


async def _side(child: Child, bench: Bench, name: str, words: str) -> Outcome:
    note(f"the {name}, without an agent …")
    return await direct(child, bench, words)


def _bench(said: Said, home: Path) -> tuple[Bench, dict[str, Any]]:
    """What is run, and what the report says of it. Raises `BadArguments`."""
    module, colon, function = said.benchmark.partition(":")
    if said.benchmark == TAU2:
        task, words = f"inspect_evals.tau2.tau2:tau2_{said.domain}", {"shuffle": False, "message_limit": said.turns}
    elif colon and module and function:
        task, words = said.benchmark, {}
    else:
        raise BadArguments(f"'{said.benchmark}' is no benchmark; there is tau2, and module:function of inspect-evals")
    name = f"tau2_{said.domain}" if said.benchmark == TAU2 else said.benchmark
    user, told = _user(said, home)
    bench = Bench(
        task, words, said.limit, said.trials, said.seed, said.shuffle,
        said.user if said.user in SCRIPTS else "", user, said.steps, said.timeout,
    )  # fmt: skip
    domain = said.domain if said.benchmark == TAU2 else ""
    about = {"benchmark": name, "domain": domain, "user": told, "judge": JUDGE, "price": said.price}
    return bench, about if said.benchmark == TAU2 else about | OTHER


def _user(said: Said, home: Path) -> tuple[dict[str, str], str]:
    if said.user in SCRIPTS:
        return {"kind": "scripted"}, SCRIPTS[said.user]
    if "://" not in said.user or not said.user_model:
        raise BadArguments("--user is nothing, gold, or the URL of a model whose name --user-model gives")
    from os import environ

    kind, _, name = said.user_key.partition(":")
    if said.user_key and (kind != "env" or name not in environ):
        raise BadArguments(
            '--user-key is "env:NAME", and that variable must be set: a key does not belong in a command'
        )
    key = environ[name] if name else ""
    return {"kind": "openai", "url": said.user.rstrip("/"), "model": said.user_model, "key": key}, said.user_model


async def _record(door: Door, whole: dict[str, Any]) -> None:
    """The newest score of each agent, and engine, stands in its record."""
    keys = ("benchmark", "domain", "n", "trials", "seed", "user", "judge", "versions", "floor", "ceiling")
    for row in whole["rows"]:
        if row["reward"] is None:
            continue
        score = {"benchmarkScore": row["reward"], "errors": row["errors"], "pass^k": row["pass^k"], "at": time.time()}
        score["engine"] = row["engine"]
        slug = row["agent"].partition("__")[0]
        await door.manage("PUT", f"/v1/agents/{slug}/benchmark", {**score, **{key: whole[key] for key in keys}})
