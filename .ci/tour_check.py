"""Open every page of the built tour in Chromium, wide and on a phone: nothing said on the console, nothing requested.

Exits with status 0 and says so where there is no Chromium.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

PAGES = Path(__file__).parent.parent / "build" / "tour" / "html"
# Whether a dollar or a backslash stands in the text, outside of code.
LEFT_OVER = """() => {
    const article = document.querySelector("article").cloneNode(true);
    article.querySelectorAll("pre, code, iframe").forEach((code) => code.remove());
    return /[$\\\\]/.test(article.textContent);
}"""
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def complaints_of(browser, path, width):
    """Return what is wrong with a page, opened in a window of that width."""
    complaints = []
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: request.url.startswith("http") and complaints.append(request.url))
    page.goto(path.as_uri())
    if page.evaluate("document.documentElement.scrollWidth") > width:
        complaints.append("wider than the window")
    if page.evaluate("[...document.images].some((image) => !image.naturalWidth)"):
        complaints.append("a picture is missing")
    if page.evaluate(LEFT_OVER):
        complaints.append("a formula is not typeset")
    for frame in page.frames[1:]:
        if not frame.evaluate("Explorer.steps.length"):
            complaints.append("the explorer is empty")
    page.close()
    return [f"{path.name} at {width}: {complaint}" for complaint in complaints]


def main():
    """Look at all pages; return the exit status."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("no Chromium: the pages of the tour were not looked at")
        return 0
    chapters = sorted(PAGES.glob("[0-9]*.html"))
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        complaints = [
            complaint
            for path in [PAGES / "index.html", *chapters]
            for width in (1280, 390)
            for complaint in complaints_of(browser, path, width)
        ]
        browser.close()
    print(*complaints, sep="\n") if complaints else print(f"{len(chapters)} chapters: nothing to complain of")
    return 1 if complaints or not chapters else 0


if __name__ == "__main__":
    sys.exit(main())
