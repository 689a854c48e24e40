"""The source as pages of the site, so that a reader without the repository can follow a name through all its rooms.

Every file of the folders below becomes a page with numbered lines.  A link of a document to such a file, which leads to
the file itself where the repository is read, leads to its page here; so does "[source]" beside every function.
"""

import importlib
import inspect
from pathlib import Path

from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name, guess_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx.addnodes import download_reference
from sphinx.transforms import SphinxTransform

ROOT = Path(__file__).parents[2]
FOLDERS = ("npcnn", "csrc", "examples", "benchmarks", "tests", "docs/changes")
SUFFIXES = {".py", ".pyi", ".pyx", ".pxd", ".c", ".h", ".js", ".css", ".html", ".sh", ".diff"}
SINGLE = ("setup.py", "pyproject.toml", "Makefile", "conftest.py", "LICENSE")


def source_files():
    """Return the paths, relative to the repository, of all files that have a page."""
    generated = {path.with_suffix(".c") for path in (ROOT / "npcnn").rglob("*.pyx")}
    in_folders = [
        path.relative_to(ROOT)
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in SUFFIXES and path not in generated
    ]
    return [*in_folders, *map(Path, SINGLE)]


def page_name(path):
    """Return the page of a file, given relative to the repository."""
    return f"source/{path.as_posix()}"


class LinksToSource(SphinxTransform):
    """Let links to files of the repository lead to their pages, before Sphinx copies the files as downloads."""

    default_priority = 100

    def apply(self, **kwargs):
        """Change the links of one document."""
        here = Path(self.env.doc2path(self.env.docname)).parent
        known = set(source_files())
        for node in list(self.document.findall(download_reference)):
            target = node["reftarget"]
            path = Path(self.env.srcdir, target.lstrip("/")) if target.startswith("/") else here / target
            path = path.resolve()
            if not path.is_relative_to(ROOT) or path.relative_to(ROOT) not in known:
                continue
            up = "../" * self.env.docname.count("/")
            link = nodes.reference("", "", refuri=f"{up}{page_name(path.relative_to(ROOT))}.html", internal=True)
            link += node.children
            node.replace_self(link)


def code_page(path):
    """Return the HTML of a file."""
    text = (ROOT / path).read_text()
    try:
        lexer = get_lexer_by_name("cython") if path.suffix in {".pyx", ".pxd"} else guess_lexer_for_filename(path, text)
    except ClassNotFound:
        lexer = get_lexer_by_name("text")
    # Every line has an anchor of its own, L12, and its number, which cannot be selected with the code.
    formatter = HtmlFormatter(linenos="inline", lineanchors="L", anchorlinenos=True, cssclass="highlight source")
    code = highlight(text, lexer, formatter).replace('"L-', '"L').replace('"#L-', '"#L')
    return f"<h1>{path.as_posix()}</h1>\n{code}"


def list_of_files():
    """Return the HTML of the page that lists them, a folder after the other."""
    parts, folder = ["<h1>The source</h1>"], None
    for path in sorted(source_files(), key=lambda path: (path.parent, path.name)):
        if path.parent != folder:
            parts.append(f"{'</ul>' if folder is not None else ''}<h2>{path.parent.as_posix()}/</h2><ul>")
            folder = path.parent
        parts.append(f'<li><a href="{path.as_posix()}.html">{path.name}</a></li>')
    return "\n".join(parts).replace("<h2>./</h2>", "<h2>at the top</h2>") + "</ul>"


def pages(app):
    """Yield all pages."""
    yield "source/index", {"title": "The source", "body": list_of_files()}, "page.html"
    for path in source_files():
        yield page_name(path), {"title": path.name, "body": code_page(path)}, "page.html"


def link_to_source(domain, info):
    """Return the link of "[source]", or None for what is not ours or has no line of its own."""
    thing = importlib.import_module(info["module"])
    for part in info["fullname"].split("."):
        thing = getattr(thing, part, None)
    thing = thing.fget if isinstance(thing, property) else thing
    try:
        file, (_, line) = inspect.getsourcefile(inspect.unwrap(thing)), inspect.getsourcelines(inspect.unwrap(thing))
    except (TypeError, OSError):
        return None
    path = Path(file).resolve()
    # All pages of the reference lie in one folder.
    return f"../{page_name(path.relative_to(ROOT))}.html#L{line}" if path.is_relative_to(ROOT / "npcnn") else None


def setup(app):
    """Tell Sphinx of all this; it calls this function by its name."""
    app.add_transform(LinksToSource)
    app.connect("html-collect-pages", pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
