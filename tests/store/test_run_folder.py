from __future__ import annotations

import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shoal.core.errors import InputError, RunError
from shoal.core.events import StepStarted
from shoal.core.settings import FitSettings
from shoal.store.events_store import Ended
from shoal.store.run_folder import RunFolder, name_of


@pytest.fixture(autouse=True)
def in_a_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_runs_without_a_folder_of_their_own_are_numbered() -> None:
    made = [RunFolder.create(None, "digits") for _ in range(3)]
    assert [str(each.path) for each in made] == ["runs/digits", "runs/digits-2", "runs/digits-3"]
    assert [each.name for each in made] == ["digits", "digits-2", "digits-3"]


def test_runs_that_start_at_once_get_folders_of_their_own() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: RunFolder.create(None, "digits").path, range(24)))
    assert len(set(made)) == 24


def test_a_folder_is_claimed_once() -> None:
    assert RunFolder(Path("runs/digits"))._claim()
    assert not RunFolder(Path("runs/digits"))._claim()


def test_a_folder_that_holds_a_run_is_refused_and_left_alone(tmp_path: Path) -> None:
    first = RunFolder.create("here", "digits")
    first.summary_json.write_text("{}")
    with pytest.raises(InputError, match="already holds a run"):
        RunFolder.create("here", "digits")
    assert first.summary_json.read_text() == "{}"


def test_a_start_that_failed_does_not_block_the_next_one(tmp_path: Path) -> None:
    settings = FitSettings(data="digits", store="bogus://x")
    for out, left in (("here", False), (None, False), ("mine", True)):
        if left:
            (tmp_path / "mine").mkdir()
        folder = RunFolder.create(out, "digits")
        folder.write_settings(settings, {})
        with pytest.raises(InputError):
            folder.open_store(settings)
        if left:
            RunFolder(folder.path).open_store(FitSettings(data="digits")).close()  # a store without an event
        else:
            folder.store_db.touch()  # one without a table
        folder.release()
        assert folder.path.exists() == left
        assert RunFolder.create(out, "digits").path == folder.path


def test_a_run_that_began_is_not_released() -> None:
    folder = RunFolder.create("here", "digits")
    (folder.path / "notes.txt").write_text("mine")
    folder.release()
    assert [each.name for each in folder.path.iterdir()] == ["notes.txt"]
    folder = RunFolder.create("here", "digits")
    settings = FitSettings(data="digits")
    key = folder.write_settings(settings, {})
    with folder.open_store(settings) as store:
        store.append(key, StepStarted(step=1, round=1, why="to see"))
        folder.release()
    folder.release()
    assert len(folder.read_events()) == 1
    with pytest.raises(InputError, match="already holds a run"):
        RunFolder.create("here", "digits")


@pytest.mark.parametrize("harm", ["not a database", "half", "no file"])
def test_a_store_that_cannot_be_read_is_never_removed(harm: str) -> None:
    folder = RunFolder.create("here", "digits")
    settings = FitSettings(data="digits")
    key = folder.write_settings(settings, {})
    with folder.open_store(settings) as store:
        for _ in range(30):
            store.append(key, StepStarted(step=1, round=1, why="to see"))
    content = folder.store_db.read_bytes()
    folder.store_db.write_bytes({"not a database": b"x" * 9000, "half": content[:5000]}.get(harm, content))
    if harm == "no file":
        folder.store_db.unlink()
        folder.store_db.symlink_to(Path("a" * 300))  # whoever looks gets an error of the system
    before = sorted(each.name for each in folder.path.iterdir())
    folder.release()
    assert sorted(each.name for each in folder.path.iterdir()) == before and "store.db" in before


def test_an_empty_folder_is_taken_and_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert RunFolder.create("empty", "digits").path == Path("empty")
    (tmp_path / "file").write_text("mine")
    for out in ("file", "file/below"):
        with pytest.raises(InputError, match="file"):
            RunFolder.create(out, "digits")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_without_a_run_is_refused_with_the_closest_names(tmp_path: Path) -> None:
    RunFolder.create(None, "digits")
    RunFolder.create(None, "adult")
    with pytest.raises(InputError, match=r"did you mean runs/digits\?"):
        RunFolder.open("runs/digit")
    with pytest.raises(InputError, match=r"did you mean runs/adult\?"):
        RunFolder.open("adult")
    (tmp_path / "photos").mkdir()
    with pytest.raises(InputError, match="holds no run"):
        RunFolder.open("photos")
    with pytest.raises(InputError, match="does not exist"):
        RunFolder.open("zzz")
    assert RunFolder.open("runs/digits").path == Path("runs/digits")


def test_settings_come_back_and_serve_as_a_configuration() -> None:
    settings = FitSettings(
        data="a b.csv", target='in"come', drop=("x", "y"), ranges={"lr": (1e-5, 0.1)}, seed=2**63 - 1, out="there"
    )
    folder = RunFolder.create("there", "x")
    key = folder.write_settings(settings, {"versions": {"torch": "2.13.0"}, "data_hash": "abc"})
    written = tomllib.loads(folder.run_toml.read_text())
    assert folder.read_settings() == settings.model_copy(update={"out": None})
    assert len(written["run"].pop("digest")) == 64
    assert written["run"] == {"key": key, "versions": {"torch": "2.13.0"}, "data_hash": "abc"}
    assert key == "there"


