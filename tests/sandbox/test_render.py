"""The files that the renderer writes, for each kind of clip."""

# PyAV's and Pillow's stubs name numpy's types, unknown where numpy is absent, as it is here.
# pyright: reportUnknownMemberType=false

from dataclasses import replace
from pathlib import Path
from typing import Literal

import av
import pytest
from PIL import Image
from tests.sandbox.rendered import ALEPH, EXTEND, TEXT, difference, render, video_size, write_video

from kie_runway_sandbox.clips import ClipSpec
from kie_runway_sandbox.render import render_clip
from kie_runway_sandbox.video import THUMBNAIL_BYTES, read_last_frame, read_video, write_clip

SIZES = [
    ("16:9", "720p", (1280, 720)),
    ("4:3", "720p", (960, 720)),
    ("1:1", "720p", (720, 720)),
    ("3:4", "720p", (720, 960)),
    ("9:16", "720p", (720, 1280)),
    ("21:9", "720p", (1680, 720)),
    ("16:9", "1080p", (1920, 1080)),
    ("4:3", "1080p", (1440, 1080)),
    ("1:1", "1080p", (1080, 1080)),
    ("3:4", "1080p", (1080, 1440)),
    ("9:16", "1080p", (1080, 1920)),
    ("21:9", "1080p", (2520, 1080)),
]


@pytest.mark.parametrize(("ratio", "quality", "size"), SIZES)
def test_a_clip_has_the_size_that_ratio_and_quality_ask_for(
    tmp_path: Path, ratio: str, quality: Literal["720p", "1080p"], size: tuple[int, int]
) -> None:
    video, thumbnail = tmp_path / "clip.mp4", tmp_path / "clip.png"
    render_clip(replace(TEXT, aspect_ratio=ratio, quality=quality), video, thumbnail)

    assert video_size(video) == size
    with Image.open(thumbnail) as image:
        assert image.format == "PNG"
        assert max(image.size) == 640
        assert image.width / image.height == pytest.approx(size[0] / size[1], rel=0.01)
    assert thumbnail.stat().st_size <= THUMBNAIL_BYTES
    assert sorted(tmp_path.iterdir()) == [video, thumbnail]


@pytest.mark.parametrize("seconds", [5, 10])
def test_a_clip_is_h264_that_a_browser_can_start_at_once(tmp_path: Path, seconds: int) -> None:
    video = tmp_path / "clip.mp4"
    render_clip(replace(TEXT, duration_s=seconds), video, tmp_path / "clip.png")

    with av.open(str(video), "r") as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.average_rate == 24
        assert stream.frames == seconds * 24
        assert container.duration == seconds * av.time_base
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([number / 24 for number in range(seconds * 24)])
    content = video.read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")
    assert len(content) < 600_000 * seconds


def test_the_same_spec_gives_the_same_bytes(tmp_path: Path) -> None:
    one, other = render(tmp_path, TEXT, "one"), render(tmp_path, TEXT, "other")

    assert one.video.read_bytes() == other.video.read_bytes()
    assert one.thumbnail.read_bytes() == other.thumbnail.read_bytes()


def test_prompt_and_seed_decide_the_picture(tmp_path: Path) -> None:
    plain = replace(TEXT, prompt="boat")
    first = render(tmp_path, plain)

    for other in (replace(plain, prompt="city"), replace(plain, seed=7)):
        assert difference(first.frames[0], render(tmp_path, other).frames[0]) > 5
    assert difference(first.frames[0], first.frames[-1]) > 0.3


@pytest.mark.parametrize(
    "prompt", ["a forest", "a lighthouse by the sea", "a street in the city", "a star", "silk"]
)
def test_every_scene_moves(tmp_path: Path, prompt: str) -> None:
    frames = render(tmp_path, replace(TEXT, prompt=prompt)).frames

    assert len({frame.tobytes() for frame in frames}) == len(frames)


def test_an_image_decides_the_shape_and_stays_recognisable(tmp_path: Path) -> None:
    image = Image.linear_gradient("L").resize((300, 401)).convert("RGB")
    image.save(tmp_path / "source.png")
    clip = render(tmp_path, replace(TEXT, source=tmp_path / "source.png"))

    assert video_size(clip.video) == (180, 240)
    middle = (40, 20, 120, 60)  # without label and caption
    shown = clip.frames[0].crop(middle)
    assert difference(shown, image.resize((160, 90)).crop(middle)) < 4
    assert difference(shown, clip.frames[-1].crop(middle)) > 0.5


