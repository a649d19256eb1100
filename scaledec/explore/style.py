"""How the page's words look, in one place."""

from __future__ import annotations

import html
from typing import Any

import panel as pn

__all__ = ["PAGE_SHEET", "caption", "hint", "problem", "small", "text"]

PAGE_SHEET = "body { margin: 0; background: #ffffff; }"
"""Of the page itself."""

_SHEET = """
:host { font-family: system-ui, "DejaVu Sans", sans-serif; font-size: 12.5px; line-height: 1.35; }
:host { color: #25313c; }
p { margin: 0; }
p, td, div { overflow-wrap: anywhere; }
.caption { font-weight: 600; font-size: 13px; border-bottom: 1px solid #d9dee3; padding-bottom: 2px; }
.hint { color: #5b6770; }
.small { font-size: 11px; color: #5b6770; }
.problem { color: #8a1c1c; background: #fbeaea; padding: 6px 8px; border-radius: 3px; }
.head { font-size: 15px; border-bottom: 2px solid #25313c; padding: 4px 0 5px 0; }
table { border-collapse: collapse; }
th { text-align: left; vertical-align: top; white-space: nowrap; }
th { font-weight: 400; color: #5b6770; padding: 1px 14px 1px 0; }
td { padding: 1px 0; }
"""


def text(content: str, **others: Any) -> Any:
    """A piece of HTML in the page's own style."""
    return pn.pane.HTML(content, stylesheets=[_SHEET], **others)


def caption(words: str) -> Any:
    """A heading of a group."""
    return text(f"<div class='caption'>{words}</div>", sizing_mode="stretch_width", margin=(10, 5, 4, 5))


def hint(words: str) -> str:
    """What to do here, or why nothing is here."""
    return f"<p class='hint'>{html.escape(words)}</p>"


def small(words: str) -> str:
    """What a picture shows."""
    return f"<div class='small'>{html.escape(words)}</div>"


def problem(words: str) -> str:
    """What went wrong; nothing for no words."""
    return f"<p class='problem'>{html.escape(words)}</p>" if words else ""
