"""Settings: read once at the start of a process and handed down. Every VBQ_ variable is a field here."""

from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.config import Config, Ehr
from schemas.errors import NotConfigured
from schemas.record import problems_of

REDIS_SCHEMES = ("redis://", "rediss://", "redis+socket://", "unix://", "sentinel://")
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Settings(BaseSettings):
    """What the environment says. Units are in the names."""

    model_config = SettingsConfigDict(env_prefix="VBQ_", frozen=True, extra="ignore", allow_inf_nan=False)

    data_dir: Path = Field(default=Path("var"), description="everything that the embedded stack writes lies below it")
    database_url: str = Field(default="", description="SQLAlchemy URL; empty: SQLite in data_dir")
    redis_url: str = Field(default="", description="Redis; empty: `vbq up` starts its own in data_dir")
    broker_url: str = Field(
        default="", description="RabbitMQ (amqp://...) for Celery's messages; empty: they go through Redis"
    )
    ehr_base_url: str = Field(default="", description="FHIR server that gets results; empty: none is sent")
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8080, ge=0, le=65535, description="one port for intake, CDS Hooks, pages and health")
    public_url: str = Field(default="", description="our base URL as clients see it; empty: http://host:port")
    config: Path | None = Field(default=None, description="YAML file for what has structure (docs/configuration.md)")
    dev_open: bool = Field(default=False, description="1 switches authentication off; refused off loopback")
    max_body_bytes: int = Field(default=10 * 2**20, ge=1024, description="largest request body")
    max_json_depth: int = Field(default=64, ge=8, le=256, description="deepest JSON nesting")
    inbox_limit: int = Field(default=1_000_000, ge=1, description="more unread events than that: intake answers 503")
    min_free_bytes: int = Field(
        default=64 * 2**20, ge=0, description="less free disk below an SQLite database than that: intake answers 503"
    )
    max_study_instances: int = Field(default=2000, ge=1, description="largest number of DICOM instances in a study")
    max_study_bytes: int = Field(default=2 * 2**30, ge=2**20, description="largest study in bytes")
    max_pixels: int = Field(default=4096 * 4096, ge=2**16, description="largest rows x columns of an image")
    decoder_memory_bytes: int = Field(
        default=2**30, ge=2**28, description="address space of the process that reads DICOM files"
    )
    decoder_seconds: int = Field(default=20, ge=1, le=600, description="longest time that reading one DICOM file takes")
    cache_bytes: int = Field(default=2**30, ge=0, description="fetched series kept in data_dir; 0 keeps none")
    cache_hours: float = Field(default=24.0, gt=0, le=8760, description="longest time that a fetched series is kept")
    worker_concurrency: int = Field(default=1, ge=1, description="Celery prefork children per worker")
    task_seconds: int = Field(default=120, ge=5, description="hard time limit of one task")
    lease_seconds: int = Field(
        default=150, ge=5, description="longest time that a claim is renewed; above task_seconds"
    )
    claim_seconds: float = Field(
        default=10.0, ge=1, le=60, description="a claim that is not renewed for so long is free for another worker"
    )
    max_attempts: int = Field(default=5, ge=1, description="after so many failures an event is a dead letter")
    debounce_seconds: float = Field(
        default=0.2, ge=0, le=60, description="quiet time before a patient is assessed again"
    )
    debounce_max_seconds: float = Field(default=2.0, ge=0, le=600, description="longest wait that debouncing may cause")
    sweep_seconds: float = Field(default=0.1, gt=0, le=60, description="how often the sweeper looks for due work")
    reconcile_seconds: float = Field(
        default=300.0,
        ge=0,
        le=86400,
        description="how often senders' servers are searched for what was dropped; 0: never",
    )
    reconcile_overlap_seconds: float = Field(
        default=300.0, ge=0, le=86400, description="how far before the last result such a search begins"
    )
    reconcile_deleted_seconds: float = Field(
        default=86400.0,
        ge=0,
        le=31 * 86400,
        description="how often they are asked for what assessments stand on, for a DELETE that was dropped; 0: never",
    )
    retention_days: float = Field(
        default=0.0,
        ge=0,
        le=36500,
        description="bodies of done events and superseded assessments go after so many days; 0: they stay",
    )
    log_level: str = Field(
        default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR"
    )
    study_roots: list[Path] = Field(default_factory=list, description="JSON list; added to study_roots of the config")

    @model_validator(mode="after")
    def _brokers_are_told_apart(self) -> Self:
        if self.redis_url and not self.redis_url.startswith(REDIS_SCHEMES):
            raise ValueError("VBQ_REDIS_URL must be the URL of a Redis; that of a RabbitMQ goes into VBQ_BROKER_URL")
        if self.broker_url and not self.broker_url.startswith(("amqp://", "amqps://", "pyamqp://")):
            raise ValueError(
                "VBQ_BROKER_URL must begin with amqp:// or amqps://; that of a Redis goes into VBQ_REDIS_URL"
            )
        return self

    @model_validator(mode="after")
    def _leases_outlive_tasks(self) -> Self:
        if self.lease_seconds <= self.task_seconds:
            raise ValueError("VBQ_LEASE_SECONDS must be above VBQ_TASK_SECONDS, or work is done twice")
        return self

    @property
    def database(self) -> str:
        """The SQLAlchemy URL in force."""
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / 'vbq.sqlite3'}"

    @property
    def base_url(self) -> str:
        """Our own base URL, without a slash at the end."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")

    def structured(self) -> Config:
        """The YAML configuration with what the environment adds to it.

        Raises NotConfigured, naming the place in the file but not its values (they may be secrets).
        """
        raw: Any = {}
        if self.config is not None:
            try:
                raw = yaml.safe_load(self.config.read_text(encoding="utf-8")) or {}
            except OSError as error:
                raise NotConfigured(f"VBQ_CONFIG cannot be read: {error.strerror}; check the path") from error
            except yaml.YAMLError as error:
                mark = getattr(error, "problem_mark", None)
                where = f" at line {mark.line + 1}" if mark else ""
                raise NotConfigured(f"VBQ_CONFIG is not valid YAML{where}; correct the file") from error
        try:
            config = Config.model_validate(raw)
            if self.ehr_base_url:
                # The variable alone has no place to say that its name leads into a private network: it may.
                ehr = config.ehr or Ehr(base_url=self.ehr_base_url, private_network=True)
                config = config.but(ehr=ehr.but(base_url=self.ehr_base_url))
        except ValidationError as error:
            places = "; ".join(f"{path}: {text}" for path, text in problems_of(error))
            raise NotConfigured(f"the configuration is not right: {places}") from error
        roots = [*config.study_roots, *self.study_roots, self.data_dir.absolute() / "studies"]
        return config.but(study_roots=roots)


def load_settings() -> Settings:
    """Settings from the environment; raises NotConfigured naming each wrong variable, never its value."""
    try:
        settings = Settings()
    except ValidationError as error:
        places = "; ".join(f"VBQ_{path.upper()}: {text}" for path, text in problems_of(error))
        raise NotConfigured(f"the environment is not right: {places}") from error
    if settings.dev_open and settings.host not in LOOPBACK:
        raise NotConfigured("VBQ_DEV_OPEN=1 switches authentication off and is refused unless VBQ_HOST is loopback")
    return settings
