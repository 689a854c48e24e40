"""Typesets formulas while the pages are built, as MathML: a browser needs no script for them, and asks for nothing."""

import re

from docutils.nodes import SkipNode
from latex2mathml.converter import convert
from sphinx.errors import SphinxError


def mathml(latex, display):
    """Return a formula as MathML."""
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
    return {"parallel_read_safe": True, "parallel_write_safe": True}
