"""An adapter that fails at its own check is reported, without its text, and is not passed on."""

from typing import Any

from adapters.conformance.suite import manifest_of
from adapters.fake import Fake, Options
from adapters.fake.outbound import FakeOutbound
from adapters.fake.testing import FakeFarSide
from adapters.spi import Host, Report, Upstream
from gateway.testing import Box


class Crashes(FakeOutbound):
    async def check(self) -> Report:
        raise ZeroDivisionError("a secret of the adapter's own")


class Crashing(Fake):
    manifest = manifest_of("fake")

    def outbound(self, upstream: Upstream, host: Host) -> Any:
        return Crashes(upstream, host, Options.model_validate({}))


async def test_a_check_that_crashes_is_reported(box: Box) -> None:
    far = FakeFarSide()
    await far.open()
    await box.add(far.upstream, Crashing())
    report = await box.report(far.upstream)
    assert not report.ok
    assert "'fake' failed at this check" in report.text
    assert "secret" not in report.text
    await far.close()
