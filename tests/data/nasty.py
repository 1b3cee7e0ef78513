"""A folder of nasty image files, made anew and always the same, with what is to happen to each.

`CASES` is the table: a file's name, what it is, how it is made, and the outcome that was decided beforehand: either the
height and width that are read and, where it matters, a pixel; or a pattern of the one line that refuses it.
"""

from __future__ import annotations

import io
import os
import socket
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["CASES", "Case", "build", "encoded", "large_webp", "picture"]

Pixel = tuple[int, int, tuple[int, int, int], int]  # row, column, RGB, tolerance
DAMAGED = "cannot be read as an image"
UNKNOWN = "no image of a known format"
TOO_LARGE = r"more than 50,000,000"


@dataclass(frozen=True)
class Case:
    """`make` writes the file; `size` (H, W) and `pixel` are what is read, or `refusal` is why not."""

    name: str
    what: str
    make: Callable[[Path], Any]
    size: tuple[int, int] | None = None
    pixel: Pixel | None = None
    refusal: str | None = None


def picture(height: int = 24, width: int = 32) -> Image.Image:
    """Smooth colours without symmetry and a little noise, RGB."""
    rows, columns = np.mgrid[:height, :width]
    smooth = np.stack([rows * 8, columns * 6, (rows + columns) * 3], axis=2)
    return Image.fromarray((smooth + np.random.default_rng(0).integers(0, 40, smooth.shape)).astype(np.uint8))


def quarters(mode: str = "RGB") -> Image.Image:
    """40×32: red, green, blue and white quarters (top left, top right, bottom left, bottom right)."""
    image = Image.new("RGB", (40, 32), "white")
    image.paste("red", (0, 0, 20, 16))
    image.paste((0, 255, 0), (20, 0, 40, 16))
    image.paste("blue", (0, 16, 20, 32))
    return image.convert(mode)


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    """The bytes of an image file."""
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def chunk(kind: bytes, body: bytes, crc: int | None = None) -> bytes:
    """A chunk of a PNG file; with `crc`, a wrong check sum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body) if crc is None else crc)


def png(width: int, height: int, rows: bytes, *, depth: int = 8, colour: int = 2, extra: bytes = b"", end: bool = True) -> bytes:
    """A PNG file from its scan lines."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows, 9)) + (chunk(b"IEND", b"") if end else b"")
    return b"\x89PNG\r\n\x1a\n" + body


def small_png(extra: bytes = b"", end: bool = True) -> bytes:
    """3×2 pixels of (10, 20, 30)."""
    return png(3, 2, (b"\0" + bytes((10, 20, 30)) * 3) * 2, extra=extra, end=end)


def tiff(entries: dict[int, tuple[int, int]], body: bytes = b"") -> bytes:
    """A little-endian TIFF file of numbers: tag → (type, value); `body` lies at byte 8."""
    start = 8 + len(body)
    directory = struct.pack("<H", len(entries))
    for tag, (kind, value) in sorted(entries.items()):
        directory += struct.pack("<HHII", tag, kind, 1, value)
    return b"II*\0" + struct.pack("<I", start) + body + directory + b"\0\0\0\0"


def turned(orientation: int, format: str) -> bytes:
    """`quarters` as a camera saves it in this orientation: upright once it is applied."""
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose's number of the inverse
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = quarters() if orientation == 1 else quarters().transpose(Image.Transpose(undo[orientation]))
    return encoded(stored, format, exif=exif, **({"quality": 95, "subsampling": 0} if format == "JPEG" else {}))


def ycck() -> bytes:
    """A CMYK JPEG of one colour whose Adobe marker says that its components are Y, Cb, Cr and K."""
    content = encoded(Image.new("CMYK", (16, 16), (155, 127, 127, 0)), "JPEG", quality=100, subsampling=0)  # stored inverted
    marker = content.index(b"Adobe")
    return content[: marker + 11] + b"\2" + content[marker + 12 :]


def frames(format: str) -> bytes:
    """Three frames or pages: red, green, blue."""
    first, *rest = (Image.new("RGB", (20, 10), colour) for colour in ("red", "lime", "blue"))
    lossless = {"lossless": True} if format == "WEBP" else {}
    return encoded(first, format, save_all=True, append_images=rest, **lossless)


