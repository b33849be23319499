"""The KIE_* variables."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from kie_runway.settings import KIE_API_URL, MAX_WAIT_S, Settings


def test_the_defaults_talk_to_kie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KIE_HOME", str(tmp_path))
    settings = Settings()

    assert settings.api_key is None
    assert settings.api_url == KIE_API_URL
    assert settings.max_wait_s == MAX_WAIT_S
    assert settings.ledger_path == tmp_path / "ledger.db"
    assert settings.videos_dir == tmp_path / "videos"


def test_without_kie_home_the_users_data_directory_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("KIE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

    assert Settings().home_dir.is_relative_to(tmp_path)
    assert Settings().home_dir.name == "kie-runway-mcp"


def test_directories_for_uploads_come_in_one_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KIE_UPLOAD_ROOTS", os.pathsep.join(("~/Pictures", "", " /srv/my media ")))

    assert Settings().upload_roots == (tmp_path / "Pictures", Path("/srv/my media"))


@pytest.mark.parametrize("blank", ["", "  ", os.pathsep])
def test_blank_directories_for_uploads_are_none(
    monkeypatch: pytest.MonkeyPatch, blank: str
) -> None:
    monkeypatch.setenv("KIE_UPLOAD_ROOTS", blank)

    assert Settings().upload_roots == ()


def test_a_copy_with_another_home_uses_that_home(tmp_path: Path) -> None:
    settings = Settings()
    assert settings.home_dir == tmp_path / "home"  # looked at before it is copied

    copy = settings.model_copy(update={"home": tmp_path / "other"})

    assert copy.ledger_path == tmp_path / "other" / "ledger.db"


def test_the_key_never_shows_in_a_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIE_API_KEY", "sk-very-secret")
    settings = Settings()

    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "sk-very-secret"
    assert "very-secret" not in f"{settings!r} {settings} {settings.model_dump()}"


@pytest.mark.parametrize("left_out", ["", "  ", "${user_config.of_a_bundle}\n"])
@pytest.mark.parametrize("name", Settings.model_fields)
def test_what_a_user_left_out_of_a_form_counts_as_unset(
    monkeypatch: pytest.MonkeyPatch, name: str, left_out: str
) -> None:
    monkeypatch.setenv(f"KIE_{name.upper()}", left_out)

    assert getattr(Settings(), name) == Settings.model_fields[name].default


@pytest.mark.parametrize("name", ["${KIE_API_KEY}", "${env:KIE_API_KEY}", " ${input:key}\n"])
def test_the_mere_name_of_a_secret_is_none(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("KIE_API_KEY", name)
    monkeypatch.setenv("KIE_WEBHOOK_HMAC_KEY", name)

    assert (Settings().api_key, Settings().webhook_hmac_key) == (None, None)


@pytest.mark.parametrize("name", ["DAILY_CREDITS", "CONFIRM_CREDITS", "API_URL", "DATABASE_URL"])
def test_a_name_in_place_of_a_cap_or_an_address_is_refused_and_never_means_none(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"KIE_{name}", "${BUDGET}")

    with pytest.raises(ValidationError):
        Settings()


def test_a_home_directory_that_a_client_left_in_place_is_the_users(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KIE_OUTPUT_DIR", "${HOME}/Videos/KIE Runway")

    assert Settings().videos_dir == tmp_path / "Videos" / "KIE Runway"


@pytest.mark.skipif(os.name == "nt", reason="names of files are text there")
@pytest.mark.parametrize("name", ["HOME", "OUTPUT_DIR", "UPLOAD_ROOTS"])
@pytest.mark.parametrize("path", [b"/srv/v\xff", b"~/videos", b"videos"])
def test_a_directory_that_no_answer_could_name_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, path: bytes
) -> None:
    odd = tmp_path / os.fsdecode(b"h\xff")
    odd.mkdir()
    monkeypatch.chdir(odd)
    monkeypatch.setenv("HOME", str(odd))
    monkeypatch.setenv(f"KIE_{name}", os.fsdecode(path))

    with pytest.raises(ValidationError, match="not valid UTF-8"):
        Settings()


def test_lists_are_comma_separated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIE_TRUSTED_HOSTS", "media.local, 10.0.0.7:8080,")

    assert Settings().trusted_hosts == ("media.local", "10.0.0.7:8080")


def test_while_a_webhook_key_is_changed_both_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().webhook_keys == ()

    monkeypatch.setenv("KIE_WEBHOOK_HMAC_KEY", " old-secret-key ,, new-secret-key,")
    settings = Settings()
    keys = [key.get_secret_value() for key in settings.webhook_keys]

    assert keys == ["old-secret-key", "new-secret-key"]
    assert "secret-key" not in f"{settings!r} {settings.webhook_keys} {settings.model_dump()}"


def test_a_base_address_ends_without_a_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIE_CALLBACK_URL", " https://hooks.example/kie/ ")

    assert Settings().callback_url == "https://hooks.example/kie"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KIE_AUTOSAVE", "sometimes"),
        ("KIE_MAX_WAIT_S", "-1"),
        ("KIE_MAX_WAIT_S", "soon"),
        ("KIE_DAILY_CREDITS", "-1"),
        ("KIE_DAILY_CREDITS", "nan"),
        ("KIE_DAILY_CREDITS", "inf"),
        ("KIE_CONFIRM_CREDITS", "a lot"),
        ("KIE_API_URL", "ftp://kie.example"),
        ("KIE_CALLBACK_URL", "hooks.example"),
        ("KIE_CALLBACK_URL", "https://hooks.example/?from=kie"),
        ("KIE_LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_value_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ValidationError):
        Settings()


@pytest.mark.parametrize("url", ["postgresql://localhost/kie", "sqlite://", "ledger.db"])
def test_only_sqlite_addresses_are_ledgers_so_far(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("KIE_DATABASE_URL", url)

    with pytest.raises(ValueError, match="sqlite:"):
        _ = Settings().ledger_path


@pytest.mark.parametrize(("value", "credits"), [("200", 200), (" 12.5 ", 12.5), ("0", 0)])
def test_no_credits_a_day_is_a_cap_as_well(
    monkeypatch: pytest.MonkeyPatch, value: str, credits: float
) -> None:
    monkeypatch.setenv("KIE_DAILY_CREDITS", value)

    assert Settings().daily_credits == credits
