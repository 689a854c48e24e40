"""The drawn data: its figures, its files, and how hard it is."""

import subprocess
import sys

import numpy as np
import pytest

from npcnn.datasets import inputs, synthetic
from npcnn.datasets.synthetic import FIGURES, draw, write

FILES = {"batches.meta.txt", "test_batch.bin", *(f"data_batch_{i}.bin" for i in range(1, 6))}


def content_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# Areas by geometry, in squares of the figure's radius.
AREAS = {
    "disc": np.pi,
    "ring": np.pi * (1 - 0.62**2),
    "square": 1.8**2,
    "frame": 1.8**2 - 1.1**2,
    "triangle": 1.7 * (1.7 / 1.8),
    "plus": 2 * 2 * 0.56 - 0.56**2,
    "cross": 1.8**2 - 4 * (1.8 - 2 * 0.35) ** 2 / 4,
    "rows": 2 * (0.4 + 0.4 + 0.3),
    "columns": 2 * (0.4 + 0.4 + 0.3),
    "diamond": 2 * 1.1**2,
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_have_the_area_of_their_geometry(name):
    side = (np.arange(2000) + 0.5) / 2000 * 2.4 - 1.2
    u, v = np.meshgrid(side, side)
    assert FIGURES[name](u, v).mean() * 2.4**2 == pytest.approx(AREAS[name], rel=2e-3)


def test_rows_lie_and_columns_stand():
    u, v = np.meshgrid(np.linspace(-0.9, 0.9, 50), np.linspace(-0.9, 0.9, 50))
    rows, columns = FIGURES["rows"](u, v), FIGURES["columns"](u, v)
    assert (rows == rows[:, :1]).all()
    np.testing.assert_array_equal(columns, rows.T)


def test_the_figure_lies_in_the_middle_24_pixels(monkeypatch):
    for name in FIGURES:
        covered = []

        def watched(u, v, figure=FIGURES[name], covered=covered):
            covered.append(figure(u, v))
            return covered[-1]

        monkeypatch.setitem(FIGURES, name, watched)
        draw(np.full(400, list(FIGURES).index(name)), np.random.default_rng(0))
        (inside,) = (c for c in covered if len(c))
        assert inside[:, 4:28, 4:28].any(axis=(1, 2)).all(), name
        inside[:, 4:28, 4:28] = False
        assert not inside.any(), name


def test_half_the_figures_are_lighter_than_the_background_and_half_darker(monkeypatch):
    covered = []

    def watched(u, v):
        covered.append(np.hypot(u, v) < 1)
        return covered[-1]

    monkeypatch.setitem(FIGURES, "disc", watched)
    pictures = draw(np.zeros(400, int), np.random.default_rng(0)).mean(axis=-1)
    difference = [
        picture[disc].mean() - picture[~disc].mean() for picture, disc in zip(pictures, *covered, strict=True)
    ]
    assert 150 < np.sum(np.array(difference) > 10) < 250
    assert 150 < np.sum(np.array(difference) < -10) < 250


def test_pictures_of_one_class_differ():
    pictures = draw(np.zeros(50, int), np.random.default_rng(0))
    assert pictures.shape == (50, 32, 32, 3)
    assert pictures.dtype == np.uint8
    assert len({picture.tobytes() for picture in pictures}) == 50


def test_files_are_the_binary_format_and_read_by_its_reader(tmp_path):
    folder = write(tmp_path, records_per_file=30)
    assert folder == tmp_path / "cifar-10-batches-bin"
    content = content_of(folder)
    assert set(content) == FILES
    assert content["batches.meta.txt"].decode().split() == list(FIGURES)
    data = synthetic.read_dataset(folder, records_per_file=30)
    assert len(data.class_names) == 10
    assert (len(data.train_images), len(data.test_images)) == (150, 30)
    for place in (0, 7):  # the first and another record, byte by byte
        record = content["test_batch.bin"][place * 3073 : (place + 1) * 3073]
        assert record[0] == data.test_labels[place]
        for y, x, channel in ((0, 0, 0), (3, 5, 1), (31, 31, 2)):
            assert record[1 + channel * 1024 + y * 32 + x] == data.test_images[place, y, x, channel]


def test_what_was_drawn_is_what_is_read(tmp_path, monkeypatch):
    drawn = []

    def remembered(labels, rng):
        drawn.append((labels, draw(labels, rng)))
        return drawn[-1][1]

    monkeypatch.setattr(synthetic, "draw", remembered)
    data = synthetic.read_dataset(write(tmp_path, records_per_file=20), records_per_file=20)
    np.testing.assert_array_equal(data.train_images, np.concatenate([pictures for _, pictures in drawn[:5]]))
    np.testing.assert_array_equal(data.train_labels, np.concatenate([labels for labels, _ in drawn[:5]]))
    np.testing.assert_array_equal(data.test_images, drawn[5][1])
    np.testing.assert_array_equal(data.test_labels, drawn[5][0])


def test_a_seed_is_one_data_set(tmp_path):
    one, same, other = (
        content_of(write(tmp_path / str(i), records_per_file=5, seed=seed)) for i, seed in enumerate((1, 1, 2))
    )
    assert one == same
    assert one["test_batch.bin"] != other["test_batch.bin"]
    assert len({one[name] for name in FILES}) == 7  # no file is a copy of another


def test_what_is_there_stays(tmp_path):
    first = content_of(write(tmp_path, records_per_file=5, seed=1))
    assert content_of(write(tmp_path, records_per_file=5, seed=2)) == first


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("midway")

    monkeypatch.setitem(FIGURES, "diamond", fail)
    with pytest.raises(RuntimeError, match="midway"):
        write(tmp_path, records_per_file=200)
    assert list(tmp_path.iterdir()) == []


def test_of_two_processes_the_slower_uses_what_the_quicker_made(tmp_path, monkeypatch):
    original, other = synthetic.draw, {}

    def draw_while_another_finishes(labels, rng):
        if not other:
            other["going"] = True
            other["content"] = content_of(write(tmp_path, records_per_file=5, seed=2))
        return original(labels, rng)

    monkeypatch.setattr(synthetic, "draw", draw_while_another_finishes)
    folder = write(tmp_path, records_per_file=5, seed=1)
    assert content_of(folder) == other["content"]
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"records_per_file": 0}, ValueError),
        ({"records_per_file": 2.5}, TypeError),
        ({"seed": -1}, ValueError),
        ({"seed": None}, TypeError),
    ],
)
def test_wrong_numbers_are_named(tmp_path, options, error):
    with pytest.raises(error, match=next(iter(options))):
        write(tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def softmax_regression_accuracy(x, labels, test_x, test_labels):
    """Return the test accuracy of the best linear classifier full-batch Adam finds in 60 steps."""
    w, m, v = (np.zeros((x.shape[1], 10), np.float32) for _ in range(3))
    right = np.eye(10, dtype=np.float32)[labels]
    best = 0.0
    for step in range(1, 61):
        logits = x @ w
        p = np.exp(logits - logits.max(1, keepdims=True))
        dw = x.T @ (p / p.sum(1, keepdims=True) - right) / len(x)
        m += 0.1 * (dw - m)
        v += 0.01 * (dw**2 - v)
        w -= 0.003 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.99**step)) + 1e-8)
        best = max(best, float(((test_x @ w).argmax(1) == test_labels).mean()))
    return best


def test_a_linear_classifier_does_not_solve_it():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 2000)
    pictures = draw(labels, rng)
    x = inputs(pictures).reshape(len(pictures), -1)
    parts = [slice(None, 1500), slice(1500, None)]
    train, test = ((x[part], labels[part]) for part in parts)
    assert softmax_regression_accuracy(*train, *test) < 0.6

    # The same classifier with the same pictures solves a linear task: one bright row that is the class.
    marked = pictures.copy()
    marked[np.arange(2000), 10 + labels] = 255
    marked_x = inputs(marked).reshape(len(marked), -1)
    train, test = ((marked_x[part], labels[part]) for part in parts)
    assert softmax_regression_accuracy(*train, *test) > 0.9


def test_a_full_disk_is_told_with_the_folder_and_leaves_nothing(tmp_path):
    """Here a limit on the size of files takes the place of the disk's end."""
    program = (
        "import resource, sys; from npcnn.datasets import synthetic; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)); synthetic.write(sys.argv[1], records_per_file=30)"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last == f"OSError: [Errno 27] File too large: '{tmp_path / 'cifar-10-batches-bin'}'"
    assert not list(tmp_path.iterdir())
