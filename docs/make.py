"""`make docs`: the tables that are made from the code: docs/errors.md, docs/networks.md."""

from pathlib import Path

from adapters import errors
from adapters.conformance.bench import CHECKS
from adapters.conformance.inbound import CHECKS as INBOUND
from adapters.load import Adapters
from adapters.spi import Manifest

HERE = Path(__file__).parent


def error_table() -> str:
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, errors.GatewayError)]
    rows = [f"| {k.__name__} | `{k.code}` | {k.status} | {k.usually} |" for k in kinds]
    return "\n".join(
        [
            "# Errors",
            "",
            "Every error that crosses the contract (`adapters/errors.py`): code, HTTP status, and whether the far side may have begun.",
            "",
            "| error | code | status | delivered, unless it says otherwise |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
            "Only `no` may be retried by itself. Each has `public` (safe for any caller), the call, and where known `retry_after`.",
            "",
        ]
    )


def _can(m: Manifest) -> str:
    said = [" ".join(sorted(words)) or "-" for words in (m.can, m.calling)]
    return said[0] if said[0] == said[1] else f"called: {said[0]}; calling: {said[1]}"


def network_table() -> str:
    manifests = [found.manifest for found in Adapters.installed().all() if found.manifest]
    rows = [
        f"| {m.name} | {' '.join(sorted(m.roles))} | {', '.join(m.protocols)} | {_can(m)} | {m.hops} | "
        f"{' '.join(sorted(name for name, holds in m.trust.items() if holds))} |"
        for m in manifests
    ]
    return "\n".join(
        [
            "# Networks",
            "",
            "What each adapter's manifest says; the conformance suite checks it.",
            "",
            "| network | roles | protocols | can | hops | messages are |",
            "| --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
            f"## The suite\n\n{len(CHECKS)} checks of the outbound role, {len(INBOUND)} of the inbound role; a check runs where the",
            "manifest claims, and the far side offers, what it needs.",
            "",
            "| check | needs | says |",
            "| --- | --- | --- |",
            *(
                f"| {n} | {' '.join(sorted(needs))} | {(f.__doc__ or '').splitlines()[0]} |"
                for n, needs, f in (*CHECKS, *INBOUND)
            ),
            "",
        ]
    )


if __name__ == "__main__":
    (HERE / "errors.md").write_text(error_table())
    (HERE / "networks.md").write_text(network_table())
