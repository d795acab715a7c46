"""`doolittle scenario run FILE… --agent AGENT` and `doolittle scenario matrix FILE --agent A,B`: on any network."""

import os
import re
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx2

from adapters.elizaos import scenario as s
from adapters.elizaos.evaluations import Done, Found, Judging, evaluate, judged
from adapters.errors import BadArguments
from adapters.spi import LAST, Address, Agent, Call, Door, Error, Event, Progress, Result
from adapters.talk import Talk, talk, tells
from adapters.words import Parser, Said, document, line

BEGINS = re.compile(r"^(\S+) …$")
"""A step of an ElizaOS agent, by which it says that an action begins."""
ASKED = "Does the response fulfil this? Begin your answer with yes or no, then say why in one sentence."


def _parser() -> Parser:
    parser = Parser("scenario", "ElizaOS scenarios, against any agents.")
    parser.add_argument("what", choices=("run", "matrix"))
    parser.add_argument("file", nargs="+", help="*.scenario.yaml, or *.matrix.yaml")
    parser.add_argument("--agent", required=True, help="Agents by slug, or tools by name; several by commas.")
    parser.add_argument("--judge", default="", help="URL of an OpenAI-compatible model, for llm_judge.")
    parser.add_argument("--judge-model", default="", help="Its name.")
    parser.add_argument("--judge-key", default="", help='Its key, as "env:NAME".')
    parser.add_argument("--timeout", type=float, default=300, help="Seconds for one message.")
    parser.add_argument("--json", action="store_true", help="Answer with JSON.")
    return parser


async def command(door: Door, args: Sequence[str]) -> int:
    """0: all scenarios passed; 1: one did not. Raises `GatewayError`: a file that is wrong is told before any runs."""
    said = _parser().read(args)
    if said is None:
        return 0
    runs = [one for name in said.file for one in _runs(said.what, Path(name))]
    agents = [name for name in said.agent.split(",") if name]
    told = {agent: asked(door, agent) for agent in agents}
    if any(found.judged for found, _ in runs) and not (said.judge and said.judge_model):
        raise BadArguments("llm_judge needs a model: --judge URL --judge-model NAME")
    rows: list[dict[str, Any]] = []
    async with httpx2.AsyncClient(timeout=120, trust_env=False) as http:
        judging = _judge(http, said)
        for agent in agents:
            for found, parameters in runs:
                row = await run(door, told[agent], found, judging, said.timeout)
                rows.append({"agent": agent, "parameters": parameters, **row})
    if said.json:
        document(rows)
    else:
        line("\n".join(_lines(rows)))
    return 0 if all(row["success"] for row in rows) else 1


def _runs(what: str, path: Path) -> list[tuple[s.Scenario, dict[str, Any]]]:
    """The scenarios of a file, each with its parameters. Raises `BadArguments`."""
    said = s.document(_text(path), str(path))
    if what == "run":
        return [(s.scenario(said, str(path)), {})]
    matrix = s.matrix(said, str(path))
    base = path.parent / matrix.base_scenario
    whole = s.document(_text(base), str(base))
    s.scenario(whole, str(base))
    return [
        (s.scenario(s.put(whole, chosen), f"{base} with {chosen}"), chosen)
        for chosen in s.combinations(matrix)
        for _ in range(matrix.runs_per_combination)
    ]


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as fault:
        raise BadArguments(f"{path} cannot be read: {fault}") from fault


def asked(door: Door, agent: str) -> Talk:
    """How an agent, or a tool that is named in full, is told something. Raises `BadArguments`, `Unknown`."""
    if "__" in agent:
        found = tells(door.catalog.tool(agent, door.caller))
    else:
        found = talk(Agent(Address("", "", agent), agent, tools=tuple(door.catalog.tools(door.caller, agent))))
    if found is None:
        raise BadArguments(f"'{agent[:80]}' is no agent that is told one text; see: doolittle agents")
    return found


