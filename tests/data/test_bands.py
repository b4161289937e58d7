"""Images of any number of channels and any depth: .npy, TIFF, and several files that are one."""

import io
import lzma
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchdet.data import npy
from scratchdet.data.images import decode, image_size, read_image
from scratchdet.data.references import join
from scratchdet.ops.pixels import DTYPES
from scratchdet.structures import DataError

HEIGHT, WIDTH = 6, 9
CHANNELS = (1, 2, 3, 4, 10, 426)


def bands(channels, dtype="uint8", *, size=(HEIGHT, WIDTH)) -> np.ndarray:
    """Values over the whole range of the type, of which 8 bits would leave little."""
    rng = np.random.default_rng(channels)
    if np.dtype(dtype).kind == "f":
        return rng.normal(0, 1000, (*size, channels)).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, (*size, channels), dtype, endpoint=True)


def write_pages(path, array):
    """A page for every channel."""
    with tifffile.TiffWriter(path) as writer:
        for channel in np.moveaxis(array, 2, 0):
            writer.write(channel, photometric="minisblack", contiguous=False)


def write_tiff(path, array, **options):
    options = {"photometric": "minisblack", **options}
    if options.get("planarconfig") == "separate":
        array = np.ascontiguousarray(np.moveaxis(array, 2, 0))
    elif array.shape[2] > 1:
        options["planarconfig"] = "contig"
    else:
        array = array[:, :, 0]
    tifffile.imwrite(path, array, **options)


WRITERS = {
    "npy": ("a.npy", np.save),
    "fortran npy": ("a.npy", lambda path, array: np.save(path, np.asfortranarray(array))),
    "big-endian npy": (
        "a.npy",
        lambda path, array: np.save(path, array.astype(array.dtype.newbyteorder(">"))),
    ),
    "interleaved TIFF": ("a.tif", write_tiff),
    "deflated TIFF": ("a.tif", lambda *given: write_tiff(*given, compression="deflate")),
    "BigTIFF": ("a.tiff", lambda *given: write_tiff(*given, bigtiff=True)),
    "big-endian TIFF": ("a.tif", lambda *given: write_tiff(*given, byteorder=">")),
    "TIFF of pages": ("a.tif", write_pages),
    "planar TIFF": (
        "a.tif",
        lambda path, array: (
            write_tiff(path, array, planarconfig="separate")
            if array.shape[2] > 1
            else write_tiff(path, array)
        ),
    ),
    "tiled TIFF": ("a.tif", lambda *given: write_tiff(*given, tile=(16, 16))),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("writer", WRITERS)
def test_every_value_arrives_as_it_was_written(tmp_path, writer, channels, dtype):
    name, write = WRITERS[writer]
    pixels = bands(channels, dtype)
    write(tmp_path / name, pixels)
    read = decode(tmp_path / name)
    assert read.pixels.dtype == np.dtype(dtype)
    assert read.pixels.flags.c_contiguous
    np.testing.assert_array_equal(read.pixels, pixels)
    assert not read.is_rgb
    assert image_size(tmp_path / name) == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(read_image(tmp_path / name, channels=channels), pixels)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
def test_a_tiff_that_says_so_is_rgb(tmp_path, dtype, planarconfig):
    pixels = bands(3, dtype)
    write_tiff(tmp_path / "a.tif", pixels, photometric="rgb", planarconfig=planarconfig)
    read = decode(tmp_path / "a.tif")
    assert read.is_rgb
    np.testing.assert_array_equal(read.pixels, pixels)
    grey = read_image(tmp_path / "a.tif", channels=1)
    assert grey.dtype == np.dtype(dtype)
    expected = pixels @ np.array([0.299, 0.587, 0.114])
    # OpenCV rounds the weights of 16-bit pictures.
    assert np.abs(grey[:, :, 0] - expected).max() <= (2.0 if dtype != "float32" else 1e-2)


def test_the_fourth_band_of_a_tiff_is_a_channel_even_if_it_is_called_alpha(tmp_path):
    pixels = bands(4)
    write_tiff(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), pixels)


