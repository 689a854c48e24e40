"""A folder of pictures of one's own: split, scaled, kept once; unreadable files named; nothing half written."""

import errno
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import npcnn as nn
from npcnn.datasets import folders, from_folder, steps

Image = pytest.importorskip("PIL.Image")

COUNTS = {"cat": 10, "dog": 20, "owl": 5}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A user's cache that is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/npcnn/pictures"


def draw(folder, counts=COUNTS, size=(9, 7), order=None):
    """Write PNGs of (H, W) that tell who they are: red is the class, green the number in it, blue is 0 to W - 1.

    `order` is the order in which they are written.
    """
    H, W = size
    names = [(label, name, number) for label, name in enumerate(counts) for number in range(counts[name])]
    for label, name, number in order(names) if order else names:
        pixels = np.zeros((H, W, 3), np.uint8)
        pixels[..., 0], pixels[..., 1], pixels[..., 2] = label, number, np.arange(W)
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name / f"picture {number:02}.png")
    return folder


def numbers(images):
    """Return (class, number) of drawn pictures."""
    return [(int(red), int(green)) for red, green in images[:, 0, 0, :2]]


def kept_in(cache):
    return sorted(path.name for path in cache.iterdir() if path.name != ".lock")


def test_every_picture_arrives_once_with_its_label(tmp_path):
    data = from_folder(draw(tmp_path / "animals"))
    assert (data.name, data.folder, data.classes) == ("animals", tmp_path / "animals", ("cat", "dog", "owl"))
    assert (data.picture_shape, data.steps) == ((9, 7, 3), ())
    seen = numbers(data.train_images) + numbers(data.test_images)
    assert sorted(seen) == [(label, number) for label, count in enumerate(COUNTS.values()) for number in range(count)]
    assert [label for label, _ in seen] == [*data.train_labels, *data.test_labels]
    for picture in data.train_images:
        np.testing.assert_array_equal(picture[..., 2], np.broadcast_to(np.arange(7), (9, 7)))


@pytest.mark.parametrize(
    ("share", "counts"), [(0, [0, 0, 0]), (0.2, [2, 4, 1]), (0.25, [3, 5, 1]), (0.5, [5, 10, 3]), (0.05, [1, 1, 0])]
)
def test_each_class_has_its_share_in_the_test(tmp_path, share, counts):
    data = from_folder(draw(tmp_path / "animals"), test_share=share)
    assert np.bincount(data.test_labels, minlength=3).tolist() == counts
    assert len(data.train_labels) == 35 - sum(counts)
    assert data.test_images.shape[1:] == (9, 7, 3)


def test_the_seed_and_the_names_alone_decide_the_split_and_the_order(tmp_path, monkeypatch):
    data = from_folder(draw(tmp_path / "one"), seed=3)
    draw(tmp_path / "other", order=lambda names: random.Random(1).sample(names, len(names)))
    listed = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: iter(sorted(listed(path), key=lambda entry: entry.name[::-1])))
    same = from_folder(tmp_path / "other", seed=3)
    assert same.checksum() == data.checksum()
    other = from_folder(tmp_path / "one", seed=4)
    assert set(numbers(other.test_images)) != set(numbers(data.test_images))
    # Not class after class, and not in the order of the names.
    assert len(set(data.train_labels[:12].tolist())) == 3
    assert numbers(data.train_images) != sorted(numbers(data.train_images))


