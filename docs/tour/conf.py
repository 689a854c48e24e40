"""How Sphinx builds the tour: `make tour`.  Every chapter is a notebook in MyST Markdown, and is executed."""

import atexit
import logging
import os
import shutil
import tempfile
from pathlib import Path

# The kernel that runs the chapters warns of other users on this machine who could read along; there is nothing secret.
os.environ["IPYTHONDIR"] = tempfile.mkdtemp()
atexit.register(shutil.rmtree, os.environ["IPYTHONDIR"], ignore_errors=True)
profile = Path(os.environ["IPYTHONDIR"], "profile_default")
profile.mkdir()
Path(profile, "ipython_kernel_config.py").write_text("c = get_config()\nc.IPKernelApp.log_level = 'ERROR'\n")
# What the theme imports lets every library tell what it does; that a chapter begins is not news.
logging.getLogger("traitlets").setLevel(logging.WARNING)

project = "A tour of convolution"
extensions = ["myst_nb"]
html_theme = "furo"
html_title = "npcnn: a tour of convolution"
html_copy_source = False  # the notebooks are the source to take along
html_show_copyright = False
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
