"""The report of a run: everything in it, nothing fetched, and a browser finds no fault."""

import base64
import html
import io
import json
import re
import shutil
import subprocess
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import npcnn as nn
from npcnn.datasets import Dataset

NAMES = ("ant", "bee & <b>wasp</b>", *(f"class {i}" for i in range(2, 10)))
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(0, 10, 60)
    return Dataset("drawn & small", Path(), images[:40], labels[:40], images[40:], labels[40:], NAMES)


@pytest.fixture(scope="module")
def net():
    return nn.models.cifar_separable(rng=np.random.default_rng(0))


@pytest.fixture
def folder(tmp_path, data, net):
    """The folder of a run of two steps, with its report."""
    settings = {
        "net": "separable", "seed": 0, "steps": 2, "data_dir": "my data", "threads": None, "checkpoint_every": 500,
        "data_sha256": data.checksum(), "config": nn.config.current(),
    }  # fmt: skip
    result = {
        "test_accuracy": 0.123456, "training_accuracy": 0.5, "training_accuracy_steps": 2, "steps": 2, "seconds": 1.5,
    }  # fmt: skip
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    (tmp_path / "result.json").write_text(json.dumps(result))
    x, labels = next(nn.datasets.TrainingBatches(data.train_images, data.train_labels, batch_size=4))
    with nn.train.MetricsCSV(tmp_path / "metrics.csv") as log:
        nn.train.fit(net, iter([(x, labels)] * 2), nn.Adam(net), steps=2, callbacks=[log])
        log.evaluation(step=2, seconds=1.5, loss=2.3, accuracy=0.123456)
    write(tmp_path, net, data)
    return tmp_path


def write(folder, net, data):
    test_batches = partial(nn.datasets.evaluation_batches, data.test_images, data.test_labels)
    about = {"title": "A & B", "settings": ("net", "data_dir", "threads"), "command": "make it --data-dir 'my <data>'"}
    return nn.report.write(folder, net, data, test_batches, **about)


def test_everything_is_in_it(folder, data, net):
    page = (folder / "report.html").read_text()
    text = html.unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL))
    batches = nn.datasets.evaluation_batches(data.test_images, data.test_labels)
    probabilities, labels = nn.evaluation.predict(net, batches)
    matrix = nn.evaluation.confusion_matrix(labels, probabilities.argmax(axis=1), 10)
    cells = re.findall(r"<td style='[^']*' title='[^']*'>(\d+)</td>", page)
    np.testing.assert_array_equal(np.array(cells, int).reshape(10, 10), matrix)
    for expected in (
        "0.1235",
        data.checksum(),
        nn.config.current()["isa"],
        "A & B",
        "make it --data-dir 'my <data>'",
        "mean over the whole run, while it learnt",
        "They begin as coloured noise",
        "Spent: by the algorithm that each layer runs on",
        "bee & <b>wasp</b>",
        "drawn & small",
        "9,239,040",
    ):
        assert expected in text, expected
    assert "<b>wasp" not in page  # it was escaped
    settings = page.split("<h2>Settings</h2>")[1].split("<h2>")[0]
    assert re.findall(r"<th>(.*?)</th><td class='text'>(.*?)</td>", settings) == [
        ("net", "separable"), ("data_dir", "my data"), ("threads", "None"),
    ]  # fmt: skip


def test_a_mean_of_fewer_steps_than_the_run_has_says_so(folder, data, net):
    result = json.loads((folder / "result.json").read_text()) | {"steps": 1500, "training_accuracy_steps": 1000}
    (folder / "result.json").write_text(json.dumps(result))
    assert "training accuracy, mean of the last 1000 steps" in write(folder, net, data).read_text()


def test_a_class_that_nothing_is_taken_for_has_no_precision(folder, data):
    net = nn.models.cifar_plain()
    for array in net.params.values():
        array[...] = 0.0  # every picture is taken for the first class
    scores = write(folder, net, data).read_text().split("<h2>Class by class</h2>")[1].split("<h2>")[0]
    absent = 10 - len(set(data.test_labels.tolist()))  # these have no recall either
    assert scores.count("<td>-</td>") == 9 + absent
    assert "nan" not in scores


