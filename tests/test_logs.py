"""What a training writes down: exact, whole lines, and cut back when it goes on."""

import csv
import io
import json
import sys

import numpy as np
import pytest

import npcnn as nn
from npcnn.train import CurvePlot, MetricsCSV, MetricsJSONL, StepResult, TensorBoard, read_metrics

LOGS = {"csv": MetricsCSV, "jsonl": MetricsJSONL}
each_log = pytest.mark.parametrize("log", LOGS.values(), ids=LOGS)


def result(step):
    return StepResult(step, 1 / 3 + step, 0.1 * step, 8, 0.5 * step, 2 / 3, 16.0)


def write(log, path, steps, **options):
    with log(path, **options) as metrics:
        for step in steps:
            metrics(result(step))
            if step % 2 == 0:
                metrics.evaluation(step=step, seconds=step, loss=1 / 7, accuracy=0.7)


def test_numbers_are_read_back_exactly(tmp_path):
    write(MetricsCSV, tmp_path / "m.csv", [1, 2])
    steps, evaluations = read_metrics(tmp_path / "m.csv")
    assert [row["loss"] for row in steps] == [1 / 3 + 1, 1 / 3 + 2]
    assert steps[1]["gradient_norm"] == 2 / 3
    assert evaluations == [{"step": 2, "seconds": 2.0, "test_loss": 1 / 7, "test_accuracy": 0.7}]
    write(MetricsJSONL, tmp_path / "m.jsonl", [1, 2])
    lines = [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()]
    assert lines[0]["loss"] == 1 / 3 + 1
    assert lines[2]["test_loss"] == 1 / 7


@each_log
@pytest.mark.parametrize("torn", ["", "7,0.1", '{"step": 7', "\n"[:0]])
def test_going_on_gives_the_file_of_an_uninterrupted_training(tmp_path, log, torn):
    write(log, tmp_path / "whole", range(1, 9))
    write(log, tmp_path / "resumed", range(1, 7))
    with (tmp_path / "resumed").open("a") as file:
        file.write(torn)
    write(log, tmp_path / "resumed", range(4, 9), resume_after=3)
    assert (tmp_path / "resumed").read_text() == (tmp_path / "whole").read_text()


@each_log
def test_files_are_neither_overwritten_nor_invented(tmp_path, log):
    write(log, tmp_path / "m", [1])
    with pytest.raises(FileExistsError):
        log(tmp_path / "m")
    with pytest.raises(FileNotFoundError):
        log(tmp_path / "other", resume_after=0)


@each_log
@pytest.mark.parametrize("text", ["a,b\n1,2\n", "step\nno\n"])
def test_other_files_are_left_alone(tmp_path, log, text):
    (tmp_path / "m").write_text(text)
    with pytest.raises(ValueError, match="m"):
        log(tmp_path / "m", resume_after=1)
    assert (tmp_path / "m").read_text() == text


def test_damaged_line_is_named(tmp_path):
    write(MetricsCSV, tmp_path / "m.csv", [1])
    with (tmp_path / "m.csv").open("a") as file:
        csv.writer(file).writerow(["x", "y"])
    with pytest.raises(nn.DataError, match="line 3 is damaged, expected 8 fields"):
        read_metrics(tmp_path / "m.csv")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("2,0.5,2.5,0.25,2.0,16.0,,", None),
        ("2,0.5,2.5,0.2x5,2.0,16.0,,", r"accuracy must be a number, got '0\.2x5'"),
        ("2,0.5,,,,,0.7,O.5", r"test_accuracy must be a number, got 'O\.5'"),
        ("2.5,0.5,,,,,0.7,0.5", r"step must be a whole number, got '2\.5'"),
        ("9" * 5000 + ",0.5,,,,,0.7,0.5", r"step must be a whole number, got '9+\.\.\."),
        ("-2,0.5,,,,,0.7,0.5", "step must be a whole number, got '-2'"),
        (",0.5,,,,,0.7,0.5", "expected 8 fields"),
        ("2,0.5,2.5,,2.0,16.0,,", "expected 8 fields"),
        ("2,0.5,,,,,,", "expected 8 fields"),
        ('2,0.5,,,,,"0.7,0.5', "test_loss must be a number"),
    ],
)
def test_a_damaged_number_is_named_with_file_line_and_value(tmp_path, line, told):
    path = tmp_path / "m.csv"
    write(MetricsCSV, path, [1])
    path.write_text(path.read_text() + line + "\n")
    if told is None:
        assert read_metrics(path)[0][1]["step"] == 2
        return
    text = path.read_text()
    for read in (read_metrics, lambda path: MetricsCSV(path, resume_after=1)):
        with pytest.raises(nn.DataError, match=rf"m\.csv: line 3 is damaged, {told}") as caught:
            read(path)
        assert len(str(caught.value)) < 300 + len(str(path))
    assert path.read_text() == text


