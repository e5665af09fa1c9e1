"""A process of pytest-xdist that ends in the middle of a test is replaced, and the test runs again, once.

pytest-xdist 3.8 would wait for ever instead: it gives the replacement modules without a test left to run.
"""

from collections import Counter
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling


class Restarting(LoadFileScheduling):  # type: ignore[misc]
    """Each file's tests on one process; a test that ends its process twice has failed."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        self._crashes: Counter[str] = Counter()

    def remove_node(self, node: Any) -> str | None:
        crashed: str | None = super().remove_node(node)
        if crashed is not None:
            self._crashes[crashed] += 1
            self.config.get_terminal_writer().line(f"\na process of the tests ended in {crashed}")
        has_failed = crashed is not None and self._crashes[crashed] > 1
        for scope, tests in list(self.workqueue.items()):
            if has_failed and crashed in tests:
                tests[crashed] = True  # it is done
            if all(tests.values()):
                del self.workqueue[scope]
        return crashed if has_failed else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return Restarting(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object | None) -> None:
    """Says how the process ended: below 0 is the number of a signal."""
    if error:
        code = node.gateway._io.popen.wait(timeout=30)
        node.config.get_terminal_writer().line(f"\nprocess {node.gateway.id} of the tests ended with {code}")
