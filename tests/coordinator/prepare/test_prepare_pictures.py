"""Pictures are decoded as a viewer shows them, or dropped with a detail that says what is wrong."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from paris.coordinator.prepare.compute.pictures import DroppedPicture, PictureLimits, decode_picture

LIMITS = PictureLimits(min_side_px=4, max_image_pixels=1_000_000)
RAMP = np.linspace(0, 255, 16).round().astype(np.uint8)[None].repeat(16, axis=0)


def file_of(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def grey(data: bytes) -> np.ndarray:
    pixels = decode_picture(data, 16, LIMITS)
    assert (pixels[0] == pixels[1]).all()
    assert (pixels[0] == pixels[2]).all()
    return pixels[0]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_grey_of_sixteen_bits_keeps_its_values(kind: str) -> None:
    image = Image.fromarray(RAMP.astype(np.uint16) * 257)
    options = {"irreversible": False} if kind == "JPEG2000" else {}
    assert np.abs(grey(file_of(image, kind, **options)).astype(int) - RAMP).max() <= 1


@pytest.mark.parametrize("values", [RAMP / np.float32(255), RAMP.astype(np.float32), RAMP.astype(np.uint32) << 24])
def test_grey_of_thirty_two_bits_keeps_its_values(values: np.ndarray) -> None:
    image = Image.fromarray(np.asarray(values, np.float32)) if values.dtype.kind == "f" else None
    if image is None:
        image = Image.frombytes("I", (16, 16), values.astype("<u4").tobytes())
    assert np.abs(grey(file_of(image, "TIFF")).astype(int) - RAMP).max() <= 1


def test_transparent_grey_of_sixteen_bits_is_on_white() -> None:
    data = file_of(Image.fromarray(RAMP.astype(np.uint16) * 257), transparency=0)
    assert grey(data)[:, 0].tolist() == [255] * 16


def png_with(image: Image.Image, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG with chunks after its header."""
    data = file_of(image)
    made = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    ]
    return data[:33] + b"".join(made) + data[33:]


GAMMA_1 = (b"gAMA", struct.pack(">I", 100_000))


def test_a_png_of_another_gamma_is_shown_as_its_profile_would_show_it() -> None:
    image = Image.fromarray(np.stack([RAMP, RAMP.T, 255 - RAMP], axis=2))
    by_profile = decode_picture(file_of(image, icc_profile=linear_profile()), 16, LIMITS)
    by_gamma = decode_picture(png_with(image, GAMMA_1), 16, LIMITS)
    assert np.abs(by_gamma.astype(int) - by_profile).max() <= 2


@pytest.mark.parametrize("chunks", [[(b"gAMA", struct.pack(">I", 45_455))], [GAMMA_1, (b"sRGB", b"\0")]])
def test_a_png_of_srgb_gamma_keeps_its_values(chunks: list[tuple[bytes, bytes]]) -> None:
    image = Image.fromarray(np.stack([RAMP, RAMP.T, 255 - RAMP], axis=2))
    pixels = decode_picture(png_with(image, *chunks), 16, LIMITS)
    assert (pixels == np.asarray(image).transpose(2, 0, 1)).all()


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG"), (13, None)])
def test_a_png_of_high_dynamic_range_is_dropped_as_such(transfer: int, name: str | None) -> None:
    data = png_with(Image.fromarray(np.stack([RAMP] * 3, axis=2)), (b"cICP", bytes([9, transfer, 0, 1])))
    if name is None:
        assert decode_picture(data, 16, LIMITS).max() == 255
    else:
        with pytest.raises(DroppedPicture) as caught:
            decode_picture(data, 16, LIMITS)
        assert (caught.value.reason, caught.value.detail) == ("high dynamic range", name)


@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA"])
def test_a_colour_profile_is_followed(mode: str) -> None:
    image = Image.fromarray(np.stack([RAMP, RAMP.T, 255 - RAMP], axis=2))
    linear = linear_profile()
    expected = ImageCms.profileToProfile(image, io.BytesIO(linear), ImageCms.createProfile("sRGB"))
    source = image.quantize(256) if mode == "P" else image.convert(mode)
    pixels = decode_picture(file_of(source, icc_profile=linear), 16, LIMITS)
    assert np.abs(pixels.astype(int) - np.asarray(expected).transpose(2, 0, 1)).mean() < (8 if mode == "P" else 1)
    assert np.abs(pixels.astype(int) - decode_picture(file_of(source), 16, LIMITS)).mean() > 20