@each_log
def test_what_is_no_text_is_refused(tmp_path, log):
    (tmp_path / "m").write_bytes(b"\xff\xfe\n")
    with pytest.raises(nn.DataError, match="m is damaged: it is not text"):
        log(tmp_path / "m", resume_after=1)


@each_log
def test_an_evaluation_that_the_file_has_is_not_written_again(tmp_path, log):
    write(log, tmp_path / "m", range(1, 5))
    text = (tmp_path / "m").read_text()
    with log(tmp_path / "m", resume_after=4) as metrics:
        metrics.evaluation(step=4, seconds=9.0, loss=1 / 7, accuracy=0.7)
    assert (tmp_path / "m").read_text() == text


def events(folder):
    """Return the values in the event file of a folder by their tags and steps."""
    from tensorboardX.proto.event_pb2 import Event

    (file,) = folder.glob("events.out.tfevents.*")
    data, at, found = file.read_bytes(), 0, {}
    while at < len(data):  # a record: length, its checksum, an Event, its checksum
        length = int.from_bytes(data[at : at + 8], "little")
        event = Event.FromString(data[at + 12 : at + 12 + length])
        found |= {(value.tag, event.step): value for value in event.summary.value}
        at += 16 + length
    return found


def test_tensorboard_gets_every_number(tmp_path):
    pytest.importorskip("tensorboardX")
    with TensorBoard(tmp_path, every=2) as board:
        for step in (1, 2):
            board(result(step))
        board.evaluation(step=2, seconds=1.0, loss=0.25, accuracy=0.5)
    found = {key: value.simple_value for key, value in events(tmp_path).items()}
    assert found == pytest.approx(
        {
            ("training/loss", 2): 1 / 3 + 2,
            ("training/accuracy", 2): 0.2,
            ("training/gradient_norm", 2): 2 / 3,
            ("training/images_per_second", 2): 16.0,
            ("test/loss", 2): 0.25,
            ("test/accuracy", 2): 0.5,
        }
    )


def test_tensorboard_gets_the_spread_of_the_weights_and_the_filters(tmp_path):
    pytest.importorskip("tensorboardX")
    Image = pytest.importorskip("PIL.Image")
    net = nn.Sequential(
        nn.Conv2D(3, 5, (4, 3), rng=np.random.default_rng(0)), nn.BatchNorm(5), nn.GlobalAvgPool2D(), nn.Dense(5, 2)
    )
    with TensorBoard(tmp_path, every=100, net=net, weights_every=2) as board:
        for step in (1, 2, 3):
            net.params["3_dense.b"][...] = step, np.nan
            board(result(step))
            if step == 1:
                first = {name: array[np.isfinite(array)].astype(np.float64) for name, array in net.params.items()}
    found = events(tmp_path)
    picture = found.pop(("filters/0_conv2d.w", 1)).image
    assert found.pop(("filters/0_conv2d.w", 2)).image.height == picture.height
    assert set(found) == {(f"weights/{name}", step) for name in net.params for step in (1, 2)}
    for name, values in first.items():
        spread = found[f"weights/{name}", 1].histo
        told = (spread.num, spread.min, spread.max, spread.sum, spread.sum_squares)
        assert told == pytest.approx((values.size, values.min(), values.max(), values.sum(), (values**2).sum()))
        assert sum(spread.bucket) == values.size
    assert found["weights/3_dense.b", 2].histo.max == 2

    # Five kernels in a row, a white pixel between them, every pixel eight times as large.
    sheet = np.asarray(Image.open(io.BytesIO(picture.encoded_image_string)))
    w = net.params["0_conv2d.w"].astype(np.float64)
    assert sheet.shape == (8 * 4, 8 * (5 * 3 + 4), 3)
    for kernel in range(5):
        one = w[..., kernel]
        expected = 255 * (one - one.min()) / (one.max() - one.min())
        drawn = sheet[4::8, 4::8][:, 4 * kernel : 4 * kernel + 3]
        assert np.abs(drawn - expected).max() <= 1
        assert (sheet[:, 8 * (4 * kernel + 3) : 8 * (4 * kernel + 4)] == 255).all()


