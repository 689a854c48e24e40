"""Checkpoints: going on to the bit, and refusing what is damaged, of another training, or in use."""

import hashlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

import npcnn as nn
from npcnn.train import Checkpoints, fit

STEPS = 12


def net_and_optimizer(seed=0):
    rng = np.random.default_rng(seed)
    net = nn.Sequential(
        nn.Conv2D(3, 8, 3, activation="relu", rng=rng),
        nn.MaxPool2D(2),
        nn.Flatten(),
        nn.Dropout(0.3, rng=np.random.default_rng(seed + 1)),
        nn.Dense(32, 3, rng=rng),
    )
    return net, nn.Adam(net, nn.schedules.Cosine(0.01, STEPS))


def batches(start=0):
    """Yield batch after batch, each drawn from its number."""
    for number in range(start, 10**6):
        rng = np.random.default_rng(number)
        yield rng.standard_normal((6, 4, 4, 3)).astype(np.float32), rng.integers(0, 3, 6)


def train(folder, steps=STEPS, seed=0, settings=None, **options):
    """Train from the last checkpoint in `folder`; return the parameters and where it went on."""
    net, optimizer = net_and_optimizer(seed)
    with Checkpoints(folder, net, optimizer, settings=settings, **options) as checkpoints:
        at = checkpoints.resume()
        fit(net, batches(at.step), optimizer, steps=steps, start=at.step, seconds=at.seconds, callbacks=[checkpoints])
    return net.params, at


def assert_same(params, expected):
    assert params.keys() == expected.keys()
    for name, param in params.items():
        np.testing.assert_array_equal(param, expected[name])


def files(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("stop", range(1, STEPS))
def test_going_on_gives_the_bits_of_an_uninterrupted_training(tmp_path, stop):
    whole, _ = train(tmp_path / "whole", every=100)
    train(tmp_path / "parts", steps=stop, every=2)
    threads = nn.get_num_threads()
    nn.set_num_threads(stop % 3 + 1)
    try:
        params, at = train(tmp_path / "parts", every=5)
    finally:
        nn.set_num_threads(threads)
    assert at.step == stop - stop % 2
    assert not at.notice
    assert_same(params, whole)


def test_the_last_few_are_kept(tmp_path):
    train(tmp_path, every=2, keep=2)
    names = [f"step-{step:08d}.{suffix}" for step in (10, 12) for suffix in ("json", "safetensors")]
    assert files(tmp_path) == ["lock", *names]
    stored = {}
    from safetensors.numpy import load

    stored = load((tmp_path / "step-00000012.safetensors").read_bytes())
    assert "net.0_conv2d.w" in stored
    assert "optimizer.m.0_conv2d.w" in stored
    content = json.loads((tmp_path / "step-00000012.json").read_text())
    assert content["step"] == 12
    assert content["generators"]["3_dropout"]["bit_generator"] == "PCG64"
    assert content["config"]["npcnn"] == nn.__version__


def test_without_a_checkpoint_it_begins_at_the_beginning(tmp_path):
    assert train(tmp_path / "new", steps=0)[1] == nn.train.Resumed(0, 0.0, "")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lr": 0.1, "batch": 6}, "batch 7, now 6"),
        ({"lr": 0.1}, "batch 7, now None"),
        ({"lr": 0.1, "batch": 7, "net": "plain"}, "net None, now 'plain'"),
    ],
)
def test_other_settings_are_refused_by_name(tmp_path, settings, words):
    train(tmp_path, steps=2, every=2, settings={"lr": 0.1, "batch": 7})
    with pytest.raises(nn.CheckpointError, match=words):
        train(tmp_path, settings=settings)
    train(tmp_path, settings={"lr": 0.1, "batch": 7})


