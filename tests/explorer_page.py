"""The explorer's page, for the tests that read what it holds or open it in Chromium."""

import base64
import contextlib
import json
import re
import shutil

import numpy as np
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HANG = 1_800_000  # milliseconds; it only ends what would never end
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


def page_data(explanation):
    """The steps as the page holds them, their arrays decoded."""
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', explanation.html(), re.DOTALL)[1]
    data = json.loads(text)
    for step in data["steps"]:
        for key in ("y", "dy", "w", "b"):
            if step[key] is not None:
                step[key] = np.frombuffer(base64.b64decode(data["arrays"][step[key]]), "<f4").astype(np.float64)
        step["y"], step["dy"] = step["y"].reshape(step["shape"]), step["dy"].reshape(step["shape"])
    return data


@contextlib.contextmanager
def chromium():
    """Skip the test where Playwright or Chromium is missing."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=flags, timeout=HANG)
        yield browser
        browser.close()


def new_page(browser, **options):
    page = browser.new_page(**options)
    page.set_default_timeout(HANG)
    return page


def open_page(browser, explanation, path, **options):
    page = new_page(browser, **options)
    page.goto(explanation.save(path).as_uri())
    return page


@contextlib.contextmanager
def quiet_page(browser, explanation, path, **options):
    """The page, opened; when it is closed, nothing may have been said on the console or asked of a network."""
    complaints = []
    page = new_page(browser, **options)
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    path = explanation.save(path)
    page.on("request", lambda request: request.url != path.as_uri() and complaints.append(request.url))
    page.clock.install(time=0)
    page.goto(path.as_uri())
    page.clock.pause_at(24 * 3600)  # from here on time passes only where a test lets it
    yield page
    page.close()
    assert complaints == []


def assert_every_view_fits(page, explanation, size):
    """Open every layer forward and backward: nothing scrolls sideways, and no mark lies outside its map."""
    page.set_viewport_size(size)
    for view in ("forward", "backward"):
        for k, step in enumerate(explanation.steps):
            page.evaluate(f"Explorer.open({k}, '{view}')")
            assert page.inner_text("#panel h2").startswith(f"{step.name}: ")
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], (view, step.name)
            outside = page.evaluate(
                """[...document.querySelectorAll("#panel b")].filter((mark) => {
                    const a = mark.getBoundingClientRect(), b = mark.parentElement.getBoundingClientRect();
                    return a.left < b.left - 3 || a.right > b.right + 3 || a.top < b.top - 3 || a.bottom > b.bottom + 3;
                }).length"""
            )
            assert outside == 0, (view, step.name)


def drawn_places(rng, shape, count):
    """Return so many random places in an array of `shape`, (count, axes)."""
    return np.stack([rng.integers(0, length, count) for length in shape], axis=1)