def linear_profile() -> bytes:
    """sRGB with its three curves replaced by straight lines."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for entry in range(int.from_bytes(profile[128:132], "big")):
        tag = profile[132 + 12 * entry :][:12]
        if tag[1:4] == b"TRC":
            start = int.from_bytes(tag[4:8], "big")
            profile[start : start + 12] = b"curv" + bytes(8)
    return bytes(profile)


@pytest.mark.parametrize("profile", [b"", b"no profile", linear_profile()[:200], b"\0" * 16 + b"CMYK" + b"\0" * 200])
def test_a_profile_that_cannot_be_used_is_ignored(profile: bytes) -> None:
    image = Image.fromarray(RAMP).convert("RGB")
    assert np.array_equal(grey(file_of(image, icc_profile=profile)), RAMP)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_that_is_not_empty_is_taken(kind: str) -> None:
    blank, shown = Image.new("RGB", (16, 16), "white"), Image.fromarray(RAMP).convert("RGB")
    options = {"lossless": True} if kind == "WEBP" else {}
    data = file_of(blank, kind, save_all=True, append_images=[blank, shown, blank.copy()], duration=50, **options)
    assert np.array_equal(grey(data), RAMP)


@pytest.mark.parametrize("kind", ["GIF", "PNG"])
def test_a_picture_of_one_colour_is_dropped_as_such(kind: str) -> None:
    clear = Image.new("RGBA", (16, 16), (255, 255, 255, 0))
    clear.putpixel((3, 3), (255, 255, 255, 255))  # white on transparent
    for data in (
        file_of(clear, "PNG"),
        file_of(Image.new("RGB", (16, 16), "red"), kind),
        file_of(Image.new("RGB", (16, 16)), kind, save_all=True, append_images=[Image.new("RGB", (16, 16), 1)]),
    ):
        with pytest.raises(DroppedPicture, match=r"^one colour$"):
            decode_picture(data, 16, LIMITS)
        keeping = PictureLimits(4, 1_000_000, keeps_one_colour=True)
        assert decode_picture(data, 16, keeping).shape == (3, 16, 16)


def test_a_frame_that_is_broken_ends_the_search_for_one() -> None:
    blank, shown = Image.new("RGB", (64, 64), "white"), Image.effect_noise((64, 64), 90).convert("RGB")
    data = file_of(blank, "GIF", save_all=True, append_images=[shown], duration=50)
    with pytest.raises(DroppedPicture, match=r"^one colour$"):
        decode_picture(data[: len(data) // 4], 16, LIMITS)


def test_the_orientation_is_followed_whatever_else_the_camera_wrote() -> None:
    turned = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)
    resolution = struct.pack(">HHI4s", 0x011A, 2, 4, b"72\0\0")  # a number as text
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 2) + turned + resolution + bytes(4)
    data = file_of(Image.fromarray(RAMP), "JPEG", exif=exif, quality=100)
    assert np.abs(grey(data).astype(int) - RAMP.T).max() <= 3
    broken = file_of(Image.fromarray(RAMP), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", quality=100)
    assert np.abs(grey(broken).astype(int) - RAMP).max() <= 3


def test_a_detail_says_what_is_wrong_and_holds_no_address() -> None:
    text = b"tEXtComment\0x"
    chunk = (len(text) - 4).to_bytes(4, "big") + text + (zlib.crc32(text) ^ 1).to_bytes(4, "big")
    data = file_of(Image.fromarray(RAMP))
    cases = [(data[:33] + chunk + data[33:], "tEXt"), (b"<html>", "not a picture format"), (data[:50], "")]
    for broken, part in cases:
        with pytest.raises(DroppedPicture) as found:
            decode_picture(broken, 16, LIMITS)
        assert found.value.reason == "unreadable picture"
        assert part in found.value.detail
        assert "0x" not in found.value.detail


def test_a_format_that_another_program_would_draw_is_not_read() -> None:
    data = file_of(Image.fromarray(RAMP).convert("RGB"), "EPS")
    with pytest.raises(DroppedPicture, match=r"^unreadable picture$"):
        decode_picture(data, 16, LIMITS)


def test_pillows_limit_follows_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    data = file_of(Image.fromarray(RAMP.repeat(10, axis=0).repeat(10, axis=1)))
    assert decode_picture(data, 16, LIMITS).shape == (3, 16, 16)
    with pytest.raises(DroppedPicture) as found:
        decode_picture(data, 16, PictureLimits(4, 25_599))
    assert (found.value.reason, found.value.detail) == ("too large", "160x160")


def test_a_page_beyond_the_limits_is_not_decoded() -> None:
    pages = [Image.new("L", (16, 16)), Image.effect_noise((1200, 1200), 90)]
    data = file_of(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    with pytest.raises(DroppedPicture, match=r"^one colour$"):
        decode_picture(data, 16, LIMITS)