def test_another_network_is_refused_and_unchanged(tmp_path):
    train(tmp_path, steps=2, every=2)
    net = nn.Sequential(nn.Flatten(), nn.Dense(48, 3, rng=np.random.default_rng(0)))
    before = {name: param.copy() for name, param in net.params.items()}
    optimizer = nn.Adam(net)
    with (
        Checkpoints(tmp_path, net, optimizer) as checkpoints,
        pytest.raises(nn.CheckpointError, match="random generators do not fit"),
    ):
        checkpoints.resume()
    net.children["2_dropout"] = nn.Dropout(0.3)
    net.children["3_dropout"] = net.children.pop("2_dropout")
    with (
        Checkpoints(tmp_path, net, optimizer) as checkpoints,
        pytest.raises(nn.CheckpointError, match=r"net\.1_dense\.w is missing"),
    ):
        checkpoints.resume()
    assert_same(net.params, before)
    assert optimizer.steps == 0


def test_another_version_is_told(tmp_path, monkeypatch):
    train(tmp_path, steps=2, every=2)
    monkeypatch.setattr("npcnn.config.__version__", "9.9")
    assert f"npcnn {nn.__version__}, now 9.9" in train(tmp_path)[1].notice


def test_leftovers_of_a_killed_process_are_deleted(tmp_path):
    train(tmp_path, steps=2, every=2)
    kept = files(tmp_path)
    (tmp_path / ".npcnn-0123456789abcdef.tmp").write_text("{")
    (tmp_path / "step-00000004.safetensors").write_bytes(b"whole, but the JSON file was not written")
    assert train(tmp_path, steps=2, every=100)[1].step == 2
    assert files(tmp_path) == kept


class Temperature(nn.Layer):
    """Multiplies by one number: a parameter without axes."""

    def __init__(self):
        super().__init__()
        self.add_parameter("t", (), nn.initializers.constant(1.5))

    def forward(self, x, training=False):
        self.x = x
        return x * self.params["t"]

    def backward(self, dy, *, need_dx=True):
        self.grads["t"][...] = (dy * self.x).sum()
        return dy * self.params["t"]


def test_a_training_with_a_parameter_without_axes_goes_on(tmp_path):
    def training(steps):
        net = nn.Sequential(nn.Flatten(), nn.Dense(48, 3, rng=np.random.default_rng(0)), Temperature())
        optimizer = nn.Adam(net, 0.1)
        with Checkpoints(tmp_path, net, optimizer, every=2) as checkpoints:
            at = checkpoints.resume()
            fit(net, batches(at.step), optimizer, steps=steps, start=at.step, callbacks=[checkpoints])
        return net.params, at.step

    training(2)
    resumed, start = training(4)
    assert start == 2
    for path in tmp_path.glob("step-*"):
        path.unlink()
    assert_same(resumed, training(4)[0])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), [0.5, float("nan")]])
def test_settings_that_would_never_be_equal_are_refused(tmp_path, value):
    with pytest.raises(ValueError, match=r"settings must be .* without NaN.*'lr'"):
        Checkpoints(tmp_path / "new", *net_and_optimizer(), settings={"lr": value})
    assert not (tmp_path / "new").exists()


def test_checkpoints_of_more_than_eight_digits_are_found(tmp_path):
    net, optimizer = net_and_optimizer()
    steps = [99_999_999, 100_000_000, 100_000_001]
    with Checkpoints(tmp_path, net, optimizer, keep=2) as checkpoints:
        for step in steps:
            checkpoints.save(step, 1.0)
        assert checkpoints.steps() == steps[1:]
        assert checkpoints.resume().step == steps[-1]
    assert len(files(tmp_path)) == 5


@pytest.mark.parametrize("wrong", [{"step": -1}, {"step": 1.5}, {"seconds": float("nan")}, {"seconds": -1.0}])
def test_a_checkpoint_that_could_not_be_read_is_not_written(tmp_path, wrong):
    with (
        Checkpoints(tmp_path, *net_and_optimizer()) as checkpoints,
        pytest.raises((TypeError, ValueError), match=next(iter(wrong))),
    ):
        checkpoints.save(**{"step": 1, "seconds": 1.0} | wrong)
    assert files(tmp_path) == ["lock"]


