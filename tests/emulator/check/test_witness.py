"""What counts as written outside of /opt/ml and /tmp."""

from local_test.emulator.check.witness import written_outside


def test_files_count_and_the_folders_above_them_do_not() -> None:
    assert written_outside(["/root", "/root/.keras", "/root/.keras/keras.json"]) == [
        "/root/.keras/keras.json"
    ]


def test_what_the_platform_and_the_engine_make_does_not_count() -> None:
    assert written_outside(["/opt", "/opt/ml", "/opt/ml/model", "/tmp/x", "/run/lock"]) == []  # noqa: S108


def test_byte_code_does_not_count_nor_the_folder_in_which_it_lies() -> None:
    made = ["/venv/app", "/venv/app/__pycache__", "/venv/app/__pycache__/a.pyc"]
    assert written_outside(made) == []


def test_an_empty_folder_counts() -> None:
    assert written_outside(["/root", "/root/cache"]) == ["/root/cache"]
