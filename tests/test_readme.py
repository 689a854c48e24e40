"""The Python of the README and of the documents runs as it stands."""

import doctest
import re
from pathlib import Path

import numpy as np
import pytest

import npcnn as nn

ROOT = Path(__file__).parent.parent
AT_THE_TOP = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "benchmarks/README.md"]
PAGES = sorted((ROOT / "docs").glob("*.md"))
DOCUMENTS = [*(ROOT / name for name in AT_THE_TOP), *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(path, language):
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), flags=re.DOTALL | re.MULTILINE)


def programs(path):
    """Return the blocks of Python that are neither sessions nor quoted from a file."""
    return [block for block in blocks(path, "python") if not block.startswith((">>>", "# npcnn/"))]


def with_sessions():
    return [path for path in [ROOT / "README.md", *PAGES] if re.search("^ *>>> ", path.read_text(), re.MULTILINE)]


@pytest.mark.parametrize("name", ["README.md", "docs/first-network.md"])
def test_the_first_program_runs(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (program,) = programs(ROOT / name)
    exec(compile(program, name, "exec"), {})
    assert "9,239,040" in capsys.readouterr().out
    assert (tmp_path / "weights.safetensors").exists()


def test_a_broken_off_run_is_resumed_as_the_document_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (program,) = programs(ROOT / "docs" / "resume.md")
    exec(compile(program, "resume.md", "exec"), {})
    assert capsys.readouterr().out.endswith("the same bits: True\n")
    assert (tmp_path / "broken-off" / "result.json").exists()


def test_every_program_is_run_by_a_test_above_or_below():
    tested = {"README.md", "first-network.md", "resume.md", "your-own-pictures.md"}
    tested |= {"other-libraries.md", "many-machines.md"}  # by test_other_libraries.py, test_batch_parts.py
    assert {path.name for path in [ROOT / "README.md", *PAGES] if programs(path)} == tested


def test_no_placeholder_is_left():
    assert not re.search(r"@[A-Z]+@", (ROOT / "README.md").read_text())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    prose = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)#]+)\)", prose):
        assert target.startswith("http") or (document.parent / target).exists(), target


@pytest.mark.parametrize("document", with_sessions(), ids=lambda path: path.name)
def test_documents_print_what_they_say(document, tmp_path, monkeypatch):
    for package in ("onnx", "onnxruntime"):
        if f"import {package}" in document.read_text():
            pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    text = re.sub("^```.*$", "", document.read_text(), flags=re.MULTILINE)
    parsed = doctest.DocTestParser().get_doctest(text, {}, document.name, None, 0)
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
    (program,) = programs(ROOT / "docs" / "your-own-pictures.md")
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


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.name)
def test_what_is_quoted_stands_in_its_file(document):
    for block in [*blocks(document, "python"), *blocks(document, "c")]:
        first, *lines = block.splitlines()
        if quoted := re.fullmatch(r"(?:#|//) ((?:npcnn|csrc)/\S+)", first):
            there = {line.strip() for line in (ROOT / quoted[1]).read_text().splitlines()}
            assert {line.strip() for line in lines} <= there, quoted[1]


def test_a_quotation_is_recognised():
    text = (ROOT / "docs" / "one-convolution.md").read_text()
    assert len(re.findall(r"^(?:#|//) (?:npcnn|csrc)/", text, re.MULTILINE)) >= 5
