"""The Python of the README and of the documents runs as it stands."""

import doctest
import re
from pathlib import Path

import numpy as np
import pytest

import npcnn as nn

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "benchmarks" / "README.md"]
README = DOCUMENTS[0].read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_programs_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    programs = [block for block in BLOCKS if not block.startswith(">>>")]
    assert programs
    for program in programs:
        exec(compile(program, "README.md", "exec"), {})
    assert "9,239,040" in capsys.readouterr().out
    assert (tmp_path / "weights.safetensors").exists()


def test_sessions_print_what_they_say():
    sessions = "\n".join(block for block in BLOCKS if block.startswith(">>>"))
    parsed = doctest.DocTestParser().get_doctest(sessions, {}, "README.md", "README.md", 0)
    assert len(parsed.examples) >= 4
    assert doctest.DocTestRunner().run(parsed).failed == 0


def test_no_placeholder_is_left():
    assert not re.search(r"@[A-Z]+@", README)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    prose = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)#]+)\)", prose):
        assert target.startswith("http") or (document.parent / target).exists(), target


@pytest.mark.parametrize(
    "name", ["how-the-core-works.md", "other-libraries.md", "write-a-layer.md", "your-own-pictures.md"]
)
def test_documents_print_what_they_say(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = re.sub("^```.*$", "", (ROOT / "docs" / name).read_text(), flags=re.MULTILINE)
    parsed = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
    assert parsed.examples
    assert doctest.DocTestRunner().run(parsed).failed == 0


def test_a_folder_of_pictures_as_the_document_says(tmp_path, monkeypatch, capsys):
    Image = pytest.importorskip("PIL.Image")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, brightness in (("dark", 20), ("bright", 200)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (30, 20), (brightness, brightness, 5 * number)).save(f"pictures/{name}/{number}.jpg")
    Image.new("RGB", (30, 20), (210, 210, 30)).save("new.jpg")
    text = (ROOT / "docs" / "your-own-pictures.md").read_text()
    (program,) = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if ">>>" not in block]
    assert len([line for line in program.splitlines() if line]) <= 12
    seeded = program.replace("len(data.classes))", "len(data.classes), rng=rng)", 1).replace(
        "batch_size=32", "batch_size=8"
    )
    exec(compile(seeded, "your-own-pictures.md", "exec"), {"rng": np.random.default_rng(0)})
    assert capsys.readouterr().out.endswith("bright\n")


def test_the_core_explained_says_what_the_library_says():
    text = (ROOT / "docs" / "how-the-core-works.md").read_text()
    quoted = [line.strip() for line in text.splitlines() if re.match(r" +(layer |\d_|total )", line)]
    summary = [line.strip() for line in nn.models.cifar_separable().summary((24, 24, 3)).splitlines()]
    assert len(quoted) == 5
    assert set(quoted) <= set(summary)