def sixteen_bit_rgb() -> bytes:
    """2×1 pixels: (65535, 0, 257·128) and black."""
    return png(2, 1, b"\0" + struct.pack(">6H", 65535, 0, 257 * 128, 0, 0, 0), depth=16)


def clear(mode: str) -> Image.Image:
    """8×8: the upper half clear, the lower half of one colour."""
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.paste((10, 20, 30, 255), (0, 4, 8, 8))
    return image.convert(mode)


def clear_palette() -> bytes:
    """Palette entry 0 is clear, entry 1 is (10, 20, 30)."""
    image = Image.fromarray(np.repeat(np.arange(2, dtype=np.uint8), 32).reshape(8, 8)).convert("P")
    image.putpalette([200, 0, 0, 10, 20, 30])
    return encoded(image, "PNG", transparency=0)


def pipe(path: Path) -> None:
    """A named pipe: whoever opens it waits for a writer."""
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    """A socket, bound under a short name (the system's limit is 108 bytes) and then moved."""
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def sparse(path: Path) -> None:
    """A JPEG followed by a hole up to 513 MiB, of which the disk stores nothing."""
    path.write_bytes(encoded(picture(), "JPEG"))
    os.truncate(path, 513 * 2**20)


def content(data: bytes | Callable[[], bytes]) -> Callable[[Path], None]:
    """A maker that writes these bytes, made when they are needed."""
    return lambda path: path.write_bytes(data() if callable(data) else data) and None


def link(target: str) -> Callable[[Path], None]:
    """A maker of a symbolic link."""
    return lambda path: path.symlink_to(target)


def big_bmp() -> bytes:
    """A BMP whose header says 30,000×30,000."""
    whole = encoded(picture(), "BMP")
    return whole[:18] + struct.pack("<ii", 30_000, 30_000) + whole[26:]


