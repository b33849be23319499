"""What every store promises about uploads."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from tests.server.ledger.rows import NOW, OpenLedger

from kie_runway.ledger.base import Ledger
from kie_runway.ledger.uploads import UPLOADS_KEPT, StoredUpload

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)
CAT = StoredUpload("local", "https://up.example", "cat", "https://files.example/1", NOW + DAY)
CAT_AGAIN = replace(CAT, url="https://files.example/2", expires_at=NOW + DAY * 2)
DOG = replace(CAT, digest="dog", url="https://files.example/3")


async def living(
    ledger: Ledger, wanted: StoredUpload, *, after: datetime = NOW, until: datetime = NOW + DAY * 9
) -> StoredUpload | None:
    return await ledger.uploads.living(
        wanted.account, wanted.service, wanted.digest, after=after, until=until
    )


async def test_an_upload_outlives_the_process_that_made_it(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        await ledger.uploads.remember(CAT, now=NOW)
    async with open_ledger() as ledger:
        assert await living(ledger, CAT) == CAT
        assert await living(ledger, DOG) is None
        assert await ledger.uploads.digest_of("local", CAT.url) == "cat"
        assert await ledger.uploads.digest_of("local", DOG.url) is None


async def test_of_several_uploads_the_one_that_lives_longest_within_the_bounds_is_found(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger() as ledger:
        for upload in (CAT_AGAIN, CAT, DOG):
            await ledger.uploads.remember(upload, now=NOW)

        assert await living(ledger, CAT) == CAT_AGAIN
        assert await living(ledger, CAT, until=NOW + DAY) == CAT
        assert await living(ledger, CAT, after=NOW + DAY * 2) == CAT_AGAIN
        assert await living(ledger, CAT, after=NOW + DAY * 2 + timedelta(seconds=1)) is None
        assert await living(ledger, CAT, until=NOW + DAY - timedelta(seconds=1)) is None


async def test_accounts_and_services_are_told_apart(open_ledger: OpenLedger) -> None:
    theirs = replace(DOG, account="other", url=CAT.url)
    async with open_ledger() as ledger:
        for upload in (CAT, theirs):
            await ledger.uploads.remember(upload, now=NOW)

        assert await ledger.uploads.digest_of("local", CAT.url) == "cat"
        assert await ledger.uploads.digest_of("other", CAT.url) == "dog"
        assert await living(ledger, replace(CAT, account="other")) is None
        assert await living(ledger, replace(CAT, service="https://sandbox.example")) is None


async def test_every_address_that_a_content_had_is_known_until_long_after_it_expired(
    open_ledger: OpenLedger,
) -> None:
    end = CAT.expires_at + UPLOADS_KEPT

    async def digests(ledger: Ledger) -> list[str | None]:
        return [await ledger.uploads.digest_of("local", it.url) for it in (CAT, CAT_AGAIN)]

    async with open_ledger() as ledger:
        for upload in (CAT, CAT_AGAIN):
            await ledger.uploads.remember(upload, now=NOW)
        await ledger.uploads.remember(replace(DOG, expires_at=end + DAY), now=end)
        kept = await digests(ledger)
        after = end + timedelta(seconds=1)
        await ledger.uploads.remember(replace(DOG, expires_at=after + DAY), now=after)

        assert kept == ["cat", "cat"]
        assert await digests(ledger) == [None, "cat"]


async def test_an_address_means_what_was_uploaded_to_it_last(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        await ledger.uploads.remember(CAT, now=NOW)
        await ledger.uploads.remember(replace(DOG, url=CAT.url), now=NOW)

        assert await ledger.uploads.digest_of("local", CAT.url) == "dog"
        assert await living(ledger, CAT) is None


async def test_two_processes_can_note_uploads_of_one_content_at_once(
    open_ledger: OpenLedger,
) -> None:
    many = [replace(CAT, url=f"https://files.example/many/{number}") for number in range(10)]
    async with open_ledger() as one, open_ledger() as two:
        await asyncio.gather(
            *(
                ledger.uploads.remember(upload, now=NOW)
                for ledger, upload in zip((one, two) * 5, many, strict=True)
            )
        )
        digests = [await one.uploads.digest_of("local", upload.url) for upload in many]

    assert digests == ["cat"] * 10
