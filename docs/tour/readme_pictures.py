"""Copy the pictures that other pages show out of the tour that was built: `make readme-pictures`.

A cell with the tag readme-NAME gives docs/NAME.png.
"""

import base64
import json
import sys
from pathlib import Path

DOCS = Path(__file__).parent.parent
NOTEBOOKS = DOCS.parent / "build" / "docs" / "jupyter_execute" / "tour"


def main():
    """Write the pictures, print their names; return the exit status."""
    for notebook in sorted(NOTEBOOKS.glob("*.ipynb")):
        for cell in json.loads(notebook.read_text())["cells"]:
            for tag in cell["metadata"].get("tags", []):
                if not tag.startswith("readme-"):
                    continue
                (png,) = (out["data"]["image/png"] for out in cell["outputs"] if "image/png" in out.get("data", {}))
                path = DOCS / f"{tag.removeprefix('readme-')}.png"
                path.write_bytes(base64.b64decode(png))
                print(f"{path.relative_to(DOCS.parent)} from {notebook.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
