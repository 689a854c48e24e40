"""What the command lines share: options that a run remembers, commands to copy, errors in one line."""

import argparse
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import npcnn as nn
from npcnn.train.command_line import above_zero, at_least, command, exit_status, parse_run


def parse(*arguments, fixed=("lr",)):
    parser = argparse.ArgumentParser(prog="program")
    parser.add_argument("--lr", type=above_zero, default=0.5)
    parser.add_argument("--steps", type=at_least(1), default=10)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--tensorboard", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--resume", type=Path)
    options, cut = parse_run(parser, [str(argument) for argument in arguments], fixed)
    assert cut.parts == options.parts
    return vars(options)


@pytest.fixture
def folder(tmp_path):
    saved = {"lr": 0.25, "steps": 20, "data_dir": "my data", "tensorboard": True, "out": "elsewhere", "more": 1}
    saved["threads"] = 2
    (tmp_path / "settings.json").write_text(json.dumps(saved))
    return tmp_path


def test_without_resume_they_are_the_defaults():
    assert parse("--steps", 3) == {
        "lr": 0.5, "steps": 3, "data_dir": None, "tensorboard": False, "out": None, "resume": None,
        "parts": 1, "threads": None,
    }  # fmt: skip


def test_with_resume_they_are_those_of_the_run_and_those_given(folder):
    run = {"lr": 0.25, "data_dir": Path("my data"), "tensorboard": True, "out": folder, "resume": folder}
    run |= {"parts": 1, "threads": 2}  # it is from before there were parts
    assert parse("--resume", folder) == run | {"steps": 20}
    assert parse("--resume", folder, "--steps", 30, "--lr", 0.25) == run | {"steps": 30}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--lr", 0.5), "--lr of the run in {} is 0.25, got 0.5; it cannot change when a run goes on"),
        (("--out", "a"), "--out a and --resume exclude each other: the results go to {}"),
    ],
)
def test_what_cannot_change_is_refused(folder, arguments, message):
    with pytest.raises(ValueError) as caught:
        parse("--resume", folder, *arguments)
    assert message.format(folder) in str(caught.value)


def test_settings_of_another_program_are_refused(folder):
    (folder / "settings.json").write_text('{"lr": 0.25}')
    with pytest.raises(ValueError, match=r"settings\.json is damaged \(it has no 'steps'\)"):
        parse("--resume", folder)


@pytest.mark.parametrize("arguments", [("--lr", "nan"), ("--lr", "inf"), ("--lr", "0"), ("--steps", "-1")])
def test_numbers_are_checked(arguments, capsys):
    with pytest.raises(SystemExit):
        parse(*arguments)
    assert "must be a" in capsys.readouterr().err


def test_a_command_is_quoted_for_a_shell():
    told = command("python a.py", {"data_dir": Path("it's; $HOME"), "lr": 1e-4, "threads": None})
    assert shlex.split(told) == ["python", "a.py", "--data-dir", "it's; $HOME", "--lr", "0.0001"]


def test_errors_of_the_user_are_one_line_and_others_are_not_hidden(capsys):
    def fails(error):
        raise error

    assert exit_status("a.py", fails, ValueError("two\nlines")) == 2
    assert capsys.readouterr().err == "a.py: error: two lines\n"
    assert exit_status("a.py", fails, nn.DataError("damaged")) == 2
    assert exit_status("a.py", fails, KeyboardInterrupt()) == 130
    assert exit_status("a.py", lambda arguments: 143) == 143
    with pytest.raises(ZeroDivisionError):
        exit_status("a.py", fails, ZeroDivisionError())


def test_what_drawings_need_is_named_where_it_is_missing(capsys):
    def fails(module):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    for module, told in (("PIL", True), ("matplotlib.figure", True), ("tensorboardX", False)):
        assert exit_status("a.py", fails, module) == 2
        assert ('pip install ".[plot]"' in capsys.readouterr().err) == told


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_reader_that_has_seen_enough_ends_it_quietly(lines):
    """As in `... | head -1`, whether the rest comes before the end or at it."""
    main = f"lambda arguments: print('a\\n' * {lines})"
    program = f"import sys; from npcnn.train.command_line import exit_status; sys.exit(exit_status('a.py', {main}))"
    command = [sys.executable, "-c", program]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, env=environment, stdout=write, stderr=subprocess.PIPE, text=True, timeout=600)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")
