"""A browser, the host page, and a chat in it; or why there is none."""

import os
import shutil
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright, expect
from tests.build_once import build_once
from tests.ui.chat import BRISK, WITHIN_MS, Chat, chatting
from tests.ui.studio import Studio

from kie_runway.ledger.records import Entry
from kie_runway.medians import Medians
from kie_runway.pace import Pace

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NODE_MODULES = ROOT / "tests" / "node" / "node_modules"
ESBUILD = NODE_MODULES / ".bin" / "esbuild"
NO_CHROMIUM = "needs Chromium in the PATH: apt-get install chromium"
NO_PACKAGES = (
    "needs node packages: npm install --prefix tests/node "
    "--no-audit --no-fund --no-package-lock --loglevel=error"
)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
)


@pytest.fixture(name="script", scope="session")
def _script() -> bytes:
    """The host page's script, with the packages that it imports."""
    if not ESBUILD.exists():
        pytest.fail(NO_PACKAGES)
    bundling = subprocess.run(
        [
            *(str(ESBUILD), str(HERE / "host.js"), "--bundle", "--minify", "--format=esm"),
            *("--log-level=warning", "--tsconfig-raw={}"),  # the paths in ours are for tsc
        ],
        env={"NODE_PATH": str(NODE_MODULES), "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    )
    return bundling.stdout


@pytest.fixture(name="browser", scope="session")
async def _browser() -> AsyncGenerator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.fail(NO_CHROMIUM)
    expect.set_options(timeout=WITHIN_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        await browser.close()


@pytest.fixture(name="studio", scope="session")
def _studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    return Studio(tmp_path_factory.mktemp("clips"))


@pytest.fixture(autouse=True)
def _build_once(monkeypatch: pytest.MonkeyPatch) -> None:
    build_once(monkeypatch)


@pytest.fixture(name="usual_s")
def _usual_s(monkeypatch: pytest.MonkeyPatch) -> float:
    """How long videos usually take, as if the ledger had seen enough to know."""
    seconds = 70.0

    def usual(_medians: Medians, _entry: Entry) -> float:
        return seconds

    monkeypatch.setattr(Medians, "of", usual)
    return seconds


@pytest.fixture(name="pace")
def _pace() -> Pace:
    """When the server looks at tasks; tests that need another one give their own."""
    return BRISK


@pytest.fixture(name="quiet_chat")
async def _quiet_chat(
    browser: Browser, script: bytes, studio: Studio, monkeypatch: pytest.MonkeyPatch, pace: Pace
) -> AsyncGenerator[Chat]:
    """A chat whose host is not connected yet."""
    async with chatting(browser, script, studio, monkeypatch, pace=pace) as chat:
        yield chat
        chat.check()


@pytest.fixture(name="chat")
async def _chat(quiet_chat: Chat) -> Chat:
    """A chat whose host is connected; afterwards the browser must have nothing to complain of."""
    await quiet_chat.connect()
    return quiet_chat