def large_webp(width: int = 16_383, height: int = 16_383) -> bytes:
    """A lossless WebP of one colour: each of the five prefix codes has one symbol, so that no pixel takes a bit."""
    bits = [(0x2F, 8), (width - 1, 14), (height - 1, 14), (0, 1), (0, 3), (0, 1), (0, 1), (0, 1)]  # no transform, cache, meta code
    bits += [(1, 1), (0, 1), (0, 1), (0, 1)] * 5  # a simple code of one symbol, 0, stored in one bit
    value, shift = 0, 0
    for number, size in bits:
        value |= number << shift
        shift += size
    body = value.to_bytes((shift + 7) // 8, "little")
    inner = b"WEBPVP8L" + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    return b"RIFF" + struct.pack("<I", len(inner)) + inner


RED, DARK, WHITE = (255, 0, 0), (10, 20, 30), (255, 255, 255)
PHOTO = (24, 32)
JPEG, PNG = encoded(picture(), "JPEG"), encoded(picture(), "PNG")
PROGRESSIVE = encoded(picture(), "JPEG", progressive=True)
NUMBERS = {256: (4, 1), 257: (4, 1), 258: (3, 8), 259: (3, 1), 262: (3, 1), 273: (4, 8), 277: (3, 1), 278: (4, 1), 279: (4, 1)}


def cut(name: str, whole: bytes, percent: int) -> Case:
    """The first `percent` of a file."""
    refusal = f"{UNKNOWN}|{DAMAGED}"
    what = f"the first {percent} % of its bytes"
    return Case(f"{name}_{percent:02}.{name[-3:]}", what, content(whole[: len(whole) * percent // 100]), refusal=refusal)


def good(name: str, what: str, data: bytes | Callable[[], bytes], size: tuple[int, int] = PHOTO, pixel: Pixel | None = None) -> Case:
    """A file that is read."""
    return Case(name, what, content(data), size, pixel)


def bad(name: str, what: str, data: bytes | Callable[[], bytes], refusal: str = UNKNOWN) -> Case:
    """A file that is refused."""
    return Case(name, what, content(data), refusal=refusal)


CASES = [
    *(cut("jpg", JPEG, percent) for percent in range(5, 100, 5)),
    *(cut("png", PNG, percent) for percent in range(5, 100, 5)),
    *(
        good(f"exif_{n}.jpg", f"orientation {n}", lambda n=n: turned(n, "JPEG"), (32, 40), (5, 35, (0, 255, 0), 6))
        for n in range(1, 9)
    ),
    *(
        good(f"exif_{n}.tif", f"orientation {n}, a TIFF's own tag", lambda n=n: turned(n, "TIFF"), (32, 40), (5, 35, (0, 255, 0), 0))
        for n in (3, 6, 8)
    ),
    good("exif_6.png", "orientation in a PNG", lambda: turned(6, "PNG"), (32, 40), (5, 35, (0, 255, 0), 0)),
    good("exif_6.webp", "orientation in a WebP", lambda: turned(6, "WEBP"), (32, 40), (5, 35, (0, 255, 0), 40)),
    good("exif_none.jpg", "EXIF that is no EXIF", lambda: encoded(picture(), "JPEG", exif=b"Exif\0\0rubbish")),
    # bombs
    bad("header_5.png", "100 million pixels in a small PNG", lambda: png(20_000, 5_000, bytes(20_001 * 50), colour=0), TOO_LARGE),
    bad("header_6.png", "3.6 thousand million pixels", lambda: png(60_000, 60_000, bytes(60_001), colour=0), TOO_LARGE),
    bad("header.jpg", "65,000×65,000 in a JPEG's header", lambda: JPEG.replace(b"\0\x18\0\x20", b"\xfd\xe8\xfd\xe8", 1), TOO_LARGE),
    bad("header.gif", "65,535×65,535 in a GIF's header", lambda: b"GIF89a" + b"\xff" * 4 + frames("GIF")[10:], TOO_LARGE),
    bad("header.bmp", "30,000×30,000 in a BMP's header", big_bmp, TOO_LARGE),
    bad("header.ppm", "200,000×200,000 in a PPM's header", b"P6 200000 200000 255\n" + bytes(300), TOO_LARGE),
    bad("header.tif", "60,000×60,000 in a TIFF", lambda: tiff({**NUMBERS, 256: (4, 60_000), 257: (4, 60_000)}, bytes(8)), TOO_LARGE),
    bad(
        "tile.tif",
        "one pixel in a tile of 60,000×60,000",
        lambda: tiff({**{k: v for k, v in NUMBERS.items() if k not in (273, 278, 279)}, 259: (3, 8), 322: (4, 60_000), 323: (4, 60_000),
                      324: (4, 8), 325: (4, 8)}, bytes(8)),
        TOO_LARGE,
    ),
    bad("large.webp", "16,383×16,383 of one colour, 100 bytes or so", large_webp, TOO_LARGE),
    bad("text.png", "a text of 20 MB in 90 kB", lambda: small_png(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2 * 10**7), 1))), DAMAGED),
    bad(
        "profile.png", "a colour profile of 20 MB",
        lambda: small_png(chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(2 * 10**7), 1))),
        DAMAGED,
    ),
    Case("sparse.jpg", "513 MiB, mostly a hole", sparse, refusal="bytes are more than 536,870,912"),
    # other things under an image's name
    bad("page.jpg", "a web page", b"<!DOCTYPE html><html><body>404 Not Found</body></html>"),
    bad("note.png", "a text", b"see the other folder\n"),
    bad("drawing.png", "SVG", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'),
    bad("script.png", "PostScript, which some readers run", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
    bad("document.jpg", "PDF", b"%PDF-1.7\n1 0 obj\n"),
    bad("archive.jpg", "ZIP", b"PK\3\4" + bytes(60)),
    bad("icon.png", "ICO, a format that is not listed", lambda: encoded(picture(), "ICO")),
    bad("j2k.jpg", "JPEG 2000, a format that is not listed", lambda: encoded(picture(), "JPEG2000")),
    bad("random.png", "random bytes", lambda: np.random.default_rng(1).bytes(3000)),
    bad("zeros.jpg", "1,000 zero bytes, as after a power cut", bytes(1000)),
    bad("empty.jpg", "no bytes", b"", r"the file is empty \(0 bytes\)"),
    bad("header_only.png", "a PNG's signature", PNG[:8], f"{UNKNOWN}|{DAMAGED}"),
    bad("crc_header.png", "a wrong check sum of the header", lambda: PNG[:29] + bytes(4) + PNG[33:], f"{UNKNOWN}|{DAMAGED}"),
    bad("crc_data.png", "a byte of the pixels changed", lambda: PNG[:60] + bytes([PNG[60] ^ 255]) + PNG[61:], DAMAGED),
    # sound content under a wrong suffix, or with something behind it
    good("really_png.jpg", "a PNG named .jpg", PNG),
    good("really_jpeg.png", "a JPEG named .png", JPEG),
    good("really_webp.bmp", "a WebP named .bmp", lambda: encoded(picture(), "WEBP")),
    good("UPPER.JPG", "an upper-case suffix", JPEG),
    good("Mixed.JpEg", "a suffix in mixed case", JPEG),
    good("garbage.jpg", "a JPEG and 500 bytes behind its end", JPEG + b"rubbish" * 70),
    good("garbage.png", "a PNG and 490 bytes behind its end", PNG + b"rubbish" * 70),
    good("zip_behind.jpg", "a JPEG with an archive behind it", JPEG + b"PK\3\4" + bytes(60)),
    bad("no_end.jpg", "a JPEG without its last two bytes, the end's marker", JPEG[:-2], DAMAGED),
    good("no_end.png", "a PNG without its end: all pixels are there", lambda: small_png(end=False), (2, 3), (1, 2, DARK, 0)),
    # kinds of pixels
    good(
        "grey16.png", "16-bit grey",
        lambda: encoded(Image.fromarray(np.full((4, 5), 257 * 77, np.uint16)), "PNG"), (4, 5), (0, 0, (77,) * 3, 0),
    ),
    good(
        "grey16.tif", "16-bit grey",
        lambda: encoded(Image.fromarray(np.full((4, 5), 65535, np.uint16)), "TIFF"), (4, 5), (0, 0, WHITE, 0),
    ),
    good("rgb16.png", "16-bit RGB", sixteen_bit_rgb, (1, 2), (0, 0, (255, 0, 128), 1)),
    good("grey16.pgm", "16-bit grey, ours in ASCII", b"P2 2 1 65535\n0 65535\n", (1, 2), (0, 1, WHITE, 0)),
    good("ascii.ppm", "RGB in ASCII", b"P3 1 1 255\n10 20 30\n", (1, 1), (0, 0, DARK, 0)),
    good("bits.pbm", "1-bit, 1 is black", b"P1 2 1\n1 0\n", (1, 2), (0, 1, WHITE, 0)),
    good("bits.png", "1-bit", lambda: encoded(Image.new("1", (9, 5), 1), "PNG"), (5, 9), (4, 8, WHITE, 0)),
    good("grey.jpg", "grey", lambda: encoded(Image.new("L", (9, 5), 100), "JPEG"), (5, 9), (4, 8, (100,) * 3, 1)),
    good(
        "cmyk.jpg", "CMYK as Photoshop saves it, inverted",
        lambda: encoded(quarters("CMYK"), "JPEG", quality=95), (32, 40), (5, 5, RED, 8),
    ),
    good("ycck.jpg", "YCCK, inverted: cyan, magenta and yellow 100 of 255, no black", ycck, (16, 16), (8, 8, (155, 155, 155), 3)),
    good("cmyk.tif", "CMYK", lambda: encoded(quarters("CMYK"), "TIFF"), (32, 40), (5, 35, (0, 255, 0), 0)),
    good("palette.png", "palette", lambda: encoded(quarters("P"), "PNG"), (32, 40), (5, 5, RED, 0)),
    good("clear_palette.png", "a clear entry of a palette is white", clear_palette, (8, 8), (0, 0, WHITE, 0)),
    good("solid_palette.png", "its other entry keeps its colour", clear_palette, (8, 8), (7, 7, DARK, 0)),
    good("clear.png", "a clear pixel is white", lambda: encoded(clear("RGBA"), "PNG"), (8, 8), (0, 0, WHITE, 0)),
    good(
        "half.png", "alpha 128 of black is grey",
        lambda: encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 128)), "PNG"), (4, 4), (0, 0, (127,) * 3, 1),
    ),
    good("grey_alpha.png", "grey with alpha", lambda: encoded(clear("LA"), "PNG"), (8, 8), (0, 0, WHITE, 0)),
    good(
        "clear_key.png", "RGB with one clear colour",
        lambda: small_png(chunk(b"tRNS", struct.pack(">3H", *DARK))), (2, 3), (0, 0, WHITE, 0),
    ),
    good("clear.gif", "a clear GIF", lambda: encoded(clear("RGBA"), "GIF"), (8, 8), (0, 0, WHITE, 0)),
    bad("float.tif", "floating point", lambda: encoded(Image.new("F", (4, 4), 0.5), "TIFF"), "floating-point values have no known range"),
    bad("int32.tif", "32-bit integers", lambda: encoded(Image.new("I", (4, 4), 70_000), "TIFF"), "32-bit values have no known range"),
    bad("float.ppm", "a floating-point map", b"Pf 1 1 -1.0\n" + struct.pack("<f", 0.5), "floating-point values have no known range"),
    bad("lab.tif", "CIELAB", lambda: encoded(Image.new("LAB", (4, 4)), "TIFF"), "CIELAB colours are not read"),
    # several frames, extreme sizes
    good("animated.gif", "three frames: the first", lambda: frames("GIF"), (10, 20), (5, 5, RED, 0)),
    good("animated.webp", "three frames: the first", lambda: frames("WEBP"), (10, 20), (5, 5, RED, 0)),
    good("animated.png", "an APNG of three frames: the first", lambda: frames("PNG"), (10, 20), (5, 5, RED, 0)),
    good("pages.tif", "three pages: the first", lambda: frames("TIFF"), (10, 20), (5, 5, RED, 0)),
    good("one.png", "1×1", lambda: encoded(Image.new("RGB", (1, 1), DARK), "PNG"), (1, 1), (0, 0, DARK, 0)),
    good("wide.png", "65,535×1", lambda: encoded(Image.new("RGB", (65_535, 1), DARK), "PNG"), (1, 65_535), (0, 65_534, DARK, 0)),
    good("tall.png", "1×65,535", lambda: encoded(Image.new("RGB", (1, 65_535), DARK), "PNG"), (65_535, 1), (65_534, 0, DARK, 0)),
    good("lossless.webp", "lossless WebP", lambda: encoded(quarters(), "WEBP", lossless=True), (32, 40), (5, 5, RED, 0)),
    good("mapped.bmp", "BMP with a palette", lambda: encoded(quarters("P"), "BMP"), (32, 40), (5, 5, RED, 0)),
    good("deflate.tif", "TIFF, deflate", lambda: encoded(quarters(), "TIFF", compression="tiff_deflate"), (32, 40), (5, 5, RED, 0)),
    good("progressive.jpg", "progressive JPEG", PROGRESSIVE),
    # odd files and names
    Case("pipe.jpg", "a named pipe", pipe, refusal="expected a regular file"),
    Case("socket.jpg", "a socket", unix_socket, refusal="expected a regular file"),
    Case("broken.jpg", "a link to nothing", link("nowhere.jpg"), refusal="no such file"),
    Case("circle.jpg", "a link to itself", link("circle.jpg"), refusal="cannot be read: Too many levels"),
    Case("linked.jpg", "a link to a sound file", link("UPPER.JPG"), PHOTO),
    good("two\nlines.jpg", "a line feed in the name", JPEG),
    bad("two\nbad.jpg", "a line feed in the name of a bad file", b"no", r"two\\nbad\.jpg: .*known format"),
    bad(os.fsdecode(b"latin_\xe9.jpg"), "a name that is no UTF-8, a bad file", b"no", r"latin_\\udce9\.jpg: .*known format"),
    good(os.fsdecode(b"byte_\xff.jpg"), "a name that is no UTF-8", JPEG),
    good("\N{CAT FACE} é 猫.jpg", "emoji, accents, Chinese", JPEG),
    good("n" * 240 + ".jpg", "a name of 244 letters", JPEG),
    good("-rf --help.jpg", "a name like an option", JPEG),
    good("$(touch x) 'q' \"q\" %s {0}.jpg", "a name like a command", JPEG),
]  # fmt: skip


def build(folder: Path) -> list[Path]:
    """Write all files into `folder`, which must be there; their paths in the order of `CASES`."""
    paths = [folder / case.name for case in CASES]
    for case, path in zip(CASES, paths, strict=True):
        case.make(path)
    return paths