def test_pictures_are_scaled_as_a_whole_and_only_when_asked(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
    halves = np.zeros((40, 60, 3), np.uint8)
    halves[:, 30:] = 200
    for path in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        Image.fromarray(halves).save(tmp_path / "data" / path)
    for size, shape in ((None, (40, 60)), (8, (8, 8)), ((20, 12), (20, 12))):
        data = from_folder(tmp_path / "data", size=size, test_share=0.5)
        assert data.picture_shape == (*shape, 3)
        left, right = np.split(data.train_images[0], 2, axis=1)
        assert (left[:, 0] == 0).all()  # to the very border: nothing was cut off
        assert (right[:, -1] == 200).all()
        assert abs(float(data.train_images[0].mean()) - 100) < 2
        path = tmp_path / "data/a/1.png"
        np.testing.assert_array_equal(data.train_images[0], nn.datasets.pictures.read_whole_picture(path, size))
    Image.fromarray(halves[:30]).save(tmp_path / "data/b/2.png")
    with pytest.raises(nn.DataError, match=r"\.png has \d0 x 60 pixels, but others \d0 x 60; .*size=\(H, W\)"):
        from_folder(tmp_path / "data")
    assert from_folder(tmp_path / "data", size=5).picture_shape == (5, 5, 3)


def test_shades_of_grey(tmp_path):
    data = from_folder(draw(tmp_path / "animals"), channels=1)
    assert data.picture_shape == (9, 7, 1)
    assert data.input_shape == (9, 7, 1)


def test_the_pictures_are_mapped_files_and_batches_are_made_of_them(tmp_path):
    data = from_folder(draw(tmp_path / "animals"), steps=[steps.crop(5)])
    assert isinstance(data.train_images, np.memmap)
    assert not data.train_images.flags.writeable
    with nn.datasets.TrainingBatches(data, batch_size=8, augment=[steps.mirror()]) as batches:
        for x, labels in (next(batches) for _ in range(6)):
            assert (type(x), x.dtype, x.shape) == (np.ndarray, np.float32, (8, 5, 5, 3))
            np.testing.assert_array_equal(x[:, 0, 0, 0], labels)
    (x, labels), *_ = nn.datasets.evaluation_batches(data)
    assert (type(x), x.flags.writeable) == (np.ndarray, True)
    np.testing.assert_array_equal(x[:, 0, 0, 0], labels)


def test_they_are_read_once_and_again_when_anything_changes(tmp_path, cache, monkeypatch):
    folder, read = draw(tmp_path / "animals"), []
    original = folders.read_whole_picture
    monkeypatch.setattr(
        folders, "read_whole_picture", lambda path, *rest, **named: read.append(path) or original(path, *rest, **named)
    )

    def count(**options):
        read.clear()
        data = from_folder(folder, **options)
        assert sum(map(len, (data.train_images, data.test_images))) in (35, 36)
        return len(read)

    assert count() == 35
    assert count() == 0
    assert len(kept_in(cache)) == 1
    for options in ({"size": 4}, {"channels": 1}, {"seed": 1}, {"test_share": 0.5}):
        assert (count(**options), count(**options)) == (35, 0)
    assert (count(unreadable="skip"), count(steps=[steps.crop(2)])) == (0, 0)
    path = folder / "cat/picture 03.png"
    times = path.stat()
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    assert (count(), count()) == (35, 0)
    shutil.copy(path, folder / "cat/picture 99.png")
    assert (count(), count()) == (36, 0)
    path.rename(folder / "cat/picture 04b.png")
    assert (count(), count()) == (36, 0)
    shutil.rmtree(cache)
    assert count() == 36
    assert count(cache=tmp_path / "elsewhere") == 36
    assert len(kept_in(tmp_path / "elsewhere")) == 1


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    draw(tmp_path / "animals")
    data = from_folder("~/animals", cache="~/kept")
    assert data.folder == tmp_path / "animals"
    assert len(kept_in(tmp_path / "kept")) == 1


def test_hidden_files_and_files_beside_the_sub_folders_are_left_out(tmp_path):
    folder = draw(tmp_path / "animals")
    expected = from_folder(folder).checksum()
    (folder / "README.txt").write_text("about")
    (folder / ".thumbnails").mkdir()
    (folder / "cat/.DS_Store").write_text("not a picture")
    (folder / "cat/.hidden").mkdir()
    assert from_folder(folder).checksum() == expected


UNREADABLE = {
    "no picture": (lambda path: path.write_text("text"), "is not a picture in one of the formats"),
    "damaged": (lambda path: path.write_bytes(path.read_bytes()[:50]), "is damaged"),
    "empty": (lambda path: path.write_bytes(b""), "is not a picture"),
    "a link to nowhere": (lambda path: (path.unlink(), path.symlink_to("nowhere")), "is not a file"),
    "a pipe": (lambda path: (path.unlink(), os.mkfifo(path)), "is not a file"),
    "not open to us": (lambda path: path.chmod(0), "Permission denied"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_an_unreadable_file_is_named_and_stops_or_is_left_out(tmp_path, cache, capsys, kind):
    folder = draw(tmp_path / "animals")
    path, (spoil, told) = folder / "dog/picture 07.png", UNREADABLE[kind]
    whole = from_folder(folder, size=4)
    spoil(path)
    if kind == "not open to us" and os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    before = kept_in(cache)
    with pytest.raises(nn.DataError, match=r'unreadable="skip"$') as caught:
        from_folder(folder, size=4)
    assert "dog/picture 07.png" in str(caught.value)
    assert told in str(caught.value)
    assert kept_in(cache) == before
    for _ in range(2):  # also when what is kept is taken
        capsys.readouterr()
        data = from_folder(folder, size=4, unreadable="skip")
        notice = capsys.readouterr().err
        assert "left out: " in notice
        assert "picture 07.png" in notice
        assert sorted(numbers(data.train_images) + numbers(data.test_images) + [(1, 7)]) == sorted(
            numbers(whole.train_images) + numbers(whole.test_images)
        )
        rest = [pair for pair in numbers(whole.test_images) if pair != (1, 7)]
        assert numbers(data.test_images) == rest  # the others stay where they were
    with pytest.raises(nn.DataError, match=r'picture 07\.png.*unreadable="skip"'):
        from_folder(folder, size=4)  # what is kept was made without it


def test_a_class_without_a_readable_training_picture_is_refused(tmp_path):
    folder = draw(tmp_path / "animals", {"cat": 3, "dog": 3})
    for path in (folder / "dog").iterdir():
        path.write_text("text")
    with pytest.raises(nn.DataError, match=r"no training picture in .*dog can be read"):
        from_folder(folder, unreadable="skip")
    for path in (folder / "cat").iterdir():
        path.write_text("text")
    with pytest.raises(nn.DataError, match=r"none of the pictures in .* can be read; the first: .*picture 0\d.png"):
        from_folder(folder, unreadable="skip")


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        (lambda folder: shutil.rmtree(folder), FileNotFoundError, "there is no folder .*animals"),
        (lambda folder: (shutil.rmtree(folder), folder.write_text("")), NotADirectoryError, "animals"),
        (lambda folder: [shutil.rmtree(folder / name) for name in COUNTS], nn.DataError, "has 0 sub-folders"),
        (lambda folder: [shutil.rmtree(folder / name) for name in ("cat", "dog")], nn.DataError, "has 1 sub-folders"),
        (lambda folder: (folder / "wolf").mkdir(), nn.DataError, "no pictures in .*wolf; add some or remove"),
        (lambda folder: (folder / "cat/black").mkdir(), nn.DataError, "cat/black is a folder, expected pictures"),
    ],
)
def test_a_folder_of_another_form_is_refused(tmp_path, change, error, told):
    folder = draw(tmp_path / "animals")
    change(folder)
    with pytest.raises(error, match=told):
        from_folder(folder)


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"size": 0}, ValueError, "size must be"),
        ({"size": "64"}, TypeError, "size must be"),
        ({"channels": 4}, ValueError, r"channels must be 3 .* or 1 .*, got 4"),
        ({"test_share": 1}, ValueError, "test_share must be"),
        ({"test_share": -0.1}, ValueError, "test_share must be"),
        ({"test_share": 0.95}, ValueError, r"test_share must leave a training picture .*0.95 of the 10 of 'cat'"),
        ({"seed": -1}, ValueError, "seed must be"),
        ({"unreadable": "ignore"}, ValueError, "unreadable must be .*'ignore'"),
        ({"steps": [steps.mirror()]}, ValueError, r"steps\[0\], mirror\(\), draws at random"),
    ],
)
def test_wrong_arguments_are_named_and_nothing_is_written(tmp_path, cache, options, error, told):
    folder = draw(tmp_path / "animals")
    with pytest.raises(error, match=told):
        from_folder(folder, **options)
    assert not cache.exists()


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_when_it_fails_half_way_nothing_is_left(tmp_path, cache, monkeypatch, failure):
    calls = []

    def fails_late(path, size, *, channels):
        calls.append(path)
        if len(calls) == 20:
            raise failure
        return np.zeros((2, 2, 3), np.uint8)

    folder = draw(tmp_path / "animals")
    with monkeypatch.context() as patch:
        if isinstance(failure, KeyboardInterrupt):
            patch.setattr(folders, "read_whole_picture", fails_late)
        else:
            patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(failure))
        with pytest.raises(type(failure)) as caught:
            from_folder(folder)
    if isinstance(failure, OSError):
        assert str(cache) in str(caught.value)
    assert kept_in(cache) == []
    assert len(from_folder(folder).train_images) == 28


