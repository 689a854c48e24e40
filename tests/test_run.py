"""A run in a folder: what it leaves, what ends it, how it goes on; progress, evaluation and signals by themselves."""

import json
import signal
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import npcnn as nn
from npcnn.datasets import Dataset, TrainingBatches, evaluation_batches
from npcnn.train.callbacks import answers_alike

FILES = {"checkpoints", "metrics.csv", "result.json", "settings.json", "weights.safetensors"}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (24, 24, 24, 1), dtype=np.uint8), np.arange(24) % 3
    return Dataset("noise", Path(), images[:16], labels[:16], images[16:], labels[16:], ("a", "b", "c"))


def training(lr=0.001):
    """Return a network that is none of the library's, and an optimizer that is not Adam."""
    rng = np.random.default_rng(0)
    layers = nn.Flatten(), nn.Dense(24 * 24, 8, rng=rng), nn.ReLU(), nn.Dropout(0.5, rng=rng), nn.Dense(8, 3, rng=rng)
    net = nn.Sequential(*layers)
    return net, nn.SGD(net, lr=lr, momentum=0.9)


def train(folder, data, steps, *, resume=False, callbacks=(), lr=0.001, batches=None, fit=None, **options):
    """Train with a new network and optimizer, as a new process would."""
    net, optimizer = training(lr)
    options = {"settings": {"lr": lr, "note": Path("a")}, "fixed": ["lr"], "checkpoint_every": 2} | options
    with nn.train.Run(folder, net, optimizer, data, resume=resume, **options) as run:
        test_batches = partial(evaluation_batches, data.test_images, data.test_labels)
        with TrainingBatches(data.train_images, data.train_labels, batch_size=4, start=run.step) as ours:
            return run.fit(
                ours if batches is None else batches, test_batches, steps=steps, callbacks=callbacks, **(fit or {})
            )


def raising(number, at):
    """Return a callback that sends this process a signal in one of the steps."""

    def callback(result):
        if result.step == at:
            signal.raise_signal(number)

    return callback


def test_it_leaves_what_it_promises(tmp_path, data, capsys):
    result = train(tmp_path / "run", data, 6, fit={"evaluate_every": 4, "display_every": 3})
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names - {"curve.png"} == FILES
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == result
    settings = nn.train.read_settings(tmp_path / "run")
    assert settings["lr"] == 0.001
    assert settings["note"] == "a"  # what JSON does not have is written as text
    assert settings["data_sha256"] == data.checksum()
    assert settings["class_names"] == ["a", "b", "c"]
    assert settings["config"]["npcnn"] == nn.__version__
    net, _ = training()
    net.load(tmp_path / "run" / "weights.safetensors")
    _, accuracy = nn.train.evaluate(net, evaluation_batches(data.test_images, data.test_labels))
    assert result["test_accuracy"] == accuracy
    steps, evaluations = nn.train.read_metrics(tmp_path / "run" / "metrics.csv")
    assert [row["step"] for row in steps] == [1, 2, 3, 4, 5, 6]
    assert [row["step"] for row in evaluations] == [4, 6]
    assert result["training_accuracy"] == pytest.approx(np.mean([row["accuracy"] for row in steps]))
    out = capsys.readouterr().out
    begun = [" ".join(line.split()[:4]) for line in out.splitlines() if line.startswith("step ")]
    assert begun == [
        "step 3 training accuracy", "step 4 test accuracy", "step 6 training accuracy", "step 6 test accuracy",
    ]  # fmt: skip
    assert "done: 6 steps in" in out
    assert f"training accuracy {result['training_accuracy']:.4f} (mean over the whole run, while it learnt)" in out
    assert f"test accuracy     {accuracy:.4f} (all 8 pictures) on noise" in out


def test_a_mean_of_fewer_steps_than_the_run_has_says_so(tmp_path, data, capsys):
    batch = np.ones((1, 24, 24, 1), np.float32), np.array([0])
    result = train(tmp_path, data, 1003, batches=iter([batch] * 1003), checkpoint_every=5000)
    assert result["training_accuracy_steps"] == 1000
    assert "(mean of the last 1000 steps)" in capsys.readouterr().out


@pytest.mark.parametrize(("number", "words"), [(signal.SIGINT, "ended by Ctrl-C after 3 steps"), (signal.SIGTERM, "")])
def test_a_signal_ends_it_and_it_goes_on_to_the_same_bits(tmp_path, data, capsys, number, words):
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    whole = train(tmp_path / "whole", data, 7)
    capsys.readouterr()
    result = train(tmp_path / "ended", data, 7, callbacks=[raising(number, at=3)])
    assert {one: signal.getsignal(one) for one in before} == before
    assert words in capsys.readouterr().out
    assert (result is None) == (number == signal.SIGTERM)
    assert (tmp_path / "ended" / "weights.safetensors").exists() == (number == signal.SIGINT)
    assert (tmp_path / "ended" / "checkpoints" / "step-00000003.json").exists()
    again = train(tmp_path / "ended", data, 7, resume=True)
    assert "going on after step 3" in capsys.readouterr().out
    one, other = (tmp_path / name / "weights.safetensors" for name in ("whole", "ended"))
    assert one.read_bytes() == other.read_bytes()
    for name in ("steps", "test_accuracy", "training_accuracy", "training_accuracy_steps"):
        assert again[name] == whole[name]


