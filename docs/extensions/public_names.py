"""The reference: which modules have a page in it, and what stands on that page.

A page is a file of docs/api that says ``.. public-names:: npcnn.functional``.  What appears there is read from
the module, so a new function or layer is on its page without anybody having to think of it.  For a new module, add a
page; a test says so when one is missing.

A name is public if its module lists it in ``__all__``, or, in a module without that list, if it is a function or class
that is defined there and does not begin with an underscore.
"""

import importlib
import inspect

from docutils.parsers.rst import Directive
from docutils.statemachine import StringList


def public_names(module):
    """Return the public names of a module, in alphabetical order; modules in it are left out, they have own pages.

    Parameters
    ----------
    module : module
    """
    if hasattr(module, "__all__"):
        names = list(module.__all__)
    else:
        names = [name for name, thing in vars(module).items() if _defined_in(module, name, thing)]
    return sorted((name for name in names if not inspect.ismodule(getattr(module, name))), key=str.lower)


def _defined_in(module, name, thing):
    is_code = inspect.isfunction(thing) or inspect.isclass(thing)
    return is_code and not name.startswith("_") and thing.__module__ == module.__name__


def directive_for(thing):
    """Return the lines of reStructuredText, with a place for the full name, that document a thing."""
    if inspect.isclass(thing):
        kind = "autoexception" if issubclass(thing, BaseException) else "autoclass"
        return [f".. {kind}:: {{}}", "   :members:", "   :show-inheritance:", ""]
    kind = "autofunction" if callable(thing) else "autodata"
    return [f".. {kind}:: {{}}", ""]


class PublicNames(Directive):
    """``.. public-names:: MODULE``: what the module is for, a table of its public names, and each with its docstring.

    What `npcnn` itself hands on is entered in the index under that name too: ``npcnn.Conv2D`` leads to
    ``npcnn.layers.Conv2D``.
    """

    required_arguments = 1

    def run(self):
        """Return the nodes of the page."""
        module = importlib.import_module(self.arguments[0])
        names = public_names(module)
        lines = [f".. automodule:: {module.__name__}", ""]
        if module.__name__ == "npcnn":  # what it hands on is documented where it is made
            names = [name for name in names if not name.startswith("__")]
            lines += ["", ".. py:currentmodule:: None", "", ".. autosummary::", "   :nosignatures:", ""]
            lines += [f"   ~{_home(name)}" for name in names]
        else:
            lines += ["", ".. autosummary::", "   :nosignatures:", "", *(f"   {name}" for name in names), ""]
            for name in names:
                lines += [line.format(f"{module.__name__}.{name}") for line in directive_for(getattr(module, name))]
        section = self.state.parent
        self.state.nested_parse(StringList(lines, source=module.__file__), self.content_offset, section)
        return []


def _home(name):
    """Return where a name of `npcnn` is documented: the shortest public module that has it."""
    import npcnn

    thing = getattr(npcnn, name)
    module = thing.__module__
    while module.count(".") > 1:  # npcnn.layers.convolution is read as npcnn.layers
        module = module.rpartition(".")[0]
    return f"{module}.{name}"


def name_at_the_top(app, env):
    """Enter the names that `npcnn` hands on: each leads to where it is documented."""
    import npcnn

    python = env.get_domain("py")
    for name in public_names(npcnn):
        if name.startswith("__"):
            continue
        entry = python.objects.get(_home(name))
        if entry is None:
            raise LookupError(f"npcnn.{name} is documented nowhere: {_home(name)} is on no page of docs/api")
        python.objects.setdefault(f"npcnn.{name}", entry._replace(aliased=True))


def keep_formulas(app, what, name, thing, options, lines):
    """Let the indented lines of a docstring stand as they are written: formulas and commands, not quotations."""
    for number in range(len(lines) - 1, 0, -1):
        before, indented = lines[number - 1], lines[number].startswith("    ")
        if indented and not before.strip() and _prose_before(lines[:number]):
            lines[number:number] = ["::", ""]


def _prose_before(lines):
    """Return whether the last line that is not empty is flush left, and no section of numpydoc has begun."""
    written = [line for line in lines if line.strip()]
    return bool(written) and not written[-1].startswith(" ") and not any(set(line) == {"-"} for line in written)


def what_others_put_there(app, what, name, thing, skip, options):
    """Leave out functions of a class that another library made: scikit-learn gives some to each of its classifiers."""
    return True if inspect.isfunction(thing) and thing.__module__.partition(".")[0] != "npcnn" else None


def setup(app):
    """Tell Sphinx of all this; it calls this function by its name."""
    app.add_directive("public-names", PublicNames)
    app.connect("autodoc-process-docstring", keep_formulas, priority=100)  # before numpydoc
    app.connect("autodoc-skip-member", what_others_put_there)
    app.connect("env-updated", name_at_the_top)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