def test_what_a_killed_process_left_does_no_harm(tmp_path, cache):
    (cache / ".unfinished").mkdir(parents=True)
    (cache / ".unfinished/train.bytes").write_bytes(b"half")
    assert len(from_folder(draw(tmp_path / "animals")).train_images) == 28
    assert len(kept_in(cache)) == 1


KIND = b'{"train": ["a"], "test": [], "shape": [1, 2, 3], "unreadable": []}'


@pytest.mark.parametrize("file", ["train.bytes", "test.bytes", "about.json"])
@pytest.mark.parametrize("change", [lambda content: content[:-1], lambda content: content + b"0", None, lambda _: KIND])
def test_damaged_kept_files_are_named(tmp_path, cache, file, change):
    folder = draw(tmp_path / "animals")
    from_folder(folder)
    path = cache / kept_in(cache)[0] / file
    content = path.read_bytes()
    path.unlink()
    if change is not None:
        path.write_bytes(change(content))
    with pytest.raises(nn.DataError, match=rf"{file} is damaged.*delete its folder and run again"):
        from_folder(folder)


def test_several_processes_at_once_make_it_once(tmp_path, cache):
    folder = draw(tmp_path / "animals")
    program = f"import npcnn as nn; print(nn.datasets.from_folder({str(folder)!r}, size=5).checksum())"
    environment = os.environ | {"PYTHONPATH": str(Path(nn.__file__).parent.parent)}
    processes = [
        subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    told = [process.communicate(timeout=600)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert set(told) == {from_folder(folder, size=5).checksum() + "\n"}
    assert len(kept_in(cache)) == 1


def test_without_pillow_it_says_what_to_install(tmp_path, cache, monkeypatch):
    folder = draw(tmp_path / "animals")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"Pillow, which is not installed: python -m pip install"):
        from_folder(folder)
    monkeypatch.undo()
    assert len(from_folder(folder, cache=cache).train_images) == 28


def test_pictures_that_do_not_fit_in_memory_are_trained_on(tmp_path):
    """The pictures take 133 MB, the process may have less: they are read batch by batch."""
    folder = draw(tmp_path / "many", {"no": 150, "yes": 150}, size=(4, 4))
    program = f"""
import resource
import numpy as np
import npcnn as nn
from npcnn.datasets import TrainingBatches, evaluation_batches, from_folder

options = dict(size=384, cache={str(tmp_path / "kept")!r})
warm = np.ones((64, 64)) @ np.ones((64, 64))  # whatever NumPy starts is there

with open("/proc/self/status") as status:
    data_now = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))
limit = data_now + 90_000_000
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    held = np.ones(120_000_000, np.uint8)
    raise SystemExit("there is no limit here")
except MemoryError:
    pass
data = from_folder({str(folder)!r}, **options)
assert data.train_images.nbytes + data.test_images.nbytes == 300 * 384 * 384 * 3
seen = set()
with TrainingBatches(data, batch_size=1, ahead=1) as batches:
    for _ in range(240):
        x, labels = next(batches)
        assert (x[:, 0, 0, 0] == labels).all()
        seen |= {{(int(red), int(green)) for red, green in x[:, 0, 0, :2]}}
seen |= {{(int(red), int(green)) for x, _ in evaluation_batches(data, batch_size=1) for red, green in x[:, 0, 0, :2]}}
print(len(seen), data.checksum())
"""
    if not Path("/proc/self/status").exists():
        pytest.skip("the limit is Linux's")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=600)
    if "there is no limit here" in done.stderr:
        pytest.skip("the system does not keep to RLIMIT_DATA")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == "300"
