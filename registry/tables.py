"""The tables of the one database. Statements stand where they are used; this page says what is kept.

Rows of `agents` and `tools` are never deleted: a name is given once.
"""

from sqlalchemy import Boolean, Column, Float, Integer, LargeBinary, MetaData, String, Table, Text, UniqueConstraint

HEAD = "0003"
"""The newest revision of `migrations/`."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(column_0_label)s",
    }
)

agents = Table(
    "agents",
    metadata,
    Column("slug", String(24), primary_key=True),
    Column("network", String(64), nullable=False),
    Column("upstream", String(64), nullable=False),
    Column("native", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("meta", Text, nullable=False),
    Column("absent", Integer, nullable=False),
    Column("withdrawn", Boolean, nullable=False),
    Column("paused", Boolean, nullable=False),
    UniqueConstraint("network", "upstream", "native"),
)

tools = Table(
    "tools",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("agent", String(24), nullable=False),
    Column("native", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("pending", Text),
    Column("absent", Integer, nullable=False),
    Column("withdrawn", Boolean, nullable=False),
    UniqueConstraint("agent", "native"),
)

revision = Table(
    "revision",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("value", Integer, nullable=False),
)

upstreams = Table(
    "upstreams",
    metadata,
    Column("name", String(24), primary_key=True),
    Column("network", String(64), nullable=False),
    Column("url", Text, nullable=False),
    Column("secret", LargeBinary),
    Column("options", Text, nullable=False),
    Column("trusted", Boolean, nullable=False),
    Column("created", Float, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", Text, nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("allow", Text, nullable=False),
    Column("roles", Text, nullable=False),
    Column("agent", String(24), nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float),
    Column("revoked", Float),
    Column("rate", Text, nullable=False, server_default=""),
    Column("concurrent", Integer),
    Column("daily", Integer),
    Column("views", Text, nullable=False, server_default="[]"),
    Column("patience", Float),
    Column("last_used", Float),
    Column("day", Integer, nullable=False, server_default="0"),
    Column("calls", Integer, nullable=False, server_default="0"),
)

views = Table(
    "views",
    metadata,
    Column("name", String(24), primary_key=True),
    Column("body", Text, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("call", String(128), nullable=False, index=True),
    Column("root", String(128), nullable=False, index=True),
    Column("parent", String(128)),
    Column("at", Float, nullable=False, index=True),
    Column("ms", Float, nullable=False),
    Column("caller", Text, nullable=False, index=True),
    Column("network", String(64), nullable=False),
    Column("tool", Text, nullable=False),
    Column("agent", String(24), nullable=False),
    Column("target_network", String(64), nullable=False),
    Column("upstream", String(64), nullable=False),
    Column("method", Text, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("code", String(32), nullable=False),
    Column("delivered", String(8), nullable=False),
    Column("arguments_hash", String(64), nullable=False),
    Column("arguments_bytes", Integer, nullable=False),
    Column("result_bytes", Integer, nullable=False),
    Column("hops", Text, nullable=False),
)

state = Table(
    "state",
    metadata,
    Column("namespace", String(128), primary_key=True),
    Column("key", String(256), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

replay = Table(
    "replay",
    metadata,
    Column("scope", String(128), primary_key=True),
    Column("mark", String(128), primary_key=True),
    Column("expires", Float, nullable=False, index=True),
)
