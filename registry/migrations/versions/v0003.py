"""The log of what must not be shown twice."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A new table."""
    op.create_table(
        "replay",
        sa.Column("scope", sa.String(length=128), nullable=False),
        sa.Column("mark", sa.String(length=128), nullable=False),
        sa.Column("expires", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "mark", name=op.f("pk_replay")),
    )
    op.create_index(op.f("ix_replay_expires"), "replay", ["expires"])