def test_overviews_are_no_channels(tmp_path):
    pixels = bands(1, "int16")[:, :, 0]
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(pixels, photometric="minisblack")
        writer.write(pixels[::2, ::2], photometric="minisblack", subfiletype=1)
        writer.write(pixels > 0, photometric="minisblack", subfiletype=4)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[:, :, 0], pixels)


def test_grey_bands_become_three_equal_channels(tmp_path):
    pixels = bands(1, "float32")
    np.save(tmp_path / "a.npy", pixels[:, :, 0])
    read = read_image(tmp_path / "a.npy", channels=3)
    np.testing.assert_array_equal(read, np.dstack([pixels] * 3))


@pytest.mark.parametrize(("stored", "wanted"), [(2, 3), (3, 1), (4, 3), (10, 1), (1, 2)])
def test_bands_are_neither_left_out_nor_made_up(tmp_path, stored, wanted):
    np.save(tmp_path / "a.npy", bands(stored))
    with pytest.raises(DataError, match=rf"a\.npy: has {stored} channels?; {wanted} are wanted"):
        read_image(tmp_path / "a.npy", channels=wanted)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_floats_are_read_as_float32(tmp_path, dtype):
    pixels = np.arange(54, dtype=dtype).reshape(6, 9) / 3
    np.save(tmp_path / "a.npy", pixels)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack")
    for name in ("a.npy", "a.tif"):
        read = read_image(tmp_path / name)
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read[:, :, 0], pixels.astype(np.float32))


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint32", "complex64", "bool", "U3"])
@pytest.mark.parametrize("suffix", [".npy", ".tif"])
def test_other_types_are_refused_by_name(tmp_path, dtype, suffix):
    if suffix == ".tif" and dtype in ("U3", "bool"):
        pytest.skip("TIFF has none, or has it as a picture of black and white")
    array = np.zeros((6, 9), dtype)
    if suffix == ".npy":
        np.save(tmp_path / "a.npy", array)
    else:
        tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack")
    with pytest.raises(DataError, match=rf"a{suffix}: its values are .*; uint8, uint16"):
        read_image(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_a_problem_and_counted(tmp_path, value):
    pixels = bands(4, "float32")
    pixels[2, 3] = value
    pixels[4, 5, 1] = value
    np.save(tmp_path / "a.npy", pixels)
    with pytest.raises(DataError, match=r"a\.npy: 2 of 54 pixels are not finite"):
        read_image(tmp_path / "a.npy")


def npy_bytes(array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


UINT8 = "{'descr': '|u1', 'fortran_order': False, 'shape': "


def npy_of(header, *, version=1, values=0) -> bytes:
    length = struct.pack("<H" if version == 1 else "<I", len(header) + 1)
    return npy.MAGIC + bytes([version, 0]) + length + header.encode() + b"\n" + bytes(values)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (npy_bytes(bands(2))[:-1], "cut off"),
        (npy_bytes(bands(2)) + b"\0", "cut off"),
        (npy_bytes(bands(2))[:40], "not a readable .npy"),
        (npy_bytes(np.zeros((0, 4), np.uint8)), r"its shape is \(0, 4\)"),
        (npy_bytes(np.zeros(4, np.uint8)), r"its shape is \(4,\)"),
        (npy_bytes(np.zeros((2, 2, 2, 2), np.uint8)), r"its shape is \(2, 2, 2, 2\)"),
        (npy_bytes(np.zeros((6, 9), np.uint8)).replace(b"(6, 9), ", b"(10**12,9)"), ".npy"),
        (npy_bytes(bands(2)).replace(b"6, 9, 2), }     ", b"60000000, 9, 2)}"), "cut off"),
        (b"\x93NUMPY\x09\x00" + bytes(80), "version 9"),
        (b"\x93NUMPY\x01\x00" + bytes(80), "not a readable .npy"),
        (npy_of("{'descr': (), 'fortran_order': False, 'shape': (2, 3)}"), "not a readable .npy"),
        (npy_of("((((("), "not a readable .npy"),
        (npy_of(9000 * "-" + "1"), "not a readable .npy"),
        (npy_of(9000 * "-" + "1", version=2), "not a readable .npy"),
        (npy_of(UINT8 + "(-2, -3)}", values=6), r"its shape is \(-2, -3\)"),
        (npy_of(UINT8 + f"(0x{'f' * 5000}, 1)}}"), "not a readable .npy"),
    ],
)  # fmt: skip
def test_a_damaged_npy_file_is_refused_in_words(tmp_path, content, why):
    (tmp_path / "a.npy").write_bytes(content)
    for read in (read_image, image_size):
        with pytest.raises(DataError, match=rf"a\.npy: .*{why}"):
            read(tmp_path / "a.npy")


