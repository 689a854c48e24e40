"""How Sphinx builds the site: `make docs`.  The chapters of the tour are notebooks in MyST Markdown, and are run."""

import atexit
import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path

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

sys.path.insert(0, str(Path(__file__).parent / "extensions"))
from source_pages import link_to_source as linkcode_resolve  # noqa: E402, F401 - sphinx.ext.linkcode asks for this name

project = "npcnn"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.linkcode",
    "numpydoc",
    "formulas",
    "public_names",
    "source_pages",
]
exclude_patterns = ["extensions"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_title = "npcnn"
html_copy_source = False  # the notebooks are the source to take along
html_show_copyright = False
# The search runs in the browser, over an index that is one of the files; excerpts of the pages it would have to fetch,
# which a browser refuses to pages that were opened from a disk.
html_show_search_summary = False
highlight_language = "none"  # an indented block is a table, a formula or a command; >>> is seen as a session

default_role = "py:obj"  # in docstrings, `name` is a link where there is something of that name
add_module_names = False
autodoc_typehints = "none"  # the docstrings say types, shapes and dtypes in words
autosummary_generate = False
numpydoc_show_class_members = False
toc_object_entries_show_parents = "hide"

nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True  # what one cell prints stands in one box, however long it takes
nb_output_stderr = "warn"  # a chapter that complains is not fit to be read
