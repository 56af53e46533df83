"""`verify`: what a crash leaves is a note, what is lost is an error."""

from pathlib import Path

from tests.cli.conftest import Run


def test_a_healthy_store_is_whole(run: Run, store: Path) -> None:
    ran = run("verify", "--store", store)

    assert (ran.status, ran.out) == (0, "")
    assert ran.err == "0 errors, 0 notes: the store is whole.\n"


def test_a_torn_last_record_is_a_note(run: Run, store: Path) -> None:
    segment = store / "_wal" / "01ARZ3NDEKTSV4RRFFQ69G5FAV-1.wal"
    segment.write_bytes(b"#0badc0de 1000 json\n{")

    ran = run("verify", "--store", store)

    assert ran.status == 0
    assert ran.out.startswith("note: ")
    assert "the store is whole" in ran.err


def test_a_lost_file_is_an_error(run: Run, store: Path) -> None:
    next(store.glob("steps/*/*.parquet")).unlink()

    ran = run("verify", "--store", store)

    assert ran.status == 1
    assert "error: " in ran.out
    assert ran.err.endswith("the store is damaged.\n")


def test_a_damaged_file_is_an_error(run: Run, store: Path) -> None:
    file = next(store.glob("trajectories/*/*.parquet"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2 :] = b""
    file.write_bytes(content)

    assert run("verify", "--store", store).status == 1


def test_reading_a_damaged_store_is_an_error_without_traceback(run: Run, store: Path) -> None:
    for file in store.glob("trajectories/*/*.parquet"):
        file.unlink()

    for arguments in (["list"], ["sql", "from trajectories"], ["show", "396f4cf8"], ["doctor"]):
        ran = run(*arguments, "--store", store)
        assert (ran.status, ran.err[:7]) == (2, "error: ")
        assert "Traceback" not in ran.err


def test_repair_sets_a_damaged_file_aside_and_derives_its_rows_again(run: Run, store: Path) -> None:
    before = run("list", "--store", store).out
    file = next(store.glob("trajectories/*/*.parquet"))
    file.write_bytes(file.read_bytes()[:-10])

    ran = run("verify", "--repair", "--store", store)

    assert ran.status == 0
    told = ran.err.splitlines()
    assert told[0].startswith(f"{file.relative_to(store)} is now _tmp/damaged-trajectories-")
    assert told[1:] == ["1 trajectory derived again.", "0 errors, 1 note: the store is whole."]
    assert ran.out.startswith("note: a damaged file was set aside; delete _tmp/damaged-")
    assert run("list", "--store", store).out == before


def test_repair_of_a_whole_store_says_so(run: Run, store: Path) -> None:
    ran = run("verify", "--repair", "--store", store)

    assert (ran.status, ran.out) == (0, "")
    assert ran.err == "Nothing is damaged.\n0 errors, 0 notes: the store is whole.\n"


def test_all_and_sample_are_two_ways_to_check(run: Run, store: Path) -> None:
    for option in (["--all"], ["--sample", "1"], ["--sample", "0"]):
        assert run("verify", *option, "--store", store).status == 0