def test_nothing_is_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[print, {}]], dtype=object))
    with pytest.raises(DataError, match="its values are object"):
        read_image(tmp_path / "a.npy")


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_tiff_is_refused_in_words_or_read(tmp_path_factory, data):
    """Whatever bytes are changed, and wherever it is cut: nothing but DataError comes out."""
    path = tmp_path_factory.getbasetemp() / "damaged.tif"
    write_tiff(path, bands(5, "int16"), compression="deflate")
    content = bytearray(path.read_bytes())
    length = data.draw(st.integers(4, len(content)))
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[:length])
    for read in (read_image, image_size):
        try:
            read(path)
        except DataError as error:
            assert str(path) in str(error)  # noqa: PT017  # it need not be raised


def test_a_tiff_that_claims_to_be_huge_is_refused_before_room_is_made(tmp_path):
    path = tmp_path / "a.tif"
    write_tiff(path, bands(2, "int16"))
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags["ImageLength"].overwrite(2**31)
        file.pages[0].tags["ImageWidth"].overwrite(2**31)
    with pytest.raises(DataError, match=r"a\.tif: .* are too many; cut it into tiles"):
        read_image(path)


def test_pages_that_are_not_channels_of_one_image_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "sizes.tif") as writer:
        writer.write(bands(1)[:, :, 0], photometric="minisblack")
        writer.write(bands(1, size=(3, 4))[:, :, 0], photometric="minisblack")
    with tifffile.TiffWriter(tmp_path / "colours.tif") as writer:
        for _ in range(2):
            writer.write(bands(3), photometric="rgb", contiguous=False)
    with pytest.raises(DataError, match=r"sizes\.tif: its pages are unlike each other"):
        read_image(tmp_path / "sizes.tif")
    with pytest.raises(DataError, match=r"colours\.tif: 2 pages of 3 channels"):
        read_image(tmp_path / "colours.tif")


LZW = "import sys\n{}from scratchdet.data.images import read_image\nprint(read_image(sys.argv[1]))"


def read_elsewhere(path, first=""):
    """What reading the image prints in a fresh process, after another first statement."""
    program = [sys.executable, "-c", LZW.format(first), str(path)]
    return subprocess.run(program, capture_output=True, text=True, timeout=60)


def test_compression_that_is_not_installed_is_named_with_what_to_install(tmp_path):
    pytest.importorskip("imagecodecs")
    write_tiff(tmp_path / "a.tif", bands(5), compression="lzw")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), bands(5))
    done = read_elsewhere(tmp_path / "a.tif", "sys.modules['imagecodecs'] = None\n")
    assert "LZW compression" in done.stderr
    assert "pip install imagecodecs" in done.stderr


