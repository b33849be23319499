"""What disks do to the files that keep task ids: full, slow, broken, shared, oddly named."""

import errno
import os
import stat
from pathlib import Path

import anyio
import anyio.from_thread
import pytest
from tests.server.desk import NOW
from tests.server.ledger.rows import intent, submitting

from kie_runway.acceptance import Acceptance
from kie_runway.folder import Folder
from kie_runway.ledger.records import LOCAL_ACCOUNT, Entry
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.rescue import KEPT, PART, SPARE, SPARE_B, SPARES, Rescue

pytestmark = pytest.mark.anyio


def files(directory: Path, suffix: str = KEPT) -> list[Path]:
    return list((directory / "ledger.db.rescue").glob(f"*{suffix}"))


def fill_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file can grow any more; what it has may be written over."""
    write = os.write

    def write_over(fd: int, data: bytes) -> int:
        room = os.fstat(fd).st_size - os.lseek(fd, 0, os.SEEK_CUR)
        if room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data[:room])

    monkeypatch.setattr(os, "write", write_over)


async def test_a_full_disk_keeps_as_many_ids_as_space_was_set_aside_for(
    ledger: SqliteLedger,
    rescue: Rescue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    entries = [await submitting(ledger, intent(f"r-{n}", prompt=f"{n}")) for n in range(SPARES + 1)]
    await rescue.stock()
    neighbour, kept = Rescue(tmp_path / "ledger.db"), set[int]()

    async def keep(entry: Entry) -> None:
        if await (rescue if entry.id % 2 else neighbour).keep(
            Acceptance.of(entry, f"task-{entry.id}", NOW)
        ):
            kept.add(entry.id)

    with monkeypatch.context() as patch:
        fill_the_disk(patch)
        async with anyio.create_task_group() as group:
            for entry in entries:
                group.start_soon(keep, entry)
    (lost,) = [entry for entry in entries if entry.id not in kept]
    said = [vars(record)["task_id"] for record in caplog.records if "task_id" in vars(record)]
    await rescue.give_back(ledger)
    found = {entry.id for entry in await ledger.list(LOCAL_ACCOUNT, limit=50) if entry.task_id}

    assert found == kept
    assert said == [f"task-{lost.id}"]
    assert not files(tmp_path, "")
    assert await rescue.keep(Acceptance.of(lost, "task", NOW))


async def test_space_is_set_aside_once_for_all_processes_and_again_once_it_was_used(
    ledger: SqliteLedger, rescue: Rescue, tmp_path: Path
) -> None:
    await rescue.stock()
    await Rescue(tmp_path / "ledger.db").stock()
    before = files(tmp_path, SPARE)
    await rescue.keep(Acceptance.of(await submitting(ledger, intent()), "task-1", NOW))
    used = files(tmp_path, SPARE)
    await rescue.stock()

    assert (len(before), len(used)) == (SPARES, SPARES - 1)
    assert [path.stat().st_size for path in files(tmp_path, SPARE)] == [SPARE_B] * SPARES


async def test_space_that_cannot_be_set_aside_is_a_warning_and_leaves_nothing(
    rescue: Rescue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fill_the_disk(monkeypatch)
    await rescue.stock()
    await rescue.stock()

    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert not files(tmp_path, "")


async def test_a_disk_that_takes_a_few_bytes_at_a_time_gets_every_id_whole(
    ledger: SqliteLedger, rescue: Rescue, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [await submitting(ledger, intent(f"r-{n}", prompt=f"{n}")) for n in range(2)]
    write = os.write

    def write_little(fd: int, data: bytes) -> int:
        return write(fd, data[:7])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write_little)
        for entry in entries:
            await rescue.keep(Acceptance.of(entry, f"task-{entry.id}", NOW))
    await rescue.give_back(ledger)
    rows = await ledger.list(LOCAL_ACCOUNT, limit=5)

    assert {row.task_id for row in rows} == {f"task-{entry.id}" for entry in entries}


async def test_an_id_is_on_the_disk_before_its_name_and_its_name_before_it_counts_as_kept(
    ledger: SqliteLedger, rescue: Rescue, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = await submitting(ledger, intent())
    done: list[str] = []
    fsync, rename = os.fsync, os.rename

    def note_fsync(fd: int) -> None:
        fsync(fd)
        done.append("directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")

    def note_rename(
        old: str, new: str, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
    ) -> None:
        rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        done.append("name")

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "rename", note_rename)

    assert await rescue.keep(Acceptance.of(entry, "task-1", NOW))
    assert done == ["file", "name", "directory"]


async def test_what_is_kept_while_another_process_gives_back_is_not_lost(
    ledger: SqliteLedger, rescue: Rescue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = await submitting(ledger, intent())
    other, write = Rescue(tmp_path / "ledger.db"), os.write

    def write_late(fd: int, data: bytes) -> int:
        anyio.from_thread.run(other.give_back, ledger)
        return write(fd, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write_late)
        await rescue.keep(Acceptance.of(entry, "task-1", NOW))
    await other.give_back(ledger)
    row = await ledger.get(entry.id)

    assert row is not None
    assert row.task_id == "task-1"


async def test_an_id_kept_twice_is_one_file(
    ledger: SqliteLedger, rescue: Rescue, tmp_path: Path
) -> None:
    entry = await submitting(ledger, intent())
    for _ in range(2):
        assert await rescue.keep(Acceptance.of(entry, "task-1", NOW))

    assert len(files(tmp_path)) == 1


@pytest.mark.parametrize("content", [b"", b'{"account": \xff half a fi', b'{"entry_id": 1}'])
async def test_a_file_that_cannot_be_understood_stays_and_hides_no_other(
    ledger: SqliteLedger,
    rescue: Rescue,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    content: bytes,
) -> None:
    entry = await submitting(ledger, intent())
    await rescue.keep(Acceptance.of(entry, "task-1", NOW))
    odd = tmp_path / "ledger.db.rescue" / f"0{KEPT}"
    odd.write_bytes(content)
    for _ in range(2):
        await rescue.give_back(ledger)
    row = await ledger.get(entry.id)

    assert row is not None
    assert row.task_id == "task-1"
    assert odd.read_bytes() == content
    assert files(tmp_path) == [odd]
    assert [vars(record)["path"] for record in caplog.records] == [str(odd)]


async def test_a_file_that_cannot_be_deleted_is_given_back_harmlessly_each_time(
    ledger: SqliteLedger,
    rescue: Rescue,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    entries = [await submitting(ledger, intent(f"r-{n}", prompt=f"{n}")) for n in range(2)]
    for entry in entries:
        await rescue.keep(Acceptance.of(entry, f"task-{entry.id}", NOW))

    def refuse(_: Folder, name: str) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", name)

    monkeypatch.setattr(Folder, "remove", refuse)
    for _ in range(2):
        await rescue.give_back(ledger)
    rows = await ledger.list(LOCAL_ACCOUNT, limit=5)

    assert {row.task_id for row in rows} == {f"task-{entry.id}" for entry in entries}
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2


async def test_what_a_process_is_still_writing_is_left_to_it(
    ledger: SqliteLedger, rescue: Rescue, tmp_path: Path
) -> None:
    await rescue.keep(Acceptance.of(await submitting(ledger, intent()), "task-1", NOW))
    (whole,) = files(tmp_path)
    part = whole.rename(whole.with_suffix(PART))
    await rescue.give_back(ledger)

    assert part.exists()
    assert await ledger.find(LOCAL_ACCOUNT, "task-1") is None


@pytest.mark.parametrize("name", ["ledger [1].db", "l*dger?.db", "ledger"])
async def test_whatever_a_ledger_is_called_its_ids_are_found_again(
    tmp_path: Path, name: str
) -> None:
    ledger = SqliteLedger(tmp_path / name)
    await ledger.open()
    entry = await submitting(ledger, intent())
    await Rescue(tmp_path / name).keep(Acceptance.of(entry, "task-1", NOW))
    await Rescue(tmp_path / name).give_back(ledger)
    row = await ledger.get(entry.id)
    await ledger.aclose()

    assert row is not None
    assert row.task_id == "task-1"


async def test_ledgers_that_differ_in_their_suffix_alone_keep_their_ids_apart(
    ledger: SqliteLedger, tmp_path: Path
) -> None:
    entry = await submitting(ledger, intent())
    await Rescue(tmp_path / "ledger.sqlite").keep(Acceptance.of(entry, "task-1", NOW))
    await Rescue(tmp_path / "ledger.db").give_back(ledger)

    assert await ledger.find(LOCAL_ACCOUNT, "task-1") is None


async def test_what_is_kept_is_for_its_owner_alone_whatever_the_umask(
    ledger: SqliteLedger, rescue: Rescue, tmp_path: Path
) -> None:
    entry = await submitting(ledger, intent())
    before = os.umask(0)
    try:
        await rescue.keep(Acceptance.of(entry, "task-1", NOW))  # in a file made for it
        await rescue.stock()
        await rescue.keep(Acceptance.of(entry, "task-2", NOW))  # in one that was there
    finally:
        os.umask(before)

    modes = {stat.S_IMODE(path.stat().st_mode) for path in files(tmp_path, "")}
    assert modes == {0o600}
    assert stat.S_IMODE((tmp_path / "ledger.db.rescue").stat().st_mode) == 0o700


async def test_a_link_is_neither_written_through_nor_read(
    ledger: SqliteLedger, rescue: Rescue, tmp_path: Path
) -> None:
    entry = await submitting(ledger, intent())
    await Rescue(tmp_path / "else.db").keep(Acceptance.of(entry, "task-1", NOW))
    elsewhere = tmp_path / "else.db.rescue"
    (kept,) = elsewhere.iterdir()
    before = kept.read_bytes()
    place = tmp_path / "ledger.db.rescue"
    place.symlink_to(elsewhere)
    assert not await rescue.keep(Acceptance.of(entry, "task-2", NOW))
    await rescue.give_back(ledger)
    place.unlink()
    place.mkdir(0o700)
    (place / f"0{KEPT}").symlink_to(kept)
    (place / f"0{SPARE}").symlink_to(kept)
    assert not await rescue.keep(Acceptance.of(entry, "task-2", NOW))
    await rescue.give_back(ledger)

    assert kept.read_bytes() == before
    assert await ledger.find(LOCAL_ACCOUNT, "task-1") is None


async def test_a_place_that_cannot_be_written_is_logged_and_nothing_more(
    ledger: SqliteLedger, rescue: Rescue, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    entry = await submitting(ledger, intent())
    (tmp_path / "ledger.db.rescue").write_bytes(b"")

    assert not await rescue.keep(Acceptance.of(entry, "task-1", NOW))
    assert vars(caplog.records[-1])["task_id"] == "task-1"
    await rescue.give_back(ledger)
    await rescue.stock()