def test_tensorboard_draws_no_kernels_of_other_pictures(tmp_path):
    pytest.importorskip("tensorboardX")
    net = nn.Sequential(nn.Conv2D(2, 5, 3), nn.Conv2D(5, 1, 3), nn.GlobalAvgPool2D())
    with TensorBoard(tmp_path, net=net) as board:
        board(result(1))
    assert {tag for tag, _ in events(tmp_path)} == {f"weights/{name}" for name in net.params}


@pytest.mark.parametrize("weights_every", [0, 2.5])
def test_tensorboard_looks_at_weights_at_whole_steps(tmp_path, weights_every):
    pytest.importorskip("tensorboardX")
    with pytest.raises((TypeError, ValueError), match="weights_every must be an integer of at least 1"):
        TensorBoard(tmp_path, weights_every=weights_every)


def test_without_tensorboardx_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    told = r'tensorboardX.*; install it with python -m pip install "\.\[tensorboard\]" in the clone of npcnn'
    with pytest.raises(ImportError, match=told):
        TensorBoard(tmp_path)


def test_curve_is_drawn_when_due_and_at_the_end(tmp_path):
    pytest.importorskip("matplotlib")
    with (
        MetricsCSV(tmp_path / "m.csv") as metrics,
        CurvePlot(tmp_path / "m.csv", tmp_path / "curve.png", every=2) as curve,
    ):
        for step in (1, 2, 3):
            metrics(result(step))
            curve(result(step))
            assert (tmp_path / "curve.png").exists() == (step >= 2)
        due = (tmp_path / "curve.png").read_bytes()
    last = (tmp_path / "curve.png").read_bytes()
    assert due.startswith(b"\x89PNG")
    assert last.startswith(b"\x89PNG")
    assert due != last


def test_no_step_no_curve(tmp_path):
    pytest.importorskip("matplotlib")
    MetricsCSV(tmp_path / "m.csv").close()
    CurvePlot(tmp_path / "m.csv", tmp_path / "curve.png").close()
    assert not (tmp_path / "curve.png").exists()


def test_the_curve_begins_at_the_first_step(tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    with MetricsCSV(tmp_path / "m.csv") as metrics:
        for step in range(1, 301):
            metrics(StepResult(step, 1.0, step / 300, 8, step, 1.0, 8.0))
    ax = nn.plot.training_curve(tmp_path / "m.csv", ax=Figure().subplots())
    steps, accuracy = ax.lines[0].get_xydata().T
    np.testing.assert_array_equal(steps, np.arange(1, 301))
    # By hand: 60 steps, a fifth of all, are averaged; up to step 60 those that there are.
    np.testing.assert_allclose(accuracy[[0, 1, 59, 60, 299]], np.array([1, 1.5, 30.5, 31.5, 270.5]) / 300)


def test_generator_states_are_json_and_come_back():
    def net(seed):
        return nn.Sequential(
            nn.Dropout(0.5, rng=np.random.default_rng(seed)),
            nn.Sequential(nn.Dropout(0.5, rng=np.random.Generator(np.random.MT19937(seed)))),
        )

    first, second = net(0), net(1)
    x = np.ones((4, 9), np.float32)
    first.forward(x, training=True)
    states = json.loads(json.dumps(nn.train.generator_states(first)))
    assert list(states) == ["0_dropout", "1_sequential.0_dropout"]
    nn.train.set_generator_states(second, states)
    np.testing.assert_array_equal(first.forward(x, training=True), second.forward(x, training=True))
    with pytest.raises(nn.WeightsError, match="random generators do not fit"):
        nn.train.set_generator_states(nn.Sequential(nn.Dropout(0.5)), states)
