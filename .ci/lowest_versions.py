"""Print the lowest versions that pyproject.toml allows of all that building, running and testing need, one a line.

python .ci/lowest_versions.py > lowest.txt && python -m pip install -r lowest.txt
"""

import pathlib
import tomllib

EXTRAS = ("onnx", "plot", "sklearn", "tensorboard", "test")  # what checks and draws documents is used by nobody else

project = tomllib.loads((pathlib.Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
needed = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
for extra in EXTRAS:
    needed += project["project"]["optional-dependencies"][extra]
print(*sorted({requirement.replace(">=", "==") for requirement in needed}), sep="\n")
