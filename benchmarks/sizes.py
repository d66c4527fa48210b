"""What tables take on the disk."""

import psycopg


def by_table(dsn: str, schema: str = "streamledger") -> list[tuple[str, int, int]]:
    """Name, bytes of the rows, bytes of the indexes, of each table that holds anything, the largest first."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(
            "SELECT relname, pg_table_size(oid), pg_indexes_size(oid) FROM pg_class"
            " WHERE relnamespace = %s::regnamespace AND relkind = 'r' AND pg_table_size(oid) > 65536"
            " ORDER BY pg_total_relation_size(oid) DESC",
            (schema,),
        ).fetchall()