def test_a_network_whose_first_weights_are_no_pictures_gets_its_report_too(folder, data):
    net = nn.Sequential(nn.Flatten(), nn.Dense(24 * 24 * 3, 10))
    assert "Not drawn: its weights are not kernels" in write(folder, net, data).read_text()


def test_it_is_one_file_that_fetches_nothing(folder):
    page = (folder / "report.html").read_text()
    assert "default-src 'none'" in page
    body = page.split("</head>")[1]
    assert set(re.findall(r"""(?:src|href)=['"]?(.{5})""", body)) == {"data:"}
    assert "url(" not in page
    assert len(page) < 3_000_000


def test_without_matplotlib_the_tables_remain(folder, data, net, monkeypatch):
    monkeypatch.setattr(nn.report.importlib.util, "find_spec", lambda name: None)
    write(folder, net, data)
    page = (folder / "report.html").read_text()
    told = "matplotlib is not installed (python -m pip install &quot;.[plot]&quot; in the clone of npcnn)"
    assert page.count(told) == 3
    assert "<img" not in page
    assert data.checksum() in page


def test_a_run_without_its_files_is_an_error(tmp_path, data, net):
    with pytest.raises(FileNotFoundError, match=r"settings\.json"):
        write(tmp_path, net, data)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)")
def test_a_browser_shows_it_without_a_word_on_its_console(folder):
    browser = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
               f"--user-data-dir={folder / 'profile'}"]  # fmt: skip
    screenshot = folder / "shot.png"
    done = subprocess.run(
        [*browser, f"--screenshot={screenshot}", "--window-size=390,3000", (folder / "report.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert screenshot.exists(), done.stderr
    assert "CONSOLE" not in done.stderr
    bad = folder / "bad.html"  # that it would have been seen
    bad.write_text((folder / "report.html").read_text().replace("</body>", "<img src='http://127.0.0.1:9/x'></body>"))
    done = subprocess.run(
        [*browser, f"--screenshot={screenshot}", bad.as_uri()], capture_output=True, text=True, timeout=1800
    )
    assert re.search(r"CONSOLE.*Content Security Policy", done.stderr)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_pictures_of_any_size_channels_and_dtype(tmp_path, rng, channels, dtype):
    image_module = pytest.importorskip("matplotlib.image")
    images = rng.integers(0, 201, (20, 5, 6, channels)).astype(dtype)
    images[:, 0, 0], images[:, 0, 1] = 0, 200
    labels = np.arange(20) % 2
    data = nn.datasets.from_arrays(images[:10], labels[:10], images[10:], labels[10:])
    net = nn.Sequential(nn.Conv2D(channels, 2, 3, rng=rng), nn.GlobalAvgPool2D(), nn.Dense(2, 2, rng=rng))
    with nn.train.Run(tmp_path / "run", net, nn.SGD(net, lr=1e-9), data) as run:
        with nn.datasets.TrainingBatches(data, batch_size=5) as batches:
            run.fit(batches, partial(nn.datasets.evaluation_batches, data), steps=1)
        write_own = partial(nn.report.write, title="own", settings=(), command="again")
        page = write_own(run.folder, net, data, partial(nn.datasets.evaluation_batches, data)).read_text()
    if channels == 2:
        assert "Not drawn: pictures of 2 channels are neither grey nor coloured" in page
        return
    probabilities, _ = nn.evaluation.predict(net, nn.datasets.evaluation_batches(data))
    worst = nn.evaluation.worst_mistakes(probabilities, data.test_labels, 1)
    drawn = base64.b64decode(re.search(r"<figure><img[^>]*base64,([^']*)'", page)[1])
    drawn = np.rint(255 * image_module.imread(io.BytesIO(drawn), format="png")[..., :3])
    expected = data.test_images[worst[0]] * (1 if dtype == np.uint8 else np.float32(255 / 200))
    np.testing.assert_allclose(drawn, np.broadcast_to(expected, drawn.shape), atol=0.51)