FOREIGN = (
    "best.safetensors", "step-4.safetensors", "step-000000004.safetensors", "step-00000004-copy.safetensors",
    "my-step-00000004.safetensors", ".step-notes", ".step-00000004.json.swp", ".npcnn-mine.tmp",
)  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_files_of_others_are_left_alone(tmp_path, name):
    (tmp_path / name).write_bytes(b"mine")
    for steps in (2, 4, 6):
        train(tmp_path, steps=steps, every=2, keep=1)
    assert (tmp_path / name).read_bytes() == b"mine"


def test_the_temporary_file_of_a_killed_writer_is_deleted(tmp_path):
    folder = tmp_path / "checkpoints"

    def killed_while_writing():
        os.fsync = lambda _handle: os._exit(7)
        nn.weights.write_atomically(folder / "step-00000004.json", b"{")

    train(folder, steps=2, every=2)
    kept = files(folder)
    assert in_a_child(killed_while_writing) == 7
    assert len(files(folder)) == len(kept) + 1
    train(folder, steps=2)
    assert files(folder) == kept


def damage(data, draw):
    """Return `data` with one to three bits flipped, or cut short."""
    if draw.random() < 0.3:
        return data[: draw.randrange(len(data))]
    damaged = bytearray(data)
    for _ in range(draw.randint(1, 3)):
        damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
    return bytes(damaged)


def test_damaged_checkpoints_are_refused_or_read_equal(tmp_path):
    train(tmp_path, steps=4, every=2)
    whole = {path: path.read_bytes() for path in tmp_path.glob("step-00000004.*")}
    assert len(whole) == 2
    expected, _ = train(tmp_path, steps=4, every=100)
    refused, draw = 0, random.Random(0)
    for _ in range(200):
        path = draw.choice(sorted(whole))
        path.write_bytes(damage(whole[path], draw))
        net, optimizer = net_and_optimizer(seed=5)
        before = {name: param.copy() for name, param in net.params.items()}
        with Checkpoints(tmp_path, net, optimizer) as checkpoints:
            message = ""
            try:
                checkpoints.resume()
            except nn.CheckpointError as error:
                message = str(error)
        if message:
            refused += 1
            assert "step-00000004" in message
            assert "go on from the one of step 2" in message
        assert_same(net.params, before if message else expected)
        assert optimizer.steps == (0 if message else 4)
        path.write_bytes(whole[path])
    assert refused > 150
    assert train(tmp_path, steps=4, every=100)[1].step == 4


WRONG = (None, "x", -1, 1.5, True, [], float("nan"), {"a": 1})
FORGED = [
    (field, value)
    for field, right in (
        ("format", ()),
        ("step", ()),
        ("seconds", (1.5,)),
        ("settings", ({"a": 1},)),  # an object, but refused as other settings
        ("generators", ()),
        ("tensors", ()),
        ("tensors.file", ("x",)),
        ("tensors.bytes", ()),
        ("tensors.sha256", ()),
        ("config", ()),
        ("config.npcnn", ("x",)),
        ("config.isa", ("x",)),
        ("generators.3_dropout", ()),
        ("generators.3_dropout.state", ()),
        ("generators.3_dropout.state.state", (True,)),  # which is 1
        ("generators.3_dropout.uinteger", (True,)),
    )
    for value in WRONG
    if value not in right
]


@pytest.mark.parametrize(("field", "value"), FORGED)
def test_a_forged_file_with_the_right_checksum_changes_nothing(tmp_path, field, value):
    train(tmp_path, steps=2, every=2)
    path = tmp_path / "step-00000002.json"
    content = json.loads(path.read_text())
    del content["sha256"]
    *outer, name = field.split(".")
    place = content
    for part in outer:
        place = place[part]
    if value is None:
        del place[name]
    else:
        place[name] = value
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(content | {"sha256": digest}))

    net, optimizer = net_and_optimizer(seed=5)
    before = {name: param.copy() for name, param in net.params.items()}
    masks = net.children["3_dropout"].rng.bit_generator.state
    with Checkpoints(tmp_path, net, optimizer) as checkpoints, pytest.raises(nn.CheckpointError) as caught:
        checkpoints.resume()
    assert field.split(".")[0] in str(caught.value).replace("random ", "")
    assert_same(net.params, before)
    assert optimizer.steps == 0
    assert net.children["3_dropout"].rng.bit_generator.state == masks


