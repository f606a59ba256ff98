"""What axe-core finds wrong with a part of a page for those who do not see it well, or use no mouse."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page


@cache
def _script() -> str:
    from axe_playwright_python.sync_playwright import Axe

    return str(Axe().axe_script)


def violations(page: Page, selector: str, *, seconds: float = 60) -> list[str]:
    """Violations within what a CSS selector finds, one a line: rule, how bad, where. Raises when nothing is found."""
    page.evaluate(_script())
    page.evaluate(
        """selector => {
            window.axeAnswer = null;
            window.axe.run(selector, {resultTypes: ['violations']}).then(
                found => { window.axeAnswer = {found: found.violations, rules: found.passes.length}; },
                error => { window.axeAnswer = {error: String(error)}; },
            );
        }""",
        selector,
    )
    page.wait_for_function("() => window.axeAnswer !== null", timeout=1000 * seconds)
    answer = page.evaluate("() => window.axeAnswer")
    assert "error" not in answer, answer
    assert answer["rules"] > 5, "axe-core looked at next to nothing"
    return [
        f"{rule['id']} ({node['impact']}): {' '.join(map(str, node['target']))}\n    {node['failureSummary']}"
        for rule in answer["found"]
        for node in rule["nodes"]
    ]
