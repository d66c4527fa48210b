"""The wheel holds everything that the program reads, and the documents that it sends its readers to."""

import os
import subprocess
import sys
import tarfile
import zipfile
from functools import partial
from pathlib import Path

from tests.house.papers import dead_links
from tests.house.rooms import ROOT

DATA = "share/doc/streamledger/"


def test_every_file_of_the_package_and_every_document_is_in_the_wheel(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    source = ROOT / "src"
    ours = [file for file in (source / "streamledger").rglob("*") if file.is_file()]
    wanted = {file.relative_to(source).as_posix() for file in ours if file.suffix != ".pyc"}
    assert wanted <= set(names)
    told = {name.partition(DATA)[2] for name in names if DATA in name}
    documents = [*ROOT.glob("README*.md"), *(file for file in (ROOT / "docs").rglob("*") if file.is_file())]
    assert {file.relative_to(ROOT).as_posix() for file in documents} <= told
    lost = {
        (name, link)
        for name in told
        if name.endswith(".md")
        for link in dead_links((ROOT / name).read_text("utf-8"), partial(_leads, told, Path(name).parent))
    }
    assert lost == set()


def test_a_checkout_out_of_the_source_archive_can_be_set_up(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {
        "Makefile",
        "pyproject.toml",
        "requirements/dev.lock",
        "requirements/run.lock",
        "LICENSE",
    } <= names
    assert not any(name.startswith("tests/") for name in names)


def _leads(told: set[str], folder: Path, link: str) -> bool:
    """Whether a link of a document beside the wheel leads to another one there."""
    return os.path.normpath(folder / link) in told
