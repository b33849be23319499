"""What bytes are, whatever they are called."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.pictures import MP4, START_OF_MP4, TEXT, picture

from kie_runway.media_types import media_type

KINDS = {
    "image/jpeg": picture("JPEG"),
    "image/png": picture("PNG"),
    "image/webp": picture("WEBP"),
    "video/mp4": MP4,
}


@pytest.mark.parametrize("mime_type", KINDS)
def test_a_whole_file_is_told_by_its_bytes(mime_type: str) -> None:
    assert media_type(KINDS[mime_type]) == mime_type


@pytest.mark.parametrize("mime_type", KINDS)
def test_bytes_after_the_end_change_nothing(mime_type: str) -> None:
    assert media_type(KINDS[mime_type] + b"\n") == mime_type


@pytest.mark.parametrize("mime_type", KINDS)
def test_half_a_file_is_nothing(mime_type: str) -> None:
    data = KINDS[mime_type]

    assert [media_type(data[:end]) for end in range(len(data) - 2)] == [None] * (len(data) - 2)


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe0\0\x10JFIF\0",
        b"RIFF\0\0\0\0WEBP",
        b"RIFF\x40\0\0\0WEBPVP8X",
        START_OF_MP4,
    ],
    ids=repr,
)
def test_a_text_dressed_as_a_picture_or_video_is_nothing(start: bytes) -> None:
    assert media_type(start + TEXT) is None


@pytest.mark.parametrize("brand", [b"qt  ", b"M4A ", b"avis"])
def test_what_shares_the_container_of_mp4_is_no_mp4(brand: bytes) -> None:
    assert media_type(MP4.replace(b"mp42\0", brand + b"\0", 1)) is None


def test_a_picture_in_the_container_of_mp4_is_no_video() -> None:
    assert media_type(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic\0\0\0\x10meta" + bytes(8)) is None


@pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF", "ICO"])
def test_other_pictures_are_nothing(form: str) -> None:
    target = BytesIO()
    Image.new("RGB", (16, 16)).save(target, form)

    assert media_type(target.getvalue()) is None


@pytest.mark.parametrize(
    "options",
    [{"progressive": True}, {"optimize": True}, {"comment": b"\xff\xd9" * 9}, {"exif": bytes(99)}],
    ids=str,
)
def test_jpegs_are_known_in_all_their_forms(options: dict[str, object]) -> None:
    target = BytesIO()
    Image.effect_noise((64, 64), 90).save(target, "JPEG", **options)

    assert media_type(target.getvalue()) == "image/jpeg"


@pytest.mark.parametrize(
    "options", [{"lossless": True}, {"quality": 5}, {"exif": bytes(99)}], ids=str
)
def test_webps_are_known_in_all_their_forms(options: dict[str, object]) -> None:
    target = BytesIO()
    Image.effect_noise((64, 64), 90).convert("RGB").save(target, "WEBP", **options)

    assert media_type(target.getvalue()) == "image/webp"


@given(st.sampled_from(sorted(KINDS)), st.integers(0, 60), st.binary(max_size=40))
def test_any_bytes_end_in_an_answer(mime_type: str, keep: int, rest: bytes) -> None:
    assert media_type(KINDS[mime_type][:keep] + rest) in (None, *KINDS)
