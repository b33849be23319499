"""KIE's JSON, both ways: requests, envelopes and the small answers."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kie_runway.errors import UnavailableError
from kie_runway.models import (
    AlephRequest,
    ExtendRequest,
    GenerateRequest,
    PaidRequest,
)
from kie_runway.wire import (
    Envelope,
    read_created,
    read_credits,
    read_download_url,
    read_envelope,
    read_uploaded,
    request_body,
)

VIDEO = "https://file.example/v.mp4"
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())  # half pairs included
    | st.sampled_from(
        ["success", "fail", "wait", "1", "0", "t-1", VIDEO, "{}", '{"prompt":"\\ud800"}']
    )
)
ANYTHING = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        (
            GenerateRequest(prompt="p", aspect_ratio="9:16"),
            {"prompt": "p", "duration": 5, "quality": "720p", "aspectRatio": "9:16"},
        ),
        (
            GenerateRequest(
                prompt="p",
                duration=10,
                image_url="https://a.b/c.png",
                aspect_ratio="1:1",
                watermark="me",
            ),
            {
                "prompt": "p",
                "duration": 10,
                "quality": "720p",
                "imageUrl": "https://a.b/c.png",
                "waterMark": "me",
            },
        ),
        (
            ExtendRequest(task_id="t-0", prompt="p", quality="1080p"),
            {"taskId": "t-0", "prompt": "p", "quality": "1080p"},
        ),
        (
            AlephRequest(prompt="p", video_url="https://a.b/c.mp4"),
            {"prompt": "p", "videoUrl": "https://a.b/c.mp4", "uploadCn": False},
        ),
        (
            AlephRequest(
                prompt="p",
                video_url="https://a.b/c.mp4",
                aspect_ratio="21:9",
                seed=0,
                reference_image_url="https://a.b/r.png",
                watermark="me",
                upload_cn=True,
            ),
            {
                "prompt": "p",
                "videoUrl": "https://a.b/c.mp4",
                "aspectRatio": "21:9",
                "seed": 0,
                "referenceImage": "https://a.b/r.png",
                "waterMark": "me",
                "uploadCn": True,
            },
        ),
    ],
)
def test_a_request_goes_out_in_kies_words_and_nothing_else(
    request_: PaidRequest, body: dict[str, object]
) -> None:
    hook = "https://me.example/hook"

    assert request_body(request_, None) == body
    assert request_body(request_, "") == body
    assert request_body(request_, hook) == body | {"callBackUrl": hook}


def test_the_duration_goes_out_as_a_number() -> None:
    body = request_body(GenerateRequest(prompt="p", aspect_ratio="16:9", duration=10), None)

    assert '"duration": 10' in json.dumps(body)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"code":200,"msg":"success","data":{"a":1}}', Envelope(200, "success", {"a": 1}, None)),
        (b'{"code":"200","data":null}', Envelope(200, None, None, None)),
        (b'{"code":401,"msg":"no"}', Envelope(401, "no", None, None)),
        (b'\xef\xbb\xbf{"code":422.0,"extra":[1]}', Envelope(422, None, None, None)),
        (b'{"code":200,"success":false}', Envelope(200, None, None, False)),
    ],
)
def test_an_envelope_is_read(body: bytes, expected: Envelope) -> None:
    assert read_envelope(body) == expected


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"null", b"[]", b"200", b'"code"', b"{}", b'{"code":null}', b'{"code":true}'),
        *(
            b'{"code":"ok"}',
            b'{"code":200',
            b"<html>",
            b"\xff\xfe",
            b"[" * 100_000,
            b'{"code":1e400}',
        ),
        b'{"status":404,"error":"Not Found","path":"/x"}',
        b'{"code":' + b"9" * 5000 + b"}",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_anything_else_is_no_envelope(body: bytes) -> None:
    assert read_envelope(body) is None


@given(ANYTHING)
def test_no_other_data_does_worse_than_being_unusable(data: object) -> None:
    read_created(data)
    for read in (read_credits, read_download_url, read_uploaded):
        try:
            read(data)
        except UnavailableError as exc:
            assert exc.reason  # either way is fine, anything else is not


@given(st.binary() | ANYTHING.map(lambda value: json.dumps(value).encode()))
def test_no_body_makes_reading_the_envelope_raise(body: bytes) -> None:
    envelope = read_envelope(body)

    assert envelope is None or isinstance(envelope.code, int)