def test_asked_again_a_finished_run_says_that_nothing_was_left_to_do(tmp_path, data, capsys):
    first = train(tmp_path, data, 4)
    metrics = (tmp_path / "metrics.csv").read_text()
    capsys.readouterr()
    again = train(tmp_path, data, 4, resume=True)
    out = capsys.readouterr().out
    assert (tmp_path / "metrics.csv").read_text() == metrics
    assert "nothing was left to do: the run was at step 4 already" in out
    assert "images/s" not in out
    assert {name: again[name] for name in again if "seconds" not in name} == {
        name: first[name] for name in first if "seconds" not in name
    }


def test_fit_again_goes_on(tmp_path, data, capsys):
    net, optimizer = training()
    test_batches = partial(evaluation_batches, data.test_images, data.test_labels)
    with (
        nn.train.Run(tmp_path / "twice", net, optimizer, data) as run,
        TrainingBatches(data.train_images, data.train_labels, batch_size=4) as batches,
    ):
        run.fit(batches, test_batches, steps=2)
        assert run.fit(batches, test_batches, steps=5)["steps"] == run.step == 5
    assert capsys.readouterr().out.count("going on after step 2\n") == 1
    train(tmp_path / "once", data, 5)
    one, other = (tmp_path / name / "weights.safetensors" for name in ("once", "twice"))
    assert one.read_bytes() == other.read_bytes()


def test_logs_among_the_callbacks_hear_of_evaluations_and_are_closed(tmp_path, data):
    class Notes(nn.train.Log):
        def __init__(self):
            self.heard = []

        def __call__(self, result):
            self.heard.append(result.step)

        def evaluation(self, *, step, seconds, loss, accuracy):
            self.heard.append(f"evaluation {step}")

        def close(self):
            self.heard.append("closed")

    notes = Notes()
    train(tmp_path / "a", data, 2, callbacks=[notes])
    assert notes.heard == [1, 2, "evaluation 2", "closed"]
    notes = Notes()
    batch = np.full((1, 24, 24, 1), np.nan, np.float32), np.array([0])
    with pytest.raises(nn.train.NonFiniteError, match=r"non_finite_batch\.safetensors"):
        train(tmp_path / "b", data, 1, batches=iter([batch]), callbacks=[notes])
    assert notes.heard[-1] == "closed"
    assert (tmp_path / "b" / "non_finite_batch.safetensors").exists()


def test_a_callback_may_stop_it(tmp_path, data):
    def stop(result):
        if result.step == 3:
            raise nn.train.StopTraining

    assert train(tmp_path, data, 9, callbacks=[stop])["steps"] == 3


def test_it_trains_outside_the_main_thread(tmp_path, data):
    results = []
    thread = threading.Thread(target=lambda: results.append(train(tmp_path, data, 2)))
    thread.start()
    thread.join()
    assert results[0]["steps"] == 2


@pytest.mark.parametrize("taken", ["file", "folder"])
def test_a_folder_that_holds_something_is_left_alone(tmp_path, data, taken):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "kept").touch()
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match=f"{taken} exists and is not an empty folder; name another, or resume"):
        train(tmp_path / taken, data, 1)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder", "kept"]


def test_only_a_run_can_be_resumed(tmp_path, data):
    with pytest.raises(FileNotFoundError, match=r"is not the folder of a run: it has no settings\.json"):
        train(tmp_path / "none", data, 1, resume=True)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("text", ["{", "[]", "\x00"])
def test_damaged_settings_are_refused(tmp_path, text):
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(ValueError, match=r"settings\.json is damaged .*; start a new run"):
        nn.train.read_settings(tmp_path)


def test_two_runs_in_one_folder(tmp_path, data):
    net, optimizer = training()
    with (
        nn.train.Run(tmp_path / "run", net, optimizer, data),
        pytest.raises(FileExistsError),
    ):
        train(tmp_path / "run", data, 1)
    train(tmp_path / "other", data, 1)
    with (
        nn.train.Run(tmp_path / "other", net, optimizer, data, settings={"lr": 0.001}, fixed=["lr"], resume=True),
        pytest.raises(nn.CheckpointError, match="another process is training in"),
    ):
        train(tmp_path / "other", data, 1, resume=True)
    train(tmp_path / "other", data, 1, resume=True)  # the folder was released, after the error too


