"""Look at the built site: every link leads somewhere, the search finds, and every page opens well, wide and on a phone.

The links are followed in the files; the rest is done by Chromium.  Where there is none, the script says so, and exits
with status 0 if the links are right.
"""

import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from playwright.sync_api import sync_playwright

SITE = Path(__file__).parent.parent / "build" / "docs" / "html"
# Of the pages that show a file of the source, one of each kind: they are made alike.
SOURCE_PAGES = ("index", "npcnn/layers/convolution.py", "npcnn/kernels/convolution.pyx", "csrc/gemm.inc.c")
# Whether a dollar or a backslash stands in the text, outside of code.
LEFT_OVER = """() => {
    const article = document.querySelector("article").cloneNode(true);
    article.querySelectorAll("pre, code, iframe").forEach((code) => code.remove());
    return /[$\\\\]/.test(article.textContent);
}"""
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


class Links(HTMLParser):
    """Where a page leads to, and which places of it can be led to."""

    def __init__(self, path):
        super().__init__()
        self.targets, self.anchors = set(), set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        """Take note of one element."""
        for name, value in attributes:
            if name in ("href", "src") and value:
                self.targets.add(value)
            elif name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value)


def broken_links(paths):
    """Return what is wrong with the links of all pages: to a file or a place that is not there."""
    links = {path: Links(path) for path in paths}
    complaints = []
    for path, page in links.items():
        for target in sorted(page.targets):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            leads_to = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not leads_to.is_file():
                complaints.append(f"{path.relative_to(SITE)}: {target} leads nowhere")
            elif parts.fragment and leads_to in links and unquote(parts.fragment) not in links[leads_to].anchors:
                complaints.append(f"{path.relative_to(SITE)}: {target} names no place of that page")
    return complaints


def opened(browser, path, width, complaints):
    """Return a page in a window of that width; what it says or asks for goes to `complaints`."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: request.url.startswith("http") and complaints.append(request.url))
    page.goto(path)
    return page


def complaints_of(browser, path, width):
    """Return what is wrong with a page, opened in a window of that width."""
    complaints = []
    page = opened(browser, path.as_uri(), width, complaints)
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
    return [f"{path.relative_to(SITE)} at {width}: {complaint}" for complaint in complaints]


def search_complaints(browser):
    """Return what is wrong with the search: it has to find a function and a word of a chapter, from the files alone."""
    complaints = []
    for word, found in (("max_pool2d_backward", "api/functional.html"), ("receptive", "tour/08-receptive-field.html")):
        page = opened(browser, f"{(SITE / 'search.html').as_uri()}?q={word}", 1280, complaints)
        page.wait_for_selector("#search-results p.search-summary:not(:empty)")
        page.wait_for_timeout(500)
        results = page.eval_on_selector_all("#search-results li a", "links => links.map((link) => link.href)")
        if not any(found in result for result in results):
            complaints.append(f"{word} does not lead to {found}, only to {results}")
        page.close()
    return [f"the search: {complaint}" for complaint in complaints]


def main():
    """Look at all pages; return the exit status."""
    everything = sorted(SITE.rglob("*.html"))
    documents = [path for path in everything if path.relative_to(SITE).parts[0] not in ("source", "_static")]
    complaints = broken_links(everything)
    chromium = shutil.which("chromium")
    if chromium is not None:
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
            for path in [*documents, *(SITE / "source" / f"{name}.html" for name in SOURCE_PAGES)]:
                if path.name != "search.html":
                    complaints += [text for width in (1280, 390) for text in complaints_of(browser, path, width)]
            complaints += search_complaints(browser)
            browser.close()
    looked_at = "no Chromium: they were not looked at" if chromium is None else f"{len(documents)} were looked at"
    print(*complaints, f"{len(everything)} pages, {looked_at}; complaints: {len(complaints)}", sep="\n")
    return 1 if complaints or not documents else 0


if __name__ == "__main__":
    sys.exit(main())
