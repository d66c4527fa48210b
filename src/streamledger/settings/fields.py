"""Every setting in one frozen struct, with its default and what it is."""

from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from streamledger.domain.suspicion import SuspectLimits
from streamledger.settings.secret import Secret

_Picked = TypeVar("_Picked", bound=msgspec.Struct)
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting with its default, what it is, and its bounds; docs/settings.md lists them, and a test
    compares the two."""

    callback_keys: Annotated[
        Secret | None,
        "Callback keys as set in the Tencent console, comma-separated, each `name:key` or `key`. "
        "Without any, deliveries are believed unsigned and `serve` listens on loopback only.",
    ] = None
    callback_keys_file: Annotated[
        Path | None,
        "TOML file of further callback keys, [[keys]] with name, key and optionally not_before and "
        "not_after; changes take effect within seconds, without a restart.",
    ] = None
    callback_token: Annotated[
        Secret | None,
        "Secret last part of the callback URL, /callbacks/tencent/TOKEN; lets unsigned deliveries in, "
        "unless it is required.",
    ] = None
    callback_token_required: Annotated[
        bool,
        "Ask for callback_token beside the signature, as a second factor: without it the answer is 404, "
        "and it lets nothing unsigned in while callback keys are set.",
    ] = False
    callback_networks: Annotated[
        str, "Networks that callbacks are taken from, comma-separated CIDRs; others get 403."
    ] = ""
    trusted_proxies: Annotated[
        str, "Networks of proxies whose X-Forwarded-For is believed, comma-separated CIDRs."
    ] = ""
    refused_per_minute_max: Annotated[
        int,
        "Refused deliveries of one address that are kept in a minute; beyond it the answer is 429 and "
        "they are counted only. 0 sets no limit.",
        Meta(ge=0),
    ] = 600
    expiry_grace_s: Annotated[
        int, "How long after `t` has passed a delivery is still believed, in seconds.", Meta(ge=0)
    ] = 0
    believe_after_absence: Annotated[
        bool, "Believe a delivery whose `t` passed while nobody was there, up to 390 s after its `t`."
    ] = True
    ahead_s_max: Annotated[
        int, "How far ahead of now `t` may lie, in seconds; Tencent signs for 600 s.", Meta(ge=1)
    ] = 900
    database_url: Annotated[
        Secret | None,
        "PostgreSQL 15 or newer, a libpq URL, of several hosts too; without it an embedded one is used.",
    ] = None
    owner_database_url: Annotated[
        Secret | None,
        "The same database by the role that owns the schema, for migrations alone; it must be a member "
        "of the role of STREAMLEDGER_DATABASE_URL. Without it that role does both.",
    ] = None
    database_schema: Annotated[str, "The PostgreSQL schema that holds this ledger."] = "streamledger"
    data_dir: Annotated[Path, "Directory of the embedded PostgreSQL."] = Path("streamledger-data")
    host: Annotated[str, "Address to listen on."] = "127.0.0.1"
    port: Annotated[int, "Port to listen on; 0 takes a free one.", Meta(ge=0, le=65535)] = 8470
    public_url: Annotated[
        str,
        "Where a proxy in front lets the server be reached, `https://HOST` or `https://HOST/PREFIX`: "
        "the callback address that the first page shows, the prefix of all links, Secure cookies.",
    ] = ""
    workers: Annotated[int, "Web processes that share the port.", Meta(ge=1, le=64)] = 1
    api_tokens: Annotated[
        Secret | None,
        "Bearer tokens of the query interface, comma-separated, each `name:scope:token`; read or admin.",
    ] = None
    cookie_key: Annotated[
        Secret | None,
        "What the cookies of signed-in browsers are signed with, 32 characters or more, one for all "
        "nodes. Without it the embedded store's data directory keeps one, and on an external database "
        "sign-ins end with the server.",
    ] = None
    image_hosts: Annotated[
        str,
        "Hosts whose images the pages load by themselves, comma-separated: a name, `*.name` for all "
        "below it, `*` for all public ones. Others are links with the host's name.",
    ] = ""
    insecure: Annotated[bool, "Listen beyond loopback although no callback key or no API token is set."] = (
        False
    )
    body_bytes_max: Annotated[int, "Largest body accepted, in bytes.", Meta(ge=1024)] = 256 * 1024
    batch_size_max: Annotated[
        int,
        "Deliveries stored in one transaction; fewer where bodies are large.",
        Meta(ge=1, le=10000),
    ] = 500
    queue_length_max: Annotated[
        int, "Deliveries waiting for the store before new ones are answered with 503.", Meta(ge=1)
    ] = 10_000
    store_wait_s_max: Annotated[
        int,
        "How long a delivery waits to be on disk before it is answered with 503.",
        Meta(ge=1, le=9),
    ] = 8
    quarantine_refused_rows_max: Annotated[
        int,
        "Refused deliveries kept: bad_signature, unsigned, malformed. Beyond it they are counted only.",
        Meta(ge=0),
    ] = 100_000
    quarantine_refused_bytes_max: Annotated[int, "Bytes of refused bodies kept.", Meta(ge=0)] = (
        256 * 1024 * 1024
    )
    quarantine_signed_rows_max: Annotated[
        int, "Signed but expired deliveries kept. Beyond it the answer is 503.", Meta(ge=0)
    ] = 1_000_000
    quarantine_signed_bytes_max: Annotated[int, "Bytes of signed but expired bodies kept.", Meta(ge=0)] = (
        2 * 1024 * 1024 * 1024
    )
    quarantine_days_max: Annotated[
        int, "Days after which a quarantined delivery that was never released is deleted.", Meta(ge=1)
    ] = 90
    redact_parameters: Annotated[
        str, "Names of URL parameters and fields to redact besides txSecret, comma-separated."
    ] = ""
    silence_s_max: Annotated[
        int,
        "Silence after which a push without a stop is suspect, in seconds; docs/sessions.md.",
        Meta(ge=1),
    ] = 3600
    unheard_s_max: Annotated[
        int, "The same of a push that never gave a sign, in seconds from its start.", Meta(ge=1)
    ] = 86_400
    newer_push_s_max: Annotated[
        int,
        "How long ago a newer push of the stream must have begun, without a sign of this one since, "
        "before a session without a stop is suspect, in seconds.",
        Meta(ge=0),
    ] = 60
    recording_ended_s_max: Annotated[
        int,
        "How long ago its recording must have ended, without a sign since, "
        "before a session without a stop is suspect, in seconds.",
        Meta(ge=0),
    ] = 300
    rebuild_automatically: Annotated[
        bool,
        "Rebuild the read model in the background when its rules have changed with an upgrade; without, "
        "`serve` says that a rebuild is due.",
    ] = False
    readers_max: Annotated[
        int,
        "Readers of the event feed and live pages per web process; more are answered 503.",
        Meta(ge=1),
    ] = 1000
    readers_per_token_max: Annotated[
        int,
        "Of them those of one token, or of one address where none is needed; more are answered 503.",
        Meta(ge=1),
    ] = 200
    wrong_tokens_per_minute_max: Annotated[
        int,
        "Wrong bearer tokens and sign-ins of one address that are answered at once in a minute; beyond "
        "it the answer is 429, a second late. 0 sets no limit.",
        Meta(ge=0),
    ] = 60
    connections_max: Annotated[
        int,
        "Connections per web process; fewer where the system allows fewer open files. At the limit one "
        "without a whole head is closed, then the longest idle.",
        Meta(ge=2),
    ] = 2048
    connections_per_address_max: Annotated[
        int,
        "Of them those of one address (of IPv6 one network of 64 bits), in the same way. Trusted proxies "
        "and Unix sockets are exempt.",
        Meta(ge=2),
    ] = 512
    head_bytes_max: Annotated[
        int,
        "Largest head of a request, in bytes; a larger one is answered 431.",
        Meta(ge=1024, le=65536),
    ] = 16 * 1024
    head_lines_max: Annotated[
        int, "Header lines of one request; more are answered 431.", Meta(ge=8, le=1000)
    ] = 100
    head_s_max: Annotated[
        int,
        "How long a connection may take to send a whole head before it is closed, in seconds.",
        Meta(ge=1),
    ] = 10
    body_s_max: Annotated[
        int,
        "How long a body may take to arrive, in seconds; Tencent waits 20 for its answer.",
        Meta(ge=1),
    ] = 20
    idle_s_max: Annotated[
        int,
        "How long a connection may rest between two requests before it is closed, in seconds.",
        Meta(ge=1),
    ] = 75
    pipelined_requests_max: Annotated[
        int,
        "Requests that may wait behind one being answered; with more a connection is closed.",
        Meta(ge=1),
    ] = 16
    unfinished_bytes_max: Annotated[
        int,
        "Bytes of heads and bodies not yet whole, per web process; beyond it the oldest are closed.",
        Meta(ge=1024 * 1024),
    ] = 16 * 1024 * 1024
    unread_bytes_max: Annotated[
        int,
        "Bytes of answers that wait for those who do not read them, per web process; beyond it the "
        "connections with most of them are closed.",
        Meta(ge=1024 * 1024),
    ] = 32 * 1024 * 1024
    unread_s_max: Annotated[
        int,
        "How long an answer may wait while nothing of it is read before it is cut off, in seconds.",
        Meta(ge=1),
    ] = 30
    tolerant_bytes_max: Annotated[
        int,
        "Largest body that is read although it is no strict JSON, in bytes; genuine ones have some 700.",
        Meta(ge=1024, le=16 * 1024),
    ] = 16 * 1024
    tolerant_bytes_per_s_max: Annotated[
        int,
        "Bytes of bodies that are no strict JSON and were refused, read in a second by one web process; "
        "beyond it the answer is 429 until the second is over.",
        Meta(ge=1024),
    ] = 512 * 1024
    refused_kept_per_s_max: Annotated[
        int,
        "Refused deliveries kept in a second by one web process, from all addresses together; beyond it "
        "they are counted only, and answered a second late.",
        Meta(ge=1),
    ] = 200
    refused_waiting_bytes_max: Annotated[
        int,
        "Bytes of refused bodies that wait for the store, per web process; beyond it they are counted "
        "only, and answered a second late.",
        Meta(ge=0),
    ] = 4 * 1024 * 1024
    log_level: Annotated[LogLevel, "debug, info, warning or error."] = "info"
    log_format: Annotated[LogFormat, "text, or json: an object a line, for what gathers logs."] = "text"
    log_deliveries: Annotated[
        bool,
        "A line in the log for each delivery that was looked into: its id, outcome, position and time. "
        "Each costs some 30 µs.",
    ] = False
    traces_url: Annotated[
        str,
        "An OpenTelemetry collector that takes a span for each delivery by OTLP over HTTP, such as "
        "`http://127.0.0.1:4318/v1/traces`; asks for `pip install 'streamledger[otel]'`. "
        "Without it nothing is traced, and nothing sent.",
    ] = ""
    server_url: Annotated[
        str,
        "A running server, `https://HOST[/PREFIX]`, that the reading commands ask instead of opening a "
        "store themselves: what --url names.",
    ] = ""
    server_token: Annotated[
        Secret | None, "Bearer token for that server. Unlike --token it does not stand in the process list."
    ] = None

    def picked(self, kind: type[_Picked]) -> _Picked:
        """A struct whose fields are some of these settings, by their names."""
        return kind(**{name: getattr(self, name) for name in kind.__struct_fields__})

    def suspect_limits(self) -> SuspectLimits:
        """How old what speaks against a push must be."""
        return SuspectLimits(
            silence_ms_max=self.silence_s_max * 1000,
            newer_push_ms_max=self.newer_push_s_max * 1000,
            recording_ended_ms_max=self.recording_ended_s_max * 1000,
            unheard_ms_max=self.unheard_s_max * 1000,
        )


FIELDS: Final = {field.name: field for field in msgspec.structs.fields(Settings)}
