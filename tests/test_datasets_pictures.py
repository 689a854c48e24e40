"""Any picture as the network's input: cut, scaled, turned; or refused with the reason."""

import struct
import subprocess
import sys

import numpy as np
import pytest

from npcnn.datasets import pictures
from npcnn.datasets.pictures import read_picture, read_whole_picture
from npcnn.errors import DataError

Image = pytest.importorskip("PIL.Image")
ImageFile = pytest.importorskip("PIL.ImageFile")

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def saved(path, image, **options):
    image.save(path, **options)
    return path


def halves(size, first, second, mode="RGB"):
    """A picture of two colours side by side."""
    image = Image.new(mode, size, first)
    image.paste(second, (size[0] // 2, 0, *size))
    return image


def test_a_picture_of_the_right_size_stays_as_it_is(tmp_path, rng):
    pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    read = read_picture(saved(tmp_path / "a.png", Image.fromarray(pixels)))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, pixels)


@pytest.mark.parametrize("size", [(64, 32), (32, 64), (1000, 500), (3, 1)])
def test_the_middle_square_is_taken(tmp_path, size):
    image = Image.new("RGB", size, RED)
    w, h = size
    side = min(size)
    image.paste(BLUE, ((w - side) // 2, (h - side) // 2, (w + side) // 2, (h + side) // 2))
    read = read_picture(saved(tmp_path / "a.png", image))
    assert read.shape == (32, 32, 3)
    assert (read == BLUE).all()


def test_it_is_turned_as_exif_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn by a quarter, clockwise
    path = saved(tmp_path / "a.png", halves((32, 32), RED, BLUE), exif=exif)
    read = read_picture(path)
    assert (read[:16] == RED).all()
    assert (read[16:] == BLUE).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_every_mode_is_read(tmp_path, mode):
    path = saved(tmp_path / "a.tiff", Image.new(mode, (40, 40)))
    assert read_picture(path).shape == (32, 32, 3)


def test_what_is_transparent_is_white(tmp_path):
    path = saved(tmp_path / "a.png", halves((32, 32), (*RED, 255), (*GREEN, 0), "RGBA"))
    read = read_picture(path)
    assert (read[:, :16] == RED).all()
    assert (read[:, 16:] == WHITE).all()


def test_of_an_animation_the_first_picture(tmp_path):
    frames = [Image.new("RGB", (32, 32), colour) for colour in (RED, BLUE)]
    path = saved(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    assert (read_picture(path) == RED).all()


def test_what_is_no_picture_is_refused(tmp_path):
    path = tmp_path / "a.png"
    path.write_text("not a picture")
    with pytest.raises(DataError, match=r"a.png is not a picture in one of the formats BMP, .*PNG, .*; convert it"):
        read_picture(path)
    with pytest.raises(FileNotFoundError):
        read_picture(tmp_path / "none.png")
    with pytest.raises(IsADirectoryError):
        read_picture(tmp_path)


@pytest.mark.parametrize("ending", ["png", "jpg", "gif", "tiff", "webp", "bmp"])
@pytest.mark.parametrize("part", [0.2, 0.5, 0.95])
def test_a_truncated_picture_is_refused(tmp_path, rng, ending, part):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(rng.integers(0, 256, (50, 50, 3), dtype=np.uint8)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(DataError, match=rf"a.{ending} is (damaged|not a picture)"):
        read_picture(path)


def test_a_picture_larger_than_memory_likes_is_refused(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.png", Image.new("RGB", (40, 30)))
    monkeypatch.setattr(pictures, "PIXEL_LIMIT", 1199)
    with pytest.raises(DataError, match=r"40 x 30 pixels, expected at most 1,199"):
        read_picture(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow's own limit
    with pytest.raises(DataError, match=r"too large|pixels"):
        read_picture(path)


@pytest.mark.parametrize("size", [(700, 600), (300, 1100), (257, 256), (20, 30)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_reading_in_bands_changes_no_bit(tmp_path, rng, size, mode):
    pixels = rng.integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    path = saved(tmp_path / "a.png", Image.fromarray(pixels).convert(mode))
    with Image.open(path) as image:
        whole = image.convert("RGBA")
    whole = Image.alpha_composite(Image.new("RGBA", whole.size, "white"), whole).convert("RGB")
    side = min(size)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    square = whole.crop((left, top, left + side, top + side)).resize((32, 32), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(read_picture(path), np.asarray(square))


def test_a_large_picture_takes_little_more_than_its_own_memory(tmp_path):
    Image.new("RGBA", (5000, 5000)).save(tmp_path / "a.png")  # 100 MB when it is read
    program = (
        "import resource, sys; from npcnn.datasets.pictures import read_picture; import PIL.Image, PIL.ImageOps; "
        "most = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == 'darwin' else 1024);"
        f"before = most(); read_picture({str(tmp_path / 'a.png')!r}); print(most() - before)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=600)
    assert int(done.stdout) < 160e6


@pytest.mark.parametrize("kind", ["EPS", "AVIF", "BLP", "DDS", "ICO", "JPEG2000", "PCX", "SPIDER", "TGA", "XBM"])
def test_only_the_formats_that_are_meant_are_opened(tmp_path, kind):
    """Whatever the file is called: of these some fail oddly when they are damaged, and EPS starts another program."""
    image = Image.new({"SPIDER": "F", "XBM": "1", "BLP": "P"}.get(kind, "RGB"), (40, 40))
    try:
        # Not to a.jpg: Pillow remembers the ending that it saved a SPIDER file under, and would save every .jpg as one.
        image.save(tmp_path / "a.other", format=kind)
    except (KeyError, OSError, ValueError) as error:
        pytest.skip(f"this Pillow cannot write it: {error}")
    (tmp_path / "a.other").rename(tmp_path / "a.jpg")
    for part in (1.0, 0.9):
        content = (tmp_path / "a.jpg").read_bytes()
        (tmp_path / "a.jpg").write_bytes(content[: int(len(content) * part)])
        with pytest.raises(DataError, match=r"a\.jpg is not a picture in one of the formats .*; convert it"):
            read_picture(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    "failure",
    [RuntimeError("odd"), OSError(22, "Invalid argument"), struct.error("odd"), IndexError(), TypeError("odd")],
)
def test_whatever_a_decoder_raises_the_file_is_damaged(tmp_path, monkeypatch, failure):
    def fail(self):
        raise failure

    path = saved(tmp_path / "a.png", Image.new("RGB", (40, 40)))
    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    with pytest.raises(DataError, match=r"a\.png is damaged: (odd|.*Invalid argument|IndexError)$"):
        read_picture(path)


@pytest.mark.parametrize("kind", pictures.FORMATS)
def test_changed_bytes_are_read_or_refused(tmp_path, rng, kind):
    image = Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8))
    content = saved(tmp_path / "whole", image, format=kind).read_bytes()
    refused = 0
    for _ in range(100):
        changed = bytearray(content)
        for place in rng.integers(0, min(len(content), 200), 3):  # where a format says what it holds
            changed[place] = rng.integers(256)
        (tmp_path / "changed").write_bytes(changed)
        try:
            assert read_picture(tmp_path / "changed").shape == (32, 32, 3)
        except DataError:
            refused += 1
    assert refused > 5


@pytest.mark.parametrize("reader", [read_picture, read_whole_picture])
@pytest.mark.parametrize(("mode", "ending"), [("I;16", "png"), ("I;16", "tiff"), ("I", "tiff"), ("F", "tiff")])
def test_more_than_8_bits_a_channel_are_refused_not_cut_off(tmp_path, reader, mode, ending):
    path = saved(tmp_path / f"a.{ending}", Image.new(mode, (40, 40), 40_000))
    with pytest.raises(DataError, match=r"has more than 8 bits a channel \(mode .*\); convert it to 8 bits"):
        reader(path)


@pytest.mark.parametrize("size", [(3, 5), (600, 20), (1, 1)])
def test_a_whole_picture_stays_as_it_is(tmp_path, rng, size, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    saved(tmp_path / "a.png", Image.fromarray(pixels))
    np.testing.assert_array_equal(read_whole_picture("~/a.png"), pixels)


def test_a_whole_picture_scaled_is_what_pillow_makes_of_it(tmp_path, rng):
    image = Image.fromarray(rng.integers(0, 256, (700, 300, 3), dtype=np.uint8))
    path = saved(tmp_path / "a.png", image)
    for size in ((32, 48), (700, 20), (900, 900)):
        expected = np.asarray(image.resize(size[::-1], Image.Resampling.LANCZOS), np.int64)
        # Pillow may scale the height first; each of the two passes rounds.
        np.testing.assert_allclose(read_whole_picture(path, size), expected, rtol=0, atol=1)
    np.testing.assert_array_equal(read_whole_picture(path, 16), read_whole_picture(path, (16, 16)))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_a_whole_picture_in_grey(tmp_path, rng, mode):
    grey = rng.integers(0, 256, (6, 9), dtype=np.uint8)
    path = saved(tmp_path / "a.png", Image.fromarray(grey).convert(mode))
    np.testing.assert_array_equal(read_whole_picture(path, channels=1), grey[..., np.newaxis])


@pytest.mark.parametrize("options", [{"size": 0}, {"size": (1, 2, 3)}, {"channels": 2}])
def test_wrong_sizes_and_channels_are_named(tmp_path, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        read_whole_picture(tmp_path / "none.png", **options)
