"""The settings about migrations: the queue, what is kept of them, and their tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, SecretStr

from tabletd.config_values import Kind, Names, NotNegative, Positive, Reloadable, Why


class MigrationConfig(BaseModel):
    """These settings, as a part of `Config`."""

    migration_check_interval: Annotated[
        Positive, Why("what happens wakes the queue at once; this only catches what was missed")
    ] = Field(60.0, description="Longest time between two looks at the queue of migrations.")
    max_concurrent_migrations: Annotated[
        int,
        Kind("migrations"),
        Why("two copies at a time share disk and replicas, and neither ends sooner"),
    ] = Field(
        1,
        ge=1,
        description="Migrations without --allow-concurrent running at the same time.",
    )
    max_concurrent_online_ddl: Annotated[
        int,
        Kind("migrations"),
        Why("those that wait before their swap hold connections, not the disk"),
    ] = Field(
        8,
        ge=1,
        description="Migrations running at the same time, those with --allow-concurrent included.",
    )
    enable_online_ddl: Annotated[
        bool, Why("migrations are what the daemon is for; off before maintenance or a removal")
    ] = Field(True, description="Take new migrations; else only the strategy direct works.")
    default_online_strategy: Annotated[
        Literal["", "mysql", "gh-ost", "pt-osc"],
        Why("Vitess's own engine, for which these names stand, is not in this daemon"),
    ] = Field("", description="What the strategies online and vitess stand for; default: refused.")
    retain_artifacts: Annotated[
        NotNegative,
        Reloadable(),
        Why("Vitess's, a day to find out that the change was wrong"),
    ] = Field(86400.0, description="How long old tables are kept after a migration.")
    table_gc_lifecycle: Annotated[
        Names, Why("Vitess's, a large table is emptied slowly before it is dropped")
    ] = Field(
        ("hold", "purge", "evac", "drop"),
        description="Steps of a dropped table's life, comma-separated; drop is always the last.",
    )
    gc_check_interval: Annotated[Positive, Why("Vitess's")] = Field(
        3600.0, description="Time between two looks for old tables."
    )
    stale_migration_minutes: Annotated[
        int, Kind("minutes"), Why("Vitess's, long enough for a server that is slow to answer")
    ] = Field(
        180, ge=1, description="A running migration without a sign of life for this is failed."
    )
    run_directory: Annotated[
        Path | None, Why("it must outlive the daemon, since the next one finds running tools by it")
    ] = Field(
        None, description="Where migrations keep logs and hooks; default: the XDG state directory."
    )
    log_retention: Annotated[
        NotNegative, Reloadable(), Why("a failed migration is looked at within a week")
    ] = Field(604800.0, description="Age at which logs of finished migrations are removed.")
    gh_ost_path: Annotated[
        Path | None, Why("it need not be on a service's PATH, nor be the version that is there")
    ] = Field(None, description="gh-ost program; default: the one on PATH.")
    pt_osc_path: Annotated[
        Path | None, Why("it need not be on a service's PATH, nor be the version that is there")
    ] = Field(None, description="pt-online-schema-change program; default: the one on PATH.")
    allow_unsafe_cutover: Annotated[bool, Why("lost writes are never the default")] = Field(
        False, description="Permit cut-overs that can lose writes on servers without better."
    )
    probe_timeout: Annotated[
        NotNegative,
        Why("a question of a minute saves a copy of hours; a larger table is asked at the end"),
    ] = Field(
        60.0,
        description="Limit of one question about a table's rows before a run; 0: none.",
    )
    verify: Annotated[bool, Why("both tools can lose rows and still end with 0")] = Field(
        True, description="Compare all rows of table and copy before they are swapped."
    )
    verify_load_percent: Annotated[
        int, Kind("percent"), Why("less is gentler, and holds the table's swap back for longer")
    ] = Field(
        100, ge=1, le=100, description="Share of the time in which comparing asks the server."
    )
    migration_user: Annotated[
        str | None, Why("a run's account has only what its tool needs, and ends with it")
    ] = Field(None, description="Account for the tools; default: a fresh one for each migration.")
    migration_password: Annotated[
        SecretStr | None, Why("for service managers that hand secrets over by the environment")
    ] = Field(None, description="Password of migration_user.")
    migration_password_file: Annotated[Path | None, Why("a file shows in no process list")] = Field(
        None, description="File with the password of migration_user."
    )
