"""A page of HTML that stands alone: its policy lets it load nothing and run nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from html import escape


def page(title: str, style: str, body: str) -> str:
    """The whole document; `style` is the only one that its policy lets in, so no element has one of its own."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )


def section(title: str, content: str) -> str:
    """A heading and what belongs to it; `content` is HTML."""
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}\n</section>\n"


def folded(title: str, content: str) -> str:
    """A section that opens when it is asked for; `content` is HTML."""
    return f"<section><details><summary><h2>{escape(title)}</h2></summary>{content}</details></section>\n"


def paragraph(words: str, kind: str = "") -> str:
    """Plain words."""
    return f"<p{_of(kind)}>{escape(words)}</p>\n"


def bullets(items: Iterable[str]) -> str:
    """Plain words, one a line."""
    return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"


def facts(known: Mapping[str, object]) -> str:
    """Names and what is known of them; None is left out."""
    told = ((name, fact) for name, fact in known.items() if fact is not None)
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(fact))}</dd>" for name, fact in told) + "</dl>"


def table(head: Sequence[str], lines: Iterable[Sequence[str]], kind: str = "") -> str:
    """Cells are HTML; a table wider than the page is scrolled."""
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    rows = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in line)}</tr>" for line in lines)
    whole = f"<table{_of(kind)}><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="scroll" tabindex="0">{whole}</div>'


def _of(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