def test_an_optimizer_of_a_negative_number_of_steps_changes_nothing(tmp_path):
    net, optimizer = net_and_optimizer()
    optimizer.steps = -3
    with Checkpoints(tmp_path, net, optimizer) as checkpoints:
        checkpoints.save(2, 1.0)
    other, optimizer = net_and_optimizer(seed=5)
    before = {name: param.copy() for name, param in other.params.items()}
    with (
        Checkpoints(tmp_path, other, optimizer) as checkpoints,
        pytest.raises(nn.CheckpointError, match=r"steps is \[-3\], expected at least 0"),
    ):
        checkpoints.resume()
    assert_same(other.params, before)
    assert optimizer.steps == 0


def test_a_missing_tensor_file_is_named(tmp_path):
    train(tmp_path, steps=4, every=2)
    (tmp_path / "step-00000004.safetensors").unlink()
    with pytest.raises(
        nn.CheckpointError, match=r"step-00000004.safetensors is missing\. To go on from the one of step 2"
    ):
        train(tmp_path)
    (tmp_path / "step-00000004.json").unlink()
    whole, _ = train(tmp_path / "whole", every=100)
    params, at = train(tmp_path)
    assert at.step == 2
    assert_same(params, whole)


def test_a_folder_in_use_is_refused(tmp_path):
    net, optimizer = net_and_optimizer()
    with Checkpoints(tmp_path, net, optimizer), pytest.raises(nn.CheckpointError, match="another process is training"):
        Checkpoints(tmp_path, net, optimizer)
    Checkpoints(tmp_path, net, optimizer).close()


def test_a_dead_process_leaves_no_lock(tmp_path):
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_checkpoints
from npcnn.train import Checkpoints
held = Checkpoints({str(tmp_path)!r}, *test_checkpoints.net_and_optimizer())
print("locked", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(nn.CheckpointError):
            Checkpoints(tmp_path, *net_and_optimizer())
        process.send_signal(signal.SIGKILL)
        process.wait()
    Checkpoints(tmp_path, *net_and_optimizer()).close()


def in_a_child(function):
    """Run `function` in a forked process, so that limits and users change there only; return what it returns, 0-99."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            status = function()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_full_disk_loses_nothing(tmp_path):
    train(tmp_path, steps=4, every=2)
    kept = files(tmp_path)
    size = (tmp_path / "step-00000004.safetensors").stat().st_size

    def with_less_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))
        try:
            train(tmp_path, steps=6, every=2)
        except OSError:
            return 7
        return 0

    assert in_a_child(with_less_room) == 7
    assert files(tmp_path) == kept
    whole, _ = train(tmp_path / "whole", every=100)
    params, at = train(tmp_path)
    assert at.step == 4
    assert_same(params, whole)


def test_a_read_only_folder_is_an_os_error():
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        train(folder, steps=2, every=2)
        folder.chmod(0o555)
        for path in folder.iterdir():
            path.chmod(0o444)

        def as_somebody_else():
            if os.geteuid() == 0:  # whom no mode stops
                os.setuid(65534)
            try:
                train(folder, steps=4, every=2)
            except PermissionError:
                return 7
            return 0

        try:
            assert in_a_child(as_somebody_else) == 7
        finally:
            folder.chmod(0o755)
        assert train(folder, steps=4, every=2)[1].step == 2


@pytest.mark.parametrize("options", [{"every": 0}, {"keep": 0}, {"every": 1.5}, {"keep": "all"}])
def test_wrong_rhythm_is_refused(tmp_path, options):
    with pytest.raises((TypeError, ValueError), match=next(iter(options))):
        Checkpoints(tmp_path, *net_and_optimizer(), **options)
