"""Any picture as the network's input: cut, scaled, turned; or refused with the reason."""

import numpy as np
import pytest

from npcnn.datasets import pictures
from npcnn.datasets.pictures import read_picture
from npcnn.errors import DataError

Image = pytest.importorskip("PIL.Image")

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


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "F"])
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
