"""The README's Python runs as it stands."""

import doctest
import re
from pathlib import Path

README = (Path(__file__).parent.parent / "README.md").read_text()
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


def test_links_lead_somewhere():
    root = Path(__file__).parent.parent
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (root / target).exists(), target
