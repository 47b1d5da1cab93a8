"""The composition root: what a process is made of, put together by hand, in the order it depends on each other."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import structlog

from shanraq import payments, webhooks
from shanraq.adapters.visa import VisaAdapter, VisaConfiguration
from shanraq.core.actor import Environment
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.errors import InvalidInputError
from shanraq.core.http import HttpClient
from shanraq.core.secret import Secret
from shanraq.core.settings import InvalidSettingError, Settings, VisaSettings
from shanraq.ops.migrate import migrate
from shanraq.ops.postgres import EmbeddedPostgres, self_check
from shanraq.ops.worker import Worker
from shanraq.simulators.visa import VisaSimulator