def test_what_is_fixed_cannot_change(tmp_path, data):
    train(tmp_path, data, 2)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(nn.CheckpointError, match=r"lr 0\.001, now 0\.01"):
        train(tmp_path, data, 4, resume=True, lr=0.01)
    with pytest.raises(ValueError, match=r"steps must be at least 2, the steps .* has done, got 1"):
        train(tmp_path, data, 1, resume=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"settings": {"lr": float("nan")}}, r"settings must hold no NaN or infinity, which .*got {'lr': nan}"),
        ({"settings": {"lr": [1.0, float("inf")]}}, "settings must hold no NaN or infinity"),
        ({"fixed": ["lr", "sed"]}, r"fixed must name settings, .*\['lr', 'note'\]; got \['sed'\]"),
    ],
)
def test_wrong_settings_are_refused_before_a_folder_is_made(tmp_path, data, options, message):
    with pytest.raises(ValueError, match=message):
        train(tmp_path / "run", data, 1, **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be"),
        ({"fit": {"display_every": 0}}, "every must be"),
        ({"fit": {"evaluate_every": 0}}, "every must be"),
        ({"batches": iter([])}, "batches gave none to train on"),
    ],
)
def test_wrong_arguments_of_fit(tmp_path, data, options, message):
    with pytest.raises(ValueError, match=message):
        train(tmp_path, data, **({"steps": 1} | options))
    assert not (tmp_path / "result.json").exists()


# Evaluation, and what it says of dead networks.


def test_evaluation_keeps_its_rhythm_and_never_evaluates_a_step_twice(data):
    asked = []

    def test_batches():
        asked.append(1)
        return evaluation_batches(data.test_images, data.test_labels)

    class Steps(nn.train.Log):
        def evaluation(self, *, step, seconds, loss, accuracy):
            steps.append(step)

    steps = []
    net, _ = training()
    evaluation = nn.train.Evaluation(net, test_batches, every=3, logs=[Steps()])
    for step in range(1, 8):
        evaluation(nn.train.StepResult(step, 1.0, 0.5, 8, 1.0, 1.0, 1.0))
    assert steps == [3, 6]
    assert evaluation.evaluate(7, 1.0) == evaluation.evaluate(7, 1.0)
    assert steps == [3, 6, 7]
    never = nn.train.Evaluation(net, test_batches, logs=[Steps()])
    never(nn.train.StepResult(3, 1.0, 0.5, 8, 1.0, 1.0, 1.0))
    assert steps == [3, 6, 7]


@pytest.mark.parametrize("lr", [0.03, 1000.0])
def test_a_network_killed_by_its_learning_rate_is_called_dead(capsys, lr):
    """At 1000 no gradient is left; at 0.03 the last biases still get one, and the accuracy is that of chance."""
    rng = np.random.default_rng(0)
    net = nn.models.cifar_separable(rng=rng)
    x, labels = rng.standard_normal((16, 24, 24, 3)).astype(np.float32), rng.integers(0, 10, 16)
    evaluation = nn.train.Evaluation(net, lambda: [(x, labels)])
    evaluation.evaluate(0, 0.0)
    assert capsys.readouterr().out == ""
    nn.train.fit(net, iter([(x, labels)] * 60), nn.Adam(net, lr=lr), steps=60)
    evaluation.evaluate(60, 0.0)
    line = "the network is dead: it gives the same answer for every picture; start again with a smaller learning rate\n"
    assert capsys.readouterr().out == line


def test_a_network_that_has_learnt_everything_is_not_dead():
    """Its gradient is exactly 0 as well."""
    x, labels = np.eye(3, dtype=np.float32).reshape(3, 1, 3, 1), np.arange(3)
    net = nn.Sequential(nn.Flatten(), nn.Dense(3, 3))
    net.params["1_dense.w"][...] = 1000 * np.eye(3)
    _, dlogits = nn.functional.softmax_cross_entropy(net.forward(x, training=True), labels)
    assert not dlogits.any()
    assert not answers_alike(net, x)


def test_pictures_that_are_alike_tell_nothing(data):
    net, _ = training()
    x = np.ones((4, 24, 24, 1), np.float32)
    assert not answers_alike(net, x)
    assert not answers_alike(net, x[:1])


def test_the_bar_begins_where_the_training_does(capsys):
    with nn.train.Progress(steps=12, every=100) as progress:
        for step in (9, 10):
            progress(nn.train.StepResult(step, 1.0, 0.5, 8, 1.0, 1.0, 1.0))
    assert "10/12" in capsys.readouterr().err


@pytest.fixture
def python_interrupts():
    """Ctrl-C raises KeyboardInterrupt, also where the tests run in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_second_signal_acts_at_once(python_interrupts):
    with nn.train.StopSignals() as stop:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert stop.caught == signal.SIGINT


def test_folders_are_numbered(tmp_path):
    (tmp_path / "run-2").touch()
    assert [nn.train.numbered_folder(tmp_path / "run").name for _ in range(2)] == ["run", "run-3"]
