"""What a request costs, as far as KIE publishes it."""

from typing import assert_never

from kie_runway.models import AlephRequest, ExtendRequest, GenerateRequest, PaidRequest

# Credits; copies of kie.ai/pricing from 2026 agree on them (contract §11).
GENERATE_5S_720P = 12
GENERATE_10S_720P = 30
GENERATE_5S_1080P = 30
ALEPH = 110


def estimate_credits(request: PaidRequest) -> float:
    """
    Credits the request will probably cost (1 credit is US$0.005).

    No list names the price of an extension; it is taken as that of a 5 s clip in the same quality.
    """
    match request:
        case GenerateRequest(duration=10):
            return GENERATE_10S_720P
        case GenerateRequest() | ExtendRequest():
            return GENERATE_5S_1080P if request.quality == "1080p" else GENERATE_5S_720P
        case AlephRequest():
            return ALEPH
        case _ as never:
            assert_never(never)
