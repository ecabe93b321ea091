"""Pages that stand alone."""

from __future__ import annotations

import base64
import hashlib
import re

from training.html_page import bullets, facts, folded, page, paragraph, section, table


def test_words_are_never_markup() -> None:
    odd = "<b>&\"'"
    told = [section(odd, ""), folded(odd, ""), paragraph(odd), bullets([odd]), facts({odd: odd}), table([odd], [])]

    assert not any("<b>" in html for html in told)
    assert all("&lt;b&gt;&amp;" in html for html in told)


def test_what_is_not_known_is_left_out() -> None:
    assert facts({"seed": 0, "cut": None}) == "<dl><dt>seed</dt><dd>0</dd></dl>"


def test_the_policy_lets_in_one_style_and_nothing_else() -> None:
    html = page("A & B", "p { margin: 0 }", paragraph("x"))
    (style,) = re.findall("<style>(.*?)</style>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

    assert f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'" in html
    assert "<title>A &amp; B</title>" in html
    assert html.startswith("<!doctype html>")
