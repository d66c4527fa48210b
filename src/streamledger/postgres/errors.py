"""The leaves that the PostgreSQL room raises: data directory, embedded server, connection, migrations."""

from streamledger.domain.errors import StreamledgerError


class DataDirectoryInUse(StreamledgerError):
    """the data directory {data_dir} is in use by the streamledger process {pid}; stop it, or name another
    with --data-dir"""

    exit_code = 3


class DirectoryUnusable(StreamledgerError):
    """the data directory {data_dir} cannot be used: {reason}"""

    exit_code = 3


class SocketDirectoryUnsafe(StreamledgerError):
    """the socket directory {directory} cannot be trusted: expected {expected}, got {got}; remove it, or name
    a data directory with a shorter path"""

    exit_code = 3


class EmbeddedStartFailed(StreamledgerError):
    """the embedded PostgreSQL did not start: {reason} (its log: {log})"""

    exit_code = 3


class PostgresTooOld(StreamledgerError):
    """the database is PostgreSQL {found}; streamledger needs {needed} or newer"""

    exit_code = 3


class LeaseHeld(StreamledgerError):
    """another process holds the lease {name}"""


class LeaseLost(StreamledgerError):
    """another process has taken over the lease {name}, which this one had not renewed for {seconds} s:
    nothing was changed"""


class MigrationFileInvalid(StreamledgerError):
    """the migration files of this release are broken: expected {expected}, got {got}"""


class MigrationFailed(StreamledgerError):
    """the migration {name} failed and was rolled back: {cause}"""

    exit_code = 3


class MigrationChanged(StreamledgerError):
    """the migration {name} was changed after it was applied to the schema {schema}; a released migration is
    never edited, add another"""

    exit_code = 3


class SchemaTooNew(StreamledgerError):
    """the schema {schema} is at version {found} and this release knows {known}; run the newer release"""

    exit_code = 3


def first_line(error: Exception) -> str:
    """What PostgreSQL says of an error, without what it adds on further lines."""
    return str(error).partition("\n")[0]


def on_one_line(error: Exception) -> str:
    """All that is said of an error."""
    return " ".join(str(error).split())
