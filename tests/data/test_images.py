"""Files of every kind arrive as asked; broken ones are refused by name."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from scratchdet.data.images import image_size, read_image
from scratchdet.structures import DataError

WIDTH, HEIGHT = 24, 16
TURNED = 6  # EXIF: the camera was turned, show it rotated clockwise by 90 degrees


@pytest.fixture
def pixels():
    """Red on the left, blue on the right."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:, : WIDTH // 2, 0] = 255
    image[:, WIDTH // 2 :, 2] = 255
    return image


def save(path, pixels, *, mode="RGB", orientation=None):
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    Image.fromarray(pixels).convert(mode).save(path, exif=exif)
    return path


def jpeg_bytes(pixels, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.webp", "a.jpg", "ünï 漢 #%.png"])
def test_three_channels_arrive_as_rgb(tmp_path, pixels, name):
    read = read_image(save(tmp_path / name, pixels), channels=3)
    assert read.shape == (HEIGHT, WIDTH, 3)
    assert read.dtype == np.uint8
    assert (read[:, 2, 0] > 200).all()
    assert (read[:, 2, 2] < 60).all()
    assert (read[:, -2, 2] > 200).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("mode", "stored"), [("1", 1), ("L", 1), ("LA", 1), ("P", 3), ("RGB", 3), ("RGBA", 3)]
)
def test_every_mode_arrives_in_the_channels_asked_for(tmp_path, pixels, mode, stored, channels):
    path = save(tmp_path / "a.png", pixels, mode=mode)
    assert read_image(path).shape[2] == stored
    assert read_image(path, channels=channels).shape == (HEIGHT, WIDTH, channels)


def test_grey_and_cmyk_jpegs_arrive_in_colour(tmp_path, pixels):
    assert read_image(save(tmp_path / "l.jpg", pixels, mode="L"), channels=3).shape[2] == 3
    assert read_image(save(tmp_path / "c.jpg", pixels, mode="CMYK"), channels=3).shape[2] == 3
    assert read_image(tmp_path / "l.jpg").shape[2] == 1
    assert read_image(tmp_path / "c.jpg").shape[2] == 3


@pytest.mark.parametrize("stored", [1, 3])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".pnm"])
def test_sixteen_bits_arrive_whole(tmp_path, suffix, stored):
    path = tmp_path / f"deep{suffix}"
    pixels = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH, stored), np.uint16)
    path.write_bytes(cv2.imencode(suffix, pixels[..., ::-1])[1].tobytes())
    read = read_image(path)
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, pixels)
    for channels in (1, 3):
        assert read_image(path, channels=channels).shape == (HEIGHT, WIDTH, channels)
        assert read_image(path, channels=channels).dtype == np.uint16


def test_other_channel_counts_are_refused(tmp_path, pixels):
    with pytest.raises(DataError, match=r"a\.png: pictures have 1 or 3 channels; 2 are wanted"):
        read_image(save(tmp_path / "a.png", pixels), channels=2)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_exif_orientation_is_applied_and_the_header_says_so_too(tmp_path, pixels, name):
    path = save(tmp_path / name, pixels, orientation=TURNED)
    assert image_size(path) == (HEIGHT, WIDTH)
    read = read_image(path, channels=3)
    assert read.shape == (WIDTH, HEIGHT, 3)
    assert read[2, :, 0].min() > 200  # the left half is the upper one now


@pytest.mark.parametrize("channels", [1, 3])
def test_boxes_drawn_on_unturned_pixels_keep_the_image_unturned(tmp_path, pixels, channels):
    path = save(tmp_path / "a.jpg", pixels, orientation=TURNED)

    def shape(size):
        return read_image(path, channels=channels, annotated_size=size).shape[:2]

    assert shape((WIDTH, HEIGHT)) == (HEIGHT, WIDTH)
    assert shape((HEIGHT, WIDTH)) == (WIDTH, HEIGHT)
    assert shape((7, 7)) == (WIDTH, HEIGHT)