def test_a_password_is_not_written_down() -> None:
    folder = RunFolder.create("there", "x")
    settings = FitSettings(data="iris", store="postgresql://ann:secret@db/team")
    keys = {folder.write_settings(settings, {}) for _ in range(2)}
    assert "secret" not in folder.run_toml.read_text()
    assert len(keys) == 2  # a store for a team needs keys that nobody else has


def test_events_are_found_after_the_folder_was_moved_or_the_run_was_killed_early(tmp_path: Path) -> None:
    events = [StepStarted(step=1), StepStarted(step=2)]
    folder = RunFolder.create(None, "digits")
    with folder.open_store(FitSettings(data="digits")) as store:
        for each in events:
            store.append("digits", each)
    assert folder.read_events() == events  # run.toml is still empty
    folder.write_settings(FitSettings(data="digits"), {})
    folder.path.rename(tmp_path / "best")
    assert RunFolder.open(tmp_path / "best").read_events() == events


def test_a_store_elsewhere_is_found_again(tmp_path: Path) -> None:
    settings = FitSettings(data="digits", store=str(tmp_path / "team.db"))
    made = []
    for count in (1, 2):
        folder = RunFolder.create(None, "digits")
        key = folder.write_settings(settings, {})
        with folder.open_store(settings) as store:
            for step in range(1, count + 1):
                store.append(key, StepStarted(step=step))
        made.append(folder)
    where = str(tmp_path / "team.db")
    assert [len(each.read_events(where)) for each in made] == [1, 2]
    with pytest.raises(InputError, match="opened only when you name it"):
        made[0].read_events()
    with pytest.raises(InputError, match="another database is named"):
        made[0].read_events(str(tmp_path / "other.db"))
    assert not (tmp_path / "other.db").exists()


def test_settings_that_were_changed_do_not_go_on() -> None:
    folder = RunFolder.create("there", "x")
    folder.write_settings(FitSettings(data="iris", budget="trials=9"), {"data_hash": "abc"})
    folder.write_plans({"1f": {"rows": 4}})
    folder.read_settings()
    written = folder.run_toml.read_text()
    changes = (
        ("trials=9", "trials=8"),
        ('"abc"', '"abd"'),
        ("rows = 4", "rows = 5"),
        ("[run]", "[run]\nd = 2026-01-31"),
    )
    for before, after in changes:
        folder.run_toml.write_text(written.replace(before, after))
        with pytest.raises(InputError, match="changed or damaged since the run began"):
            folder.read_settings()


@pytest.mark.parametrize("harm", ["removed", "no toml", "other settings", "no record"])
def test_a_record_that_somebody_touched_during_the_run_is_not_signed(harm: str) -> None:
    folder = RunFolder.create("there", "x")
    folder.write_settings(FitSettings(data="iris", budget="trials=9"), {})
    written = folder.run_toml.read_text()
    left = {"no toml": "data = ", "other settings": written.replace("=9", "=8"), "no record": 'data = "iris"\n'}
    folder.run_toml.unlink() if harm == "removed" else folder.run_toml.write_text(left[harm])
    for write in (lambda: folder.write_plans({}), lambda: folder.write_end(Ended(events=1, digest="x"))):
        with pytest.raises(RunError, match=r"run\.toml was changed or removed while the run was at work"):
            write()
    assert harm == "removed" or folder.run_toml.read_text() == left[harm]


def test_what_a_killed_writer_left_is_removed_under_the_lock() -> None:
    folder = RunFolder.create("there", "x")
    for each in (folder.path, folder.model, folder.checkpoint):
        each.mkdir(exist_ok=True)
        (each / ".model.json.aa.tmp").write_bytes(b"half")
    with folder.alone():
        assert not [*folder.path.rglob("*.tmp")]


def test_a_run_without_events_or_settings_says_so() -> None:
    folder = RunFolder.create(None, "digits")
    with pytest.raises(InputError, match="missing"):
        folder.read_events()
    assert not folder.store_db.exists()  # looking does not make one
    with pytest.raises(InputError, match="no settings"):
        folder.read_settings()
    folder.open_store(FitSettings(data="digits")).close()
    with pytest.raises(InputError, match="no event"):
        folder.read_events()
    folder.run_toml.write_text("data = ")
    with pytest.raises(InputError, match="damaged"):
        folder.read_settings()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("adult.CSV.GZ", "adult"),
        ("../a/fashion_folder/", "fashion_folder"),
        ("mein Bild (2).npz", "mein-Bild-2"),
        ("..", "run"),
        ("/", "run"),
        ("x" * 300, "x" * 80),
        ("v1.2.parquet", "v1.2"),
    ],
)
def test_a_run_is_named_after_its_source(source: str, name: str) -> None:
    assert name_of(source) == name
