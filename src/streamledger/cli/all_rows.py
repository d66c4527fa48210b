"""All rows that a dry run or a repair tells apart, as JSON: kept on disk, for they may be millions."""

import shutil
import tempfile
from typing import IO

import msgspec

from streamledger.operations.rebuilt import Rebuilt
from streamledger.operations.repair_stream import Repaired
from streamledger.readmodel.rebuild.comparison import RowDifference

_encode = msgspec.json.Encoder().encode


class AllRows:
    """Takes rows table by table, and writes the outcome with all of them as its examples."""

    def __init__(self) -> None:
        self._files: dict[str, IO[bytes]] = {}

    def take(self, table: str, row: RowDifference) -> None:
        """Keep a row."""
        file = self._files.get(table)
        if file is None:
            file = self._files[table] = tempfile.TemporaryFile(prefix="streamledger-rows-")  # noqa: SIM115  # closed when written
        else:
            file.write(b",")
        file.write(_encode(row))

    def write(self, done: Rebuilt | Repaired, output: IO[bytes]) -> None:
        """Write the outcome as one JSON object, its `differences` last."""
        facts = msgspec.structs.asdict(done)
        differences = facts.pop("differences")
        output.write(_encode(facts)[:-1] + b',"differences":[')
        for place, each in enumerate(differences):
            counts = msgspec.structs.asdict(each)
            del counts["examples"]
            output.write((b"," if place else b"") + _encode(counts)[:-1] + b',"examples":[')
            if (file := self._files.pop(each.table, None)) is not None:
                with file:
                    file.seek(0)
                    shutil.copyfileobj(file, output)
            output.write(b"]}")
        output.write(b"]}\n")
        output.flush()