async def run(door: Door, told: Talk, of: s.Scenario, judging: Judging | None, timeout: float) -> dict[str, Any]:
    """All steps in one conversation, and what was found of each, in the form of ElizaOS's own results."""
    name = f"scenario-{uuid.uuid4().hex[:16]}"
    began, found = time.monotonic(), list[Found]()
    steps: list[dict[str, Any]] = []
    trajectory: list[dict[str, Any]] = []
    for number, step in enumerate(of.run, 1):
        done = await _step(door, told, step.input, (f"{name}-{number}", name, timeout))
        here = [await evaluate(one, done, judging) for one in step.evaluations]
        found += here
        trajectory += [{"type": "action", "content": {"name": one}} for one in done.actions]
        trajectory.append({"type": "observation", "content": done.error or done.response})
        steps.append({"input": step.input, "response": done.response, "evaluations": [asdict(one) for one in here]})
    return {
        "name": of.name, "success": judged(found, of.judgment.strategy), "strategy": of.judgment.strategy,
        "run_id": name, "steps": steps, "trajectory": trajectory,
        "final_agent_response": steps[-1]["response"],
        "metrics": {"execution_time_seconds": round(time.monotonic() - began, 3), "steps": len(steps)},
    }  # fmt: skip


async def _step(door: Door, told: Talk, text: str, of: tuple[str, str, float]) -> Done:
    id, conversation, timeout = of
    call = Call(
        id,
        told.tool.name,
        {told.argument: text},
        door.caller,
        conversation=conversation,
        deadline=time.time() + timeout,
    )
    began, last, seen = time.monotonic(), None, list[str]()
    async for event in door.invoke(call):
        if isinstance(event, Progress):
            seen += BEGINS.findall(event.message)
        if isinstance(event, LAST):
            last = event
    seconds, turns = time.monotonic() - began, int(id.rpartition("-")[2])
    if isinstance(last, Result):
        inner = await _called(door, id)
        return Done(last.text, tuple(dict.fromkeys([*_actions(last), *inner, *seen])), seconds, turns)
    return Done("", (), seconds, turns, _fault(last))


def _fault(last: Event | None) -> str:
    return last.error.public if isinstance(last, Error) else "it asks a question, and nobody is here to answer it"


def _actions(result: Result) -> list[str]:
    """What the agent itself says that it did: ElizaOS in `actions`, sidekicks in `toolsUsed`."""
    structured = result.structured if isinstance(result.structured, dict) else {}
    lists = [result.meta.get("actions"), structured.get("actions"), structured.get("toolsUsed")]
    return [name for one in lists if isinstance(one, list) for name in one if isinstance(name, str)]


async def _called(door: Door, id: str) -> list[str]:
    """What it called through the gateway: by the gateway's own record."""
    lines = await door.manage("GET", f"/v1/audit?call={id}")
    return [line["tool"] for line in lines if line["call"] != id]


def _judge(http: httpx2.AsyncClient, said: Said) -> Judging | None:
    if not said.judge:
        return None
    kind, _, name = said.judge_key.partition(":")
    if said.judge_key and (kind != "env" or name not in os.environ):
        raise BadArguments('--judge-key is "env:NAME", and that variable must be set')
    headers = {"authorization": f"Bearer {os.environ[name]}"} if name else {}

    async def judging(one: s.Judge, response: str) -> tuple[bool, str]:
        question = f"{one.prompt}\n{ASKED}\n\n# Response\n{response}"
        body = {"model": said.judge_model, "temperature": one.temperature,
                "messages": [{"role": "user", "content": question}]}  # fmt: skip
        try:
            answer = await http.post(f"{said.judge.rstrip('/')}/chat/completions", json=body, headers=headers)
            text = str(answer.raise_for_status().json()["choices"][0]["message"]["content"]).strip()
        except (httpx2.HTTPError, ValueError, KeyError, IndexError, TypeError) as fault:
            return False, f"the judge gave no answer: {type(fault).__name__}"
        return text.lower().startswith(one.expected.lower()), text[:400]

    return judging


def _lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines: list[str] = []
    for row in rows:
        given = "".join(f" {name}={value}" for name, value in row["parameters"].items())
        lines.append(f"{'passed' if row['success'] else 'FAILED'}  {row['agent']}: {row['name']}{given}")
        for step in row["steps"]:
            lines += [
                f"    {'ok' if one['success'] else 'NO'}  {one['evaluator_type']}: {one['summary'][:200]}"
                for one in step["evaluations"]
            ]
    return lines
