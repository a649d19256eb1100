"""Sections as one HTML page that needs nothing else: no network, no file beside it, no script."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path

from scaledec.report.sections.section import Section, Table

__all__ = ["PageHead", "page_html"]

# Of the page for one of a figure's, which has 150 an inch: letters of 9 points become 12 pixels high.
_PIXELS = 0.64


@dataclass(frozen=True, slots=True)
class PageHead:
    """What stands above the sections."""

    title: str
    subtitle: str
    facts: Mapping[str, str]
    """Term and value, in the order they are shown."""
    table: Table
    settings: str
    """The configuration, without anything secret."""


def page_html(
    head: PageHead, sections: Sequence[Section], images: Mapping[str, Path], files_folder: str
) -> str:
    """The page.

    Parameters
    ----------
    images
        PNG of each picture, by the picture's name; embedded.
    files_folder
        Where the files lie as seen from the page; links to them are the only ones that leave the page.
    """
    style = files("scaledec.report").joinpath("page.css").read_text(encoding="utf-8")
    entries = [("summary", "Summary"), *((s.id, s.title) for s in sections), ("settings", "Settings")]
    contents = "".join(f'<li><a href="#{escape(i)}">{escape(title)}</a></li>' for i, title in entries)
    body = "\n".join(_section(section, images, files_folder) for section in sections)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="scaledec">
<link rel="icon" href="data:,">
<title>{escape(head.title)}</title>
<style>
{style}</style>
</head>
<body>
<div class="layout">
<nav aria-label="Contents"><div><h2>Contents</h2><ol>{contents}</ol></div></nav>
<main>
<header><h1>{escape(head.title)}</h1><p>{escape(head.subtitle)}</p></header>
<section id="summary">
<h2>Summary</h2>
{_facts(head.facts)}
{_table(head.table)}
</section>
{body}
<section id="settings">
<h2>Settings</h2>
<p>The configuration of this run; values of storage options are left out.</p>
<details><summary>Show all settings</summary><pre>{escape(head.settings)}</pre></details>
</section>
</main>
</div>
</body>
</html>
"""


def _section(section: Section, images: Mapping[str, Path], files_folder: str) -> str:
    parts = [f'<section id="{escape(section.id)}">', f"<h2>{escape(section.title)}</h2>"]
    if section.text:
        parts.append(f"<p>{_with_code(section.text)}</p>")
    if section.missing:
        parts.append(f'<p class="missing">{_with_code(section.missing)}</p>')
    parts += [_table(table) for table in section.tables]
    for picture in section.pictures:
        png = images[picture.name].read_bytes()
        data, wide = base64.b64encode(png).decode(), round(_PIXELS * _png_width(png))
        path = f"{files_folder}/{picture.name}"
        parts.append(
            f'<figure><div class="wide"><img alt="{escape(picture.alt)}" style="--wide:{wide}px" '
            f'src="data:image/png;base64,{data}"></div>'
            f'<figcaption>Files: <a href="{escape(path)}.png">PNG</a>, '
            f'<a href="{escape(path)}.svg">SVG</a></figcaption></figure>'
        )
    return "\n".join([*parts, "</section>"])


def _png_width(data: bytes) -> int:
    """Pixels from left to right, from the header of a PNG."""
    return int.from_bytes(data[16:20], "big")


def _facts(facts: Mapping[str, str]) -> str:
    items = (f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in facts.items())
    return f"<dl>{''.join(items)}</dl>"


def _table(table: Table) -> str:
    head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in table.head)
    rows = []
    for number, row in enumerate(table.rows):
        mark = ""
        if table.colours:
            mark = f'<span class="mark" style="background:{escape(table.colours[number])}"></span>'
        first = f"<td>{mark}{escape(row[0])}</td>"
        rows.append(f"<tr>{first}{''.join(_cell(text) for text in row[1:])}</tr>")
    body = "".join(rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(text: str) -> str:
    is_number = text[:1].isdigit() or text[:1] in "–-+." or not text
    return f"<td>{escape(text)}</td>" if is_number else f'<td class="words">{escape(text)}</td>'


def _with_code(text: str) -> str:
    """Text with what stands between backquotes as code."""
    parts = text.split("`")
    told = (f"<code>{escape(p)}</code>" if number % 2 else escape(p) for number, p in enumerate(parts))
    return "".join(told)