PEAK = """import sys, tracemalloc
sys.modules['imagecodecs'] = None
from scratchdet.data.images import read_image
tracemalloc.start()
try:
    print(read_image(sys.argv[1]).shape)
except Exception as error:
    print(type(error).__name__, error)
print(tracemalloc.get_traced_memory()[1])
"""


def read_without_imagecodecs(path):
    """What comes of reading the image, and the most bytes it held at a time."""
    program = [sys.executable, "-c", PEAK, str(path)]
    lines = subprocess.run(program, capture_output=True, text=True, timeout=60, check=True).stdout
    outcome, peak = lines.splitlines()
    return outcome, int(peak)


@pytest.mark.parametrize("codec", [zlib, lzma])
def test_a_strip_of_more_than_its_rows_is_not_inflated(tmp_path, codec):
    path = tmp_path / "a.tif"
    bomb = codec.compress(bytes(2**26))
    number = {"zlib": "deflate", "lzma": "lzma"}[codec.__name__]
    tifffile.imwrite(
        path, iter([bomb]), shape=(8, 8), dtype="float32", compression=number, rowsperstrip=8
    )
    outcome, peak = read_without_imagecodecs(path)
    assert outcome.startswith("DataError")
    assert "a.tif: " in outcome
    assert "more than" in outcome
    assert peak < 2**24


@pytest.mark.parametrize("layout", [{}, {"rowsperstrip": 4}, {"tile": (16, 16)}])
def test_whole_strips_and_tiles_are_inflated_without_imagecodecs(tmp_path, layout):
    path = tmp_path / "a.tif"
    write_tiff(path, bands(5, "int16"), compression="deflate", **layout)
    assert read_without_imagecodecs(path)[0] == str((HEIGHT, WIDTH, 5))


def test_a_tile_that_claims_to_be_huge_is_refused_before_room_is_made(tmp_path):
    path = tmp_path / "a.tif"
    write_tiff(path, bands(2, "int16"), tile=(16, 16), compression="deflate")
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags["TileLength"].overwrite(32768)
        file.pages[0].tags["TileWidth"].overwrite(32768)
    with pytest.raises(DataError, match=r"a\.tif: .* are too many"):
        read_image(path)


def test_files_of_one_image_are_its_channels_one_after_the_other(tmp_path):
    parts = [bands(1, "uint16"), bands(4, "uint16"), bands(2, "uint16")]
    files = [tmp_path / name for name in ("a.npy", "b.tif", "c.npy")]
    for file, part in zip(files, parts, strict=True):
        (write_tiff if file.suffix == ".tif" else np.save)(file, part)
    reference = join([str(file) for file in files])
    np.testing.assert_array_equal(read_image(reference), np.dstack(parts))
    assert image_size(reference) == (WIDTH, HEIGHT)
    assert not decode(join([str(files[0])] * 3)).is_rgb
    with pytest.raises(DataError, match="has 7 channels; 5 are wanted"):
        read_image(reference, channels=5)
    with pytest.raises(DataError, match=r"b\.tif: has 4 channels; 1 are wanted"):
        read_image(reference, channels=3)


@pytest.mark.parametrize("other", [bands(1, size=(9, 6)), bands(1, "int16")])
def test_files_of_one_image_that_do_not_fit_are_an_error_that_says_how(tmp_path, other):
    np.save(tmp_path / "a.npy", bands(1))
    np.save(tmp_path / "b.npy", other)
    with pytest.raises(DataError, match=r"one size and type: .*a\.npy is 9x6 of uint8; .*b\.npy"):
        read_image(join([str(tmp_path / "a.npy"), str(tmp_path / "b.npy")]))


def test_the_hyperspectral_plot_is_read_whole(shared):
    path = shared / "data/neon_sjer_052/SJER_052_hyperspectral.tif"
    pixels = read_image(path)
    assert (pixels.shape, pixels.dtype) == ((40, 40, 426), np.dtype("int16"))
    assert (pixels.min(), pixels.max()) == (0, 14998)
