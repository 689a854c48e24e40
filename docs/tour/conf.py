"""How Sphinx builds the tour: `make tour`.  Every chapter is a notebook in MyST Markdown, and is executed."""

import atexit
import logging
import os
import re
import shutil
import tempfile
from pathlib import Path

from docutils.nodes import SkipNode
from latex2mathml.converter import convert
from sphinx.errors import SphinxError

# Nothing that a reader has set up for IPython or matplotlib changes the pages.
settings = tempfile.mkdtemp()
atexit.register(shutil.rmtree, settings, ignore_errors=True)
os.environ["IPYTHONDIR"] = os.environ["MPLCONFIGDIR"] = settings
import matplotlib.font_manager  # noqa: E402, F401 - makes its list of fonts here, or the first chapter would say so

# The kernel that runs the chapters warns of other users on this machine who could read along; there is nothing secret.
profile = Path(settings, "profile_default")
profile.mkdir()
Path(profile, "ipython_kernel_config.py").write_text("c = get_config()\nc.IPKernelApp.log_level = 'ERROR'\n")
# What the theme imports lets every library tell what it does; that a chapter begins is not news.
logging.getLogger("traitlets").setLevel(logging.WARNING)

project = "A tour of convolution"
extensions = ["myst_nb"]
myst_enable_extensions = ["dollarmath"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["tour.css"]
html_math_renderer = "mathml"
html_title = "npcnn: a tour of convolution"
html_copy_source = False  # the notebooks are the source to take along
html_show_copyright = False
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True  # what one cell prints stands in one box, however long it takes
nb_output_stderr = "warn"  # a chapter that complains is not fit to be read


def mathml(latex, display):
    """Typeset a formula while the page is built: the browser needs no script for it, and asks for nothing."""
    typeset = convert(latex.replace("{aligned}", "{align*}"), display=display)
    # What the converter does not know, it takes for the name of a variable.
    if "<mi>\\" in typeset or "<mi>&</mi>" in typeset:
        raise SphinxError(f"latex2mathml does not know a command in the formula {latex}")
    return re.sub(r"<mo>([a-z]+)</mo>", r"<mi>\1</mi>", typeset)  # max is a name; an operator has room on both sides


def visit_inline(writer, node):
    """Write a formula that stands in a line of text."""
    writer.body.append(mathml(node.astext(), "inline"))
    raise SkipNode  # what is in it, the formula as text, is not written again


def visit_block(writer, node):
    """Write a formula that stands by itself."""
    writer.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>')
    raise SkipNode


def keep_marks(app, page, template, context, doctree):
    """Hold a formula and the mark after it together: Chromium would begin a line with the comma."""
    with_mark = r'(<math [^>]*display="inline">(?:(?!</math>).)*</math>[,.;:)]+)'
    context["body"] = re.sub(with_mark, r'<span class="unbroken">\1</span>', context.get("body", ""))


def setup(app):
    """Tell Sphinx of all this; it calls this function by its name."""
    app.add_html_math_renderer("mathml", inline_renderers=(visit_inline, None), block_renderers=(visit_block, None))
    app.connect("html-page-context", keep_marks)