def test_an_image_annotated_the_other_way_round_is_not_turned_without_exif(tmp_path, pixels):
    path = save(tmp_path / "a.png", pixels)
    read = read_image(path, channels=3, annotated_size=(HEIGHT, WIDTH))
    assert read.shape[:2] == (HEIGHT, WIDTH)


def test_an_image_upside_down_is_turned_whatever_the_annotated_size(tmp_path, pixels):
    path = save(tmp_path / "a.png", pixels, orientation=3)
    for size in (None, (WIDTH, HEIGHT), (HEIGHT, WIDTH)):
        assert (read_image(path, channels=3, annotated_size=size)[:, 2, 2] == 255).all()


def test_a_damaged_exif_block_turns_nothing(tmp_path, pixels):
    (tmp_path / "a.jpg").write_bytes(jpeg_bytes(pixels, exif=b"Exif\0\0nonsense"))
    assert image_size(tmp_path / "a.jpg") == (WIDTH, HEIGHT)
    assert read_image(tmp_path / "a.jpg", channels=3).shape[:2] == (HEIGHT, WIDTH)


@pytest.mark.parametrize("content", [b"", b"no image", b"\xff\xd8", b"\x89PNG\r\n\x1a\n"])
def test_files_that_are_no_images_are_refused_by_name(tmp_path, content):
    path = tmp_path / "broken.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.jpg"):
        read_image(path, channels=3)
    with pytest.raises(DataError, match=r"broken\.jpg"):
        image_size(path)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match=r"gone\.jpg.*No such file"):
        read_image(tmp_path / "gone.jpg", channels=3)
    with pytest.raises(DataError, match=r"gone\.jpg"):
        image_size(tmp_path / "gone.jpg")


@pytest.fixture
def lenient_decoder(monkeypatch):
    """OpenCV 4 fills what is missing with grey and says nothing; OpenCV 5 returns None."""
    decoded = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    monkeypatch.setattr(cv2, "imdecode", lambda data, flags: decoded)


@pytest.mark.usefixtures("lenient_decoder")
@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("missing", [2, 30, 0.5])
def test_cut_off_files_are_refused_whatever_the_decoder_makes_of_them(
    tmp_path, pixels, suffix, missing
):
    path = save(tmp_path / f"a.{suffix}", pixels)
    whole = path.read_bytes()
    lost = int(len(whole) * missing) if isinstance(missing, float) else missing
    path.write_bytes(whole[: -lost - (8 if suffix == "png" else 0)])
    with pytest.raises(DataError, match="cut off"):
        read_image(path, channels=3)


@pytest.mark.usefixtures("lenient_decoder")
def test_the_end_of_a_thumbnail_is_not_taken_for_the_end_of_the_image(tmp_path, pixels):
    whole = jpeg_bytes(pixels, exif=b"Exif\0\0" + jpeg_bytes(pixels))
    (tmp_path / "a.jpg").write_bytes(whole[:-20])
    with pytest.raises(DataError, match="cut off"):
        read_image(tmp_path / "a.jpg", channels=3)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_bytes_after_the_end_of_an_image_are_allowed(tmp_path, pixels, suffix):
    path = save(tmp_path / f"a.{suffix}", pixels)
    path.write_bytes(path.read_bytes() + b"\0" * 100 + b"maker's notes")
    assert read_image(path, channels=3).shape == (HEIGHT, WIDTH, 3)


def test_progressive_jpegs_are_whole(tmp_path, pixels):
    (tmp_path / "a.jpg").write_bytes(jpeg_bytes(pixels, progressive=True))
    assert read_image(tmp_path / "a.jpg", channels=3).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("channels", [None, 1, 3])
def test_a_picture_too_large_to_be_one_is_refused_whatever_is_asked_for(
    tmp_path, monkeypatch, pixels, channels
):
    path = save(tmp_path / "a.png", pixels)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", WIDTH * HEIGHT // 2 - 1)  # Pillow: twice that
    with pytest.raises(DataError, match=r"a\.png: not a readable image .*bomb"):
        read_image(path, channels=channels)
    with pytest.raises(DataError, match="bomb"):
        image_size(path)
