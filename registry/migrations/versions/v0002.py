"""Views; limits, views, patience and use of keys."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Keys that are there keep what they had: no limits of their own, and every view."""
    op.create_table(
        "views",
        sa.Column("name", sa.String(length=24), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_views")),
    )
    for column in (
        sa.Column("rate", sa.Text(), nullable=False, server_default=""),
        sa.Column("concurrent", sa.Integer(), nullable=True),
        sa.Column("daily", sa.Integer(), nullable=True),
        sa.Column("views", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("patience", sa.Float(), nullable=True),
        sa.Column("last_used", sa.Float(), nullable=True),
        sa.Column("day", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("calls", sa.Integer(), nullable=False, server_default="0"),
    ):
        op.add_column("keys", column)