def test_a_transparent_or_turned_image_is_taken_as_it_is_seen(tmp_path: Path) -> None:
    Image.new("RGBA", (200, 100), (255, 255, 255, 0)).save(tmp_path / "clear.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turned by a quarter
    Image.new("RGB", (200, 100), "white").save(tmp_path / "turned.jpg", exif=exif)

    clear = render(tmp_path, replace(TEXT, source=tmp_path / "clear.png"))
    assert difference(clear.frames[0], Image.new("RGB", (160, 90))) < 5
    turned = render(tmp_path, replace(TEXT, source=tmp_path / "turned.jpg"))
    assert video_size(turned.video) == (180, 360)


def test_a_very_wide_image_loses_its_ends(tmp_path: Path) -> None:
    Image.new("RGB", (2000, 20), "teal").save(tmp_path / "source.png")
    clip = render(tmp_path, replace(TEXT, source=tmp_path / "source.png"))

    assert video_size(clip.video) == (450, 180)


def test_a_noisy_thumbnail_is_kept_small(tmp_path: Path) -> None:
    noise = Image.merge("RGB", [Image.effect_noise((800, 800), 120) for _ in range(3)])
    noise.save(tmp_path / "source.png")
    video, thumbnail = tmp_path / "clip.mp4", tmp_path / "clip.png"
    render_clip(replace(TEXT, source=tmp_path / "source.png"), video, thumbnail)

    assert thumbnail.stat().st_size <= THUMBNAIL_BYTES
    assert video.stat().st_size < 1_200_000  # of one second


def test_an_extension_starts_where_its_parent_ends(tmp_path: Path) -> None:
    parent = render(tmp_path, TEXT, "parent")
    clip = render(tmp_path, replace(EXTEND, source=parent.video))

    seam = difference(parent.frames[-1], clip.frames[0])
    assert seam < 2
    assert len(clip.frames) == 48
    assert difference(parent.frames[-1], clip.frames[6]) < 15
    assert difference(parent.frames[-1], clip.frames[-1]) > 15


def test_an_extension_keeps_its_parents_shape(tmp_path: Path) -> None:
    parent = render(tmp_path, replace(TEXT, aspect_ratio="9:16"), "parent")
    clip = render(tmp_path, replace(EXTEND, source=parent.video, quality="1080p"))

    assert video_size(parent.video) == (180, 320)
    assert video_size(clip.video) == (270, 480)


@pytest.mark.parametrize("spec", [EXTEND, ALEPH])
def test_without_a_source_a_scene_takes_its_place(tmp_path: Path, spec: ClipSpec) -> None:
    clip = render(tmp_path, spec)

    assert len(clip.frames) == spec.duration_s * 24


@pytest.mark.parametrize(
    ("spec", "name"), [(TEXT, "image"), (EXTEND, "video"), (ALEPH, "video")], ids=lambda _: ""
)
@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n and so on", None])
def test_a_source_that_cannot_be_decoded_is_refused_and_leaves_nothing(
    tmp_path: Path, spec: ClipSpec, name: str, content: bytes | None
) -> None:
    source, output = tmp_path / "source", tmp_path / "output"
    output.mkdir()
    if content is not None:
        source.write_bytes(content)

    with pytest.raises(ValueError, match=f"the source {name} cannot be decoded"):
        render_clip(replace(spec, source=source), output / "clip.mp4", output / "clip.png")
    assert list(output.iterdir()) == []


def test_a_playlist_is_not_followed(tmp_path: Path) -> None:
    video = write_video(tmp_path / "secret.mp4", (64, 64), 24, ["red"] * 24)
    playlist = tmp_path / "source.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXTINF:1,\n{video}\n#EXT-X-ENDLIST\n", encoding="utf-8")

    with pytest.raises(ValueError, match="cannot be decoded"):
        render(tmp_path, replace(ALEPH, source=playlist))


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "sound.mkv"
    with av.open(str(source), "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        silence = av.AudioFrame("s16", "stereo", 1024)
        silence.planes[0].update(bytes(silence.planes[0].buffer_size))
        silence.sample_rate, silence.pts = 8000, 0
        container.mux(stream.encode(silence))

    with pytest.raises(ValueError, match="no pictures"):
        render(tmp_path, replace(ALEPH, source=source))


def test_a_video_without_a_single_whole_frame_is_refused(tmp_path: Path) -> None:
    whole, source = tmp_path / "whole.mp4", tmp_path / "source.mp4"
    write_video(whole, (64, 64), 24, ["red"] * 3)
    with av.open(str(whole), "r") as given, av.open(str(source), "w", format="mp4") as container:
        stream = container.add_stream_from_template(given.streams.video[0])
        # Without the key frame, nothing tells what the others change.
        for packet in list(given.demux(video=0))[1:3]:
            packet.stream = stream
            container.mux(packet)

    with pytest.raises(ValueError, match="no pictures"):
        render(tmp_path, replace(EXTEND, source=source))
    with pytest.raises(ValueError, match="no pictures"):
        read_last_frame(source, (64, 64))
    with pytest.raises(ValueError, match="no pictures"):
        write_clip(read_video(source, (64, 64), 1), tmp_path / "clip.mp4", tmp_path / "clip.png")
    assert sorted(tmp_path.iterdir()) == [source, whole]


@pytest.mark.parametrize("spec", [TEXT, EXTEND])
def test_a_huge_source_is_refused(
    tmp_path: Path, spec: ClipSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kie_runway_sandbox.video.MAX_SOURCE_PIXELS", 1000)
    source = write_video(tmp_path / "source.mp4", (64, 64), 24, ["red"])
    if spec.kind == "generate":
        Image.new("RGB", (64, 64)).save(source, "PNG")

    with pytest.raises(ValueError, match="too large: 64 x 64"):
        render(tmp_path, replace(spec, source=source))


def test_an_older_clip_survives_a_failure(tmp_path: Path) -> None:
    clip = render(tmp_path, TEXT)
    before = clip.video.read_bytes()
    (tmp_path / "broken").write_bytes(b"?")

    with pytest.raises(ValueError, match="cannot be decoded"):
        render(tmp_path, replace(TEXT, source=tmp_path / "broken"))
    assert clip.video.read_bytes() == before
