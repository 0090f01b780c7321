"""Assertions about explanations, for test suites."""

from __future__ import annotations

__all__: list[str] = []
