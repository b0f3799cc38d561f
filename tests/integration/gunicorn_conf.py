"""gunicorn's configuration: its workers import uvloop, and get ours."""

from __future__ import annotations

import uvloop_core

uvloop_core.as_uvloop()
