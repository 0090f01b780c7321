"""Pages of HTML: one style, readable on a phone, on paper, in light and dark; no scripts.

A page loads nothing from the network. Its parts are texts of HTML; what comes from elsewhere, such
as labels and names of files, is given as plain text and escaped here.
"""

from __future__ import annotations

import base64
import html

from gradcam._text import percent, printable

Size = tuple[int, int]
"""(height, width), in pixels."""

_STYLE = """\
:root {
  color-scheme: light dark;
  --ground: #f6f5f1; --card: #fff; --ink: #1d1d1f; --soft: #63636b; --line: #dedcd5;
  --accent: #c2410c;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --ground: #141416; --card: #1f1f23; --ink: #ececee; --soft: #a2a2ac; --line: #35353b;
    --accent: #fb923c;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 3rem 1.5rem; max-width: 76rem;
  background: var(--ground); color: var(--ink);
  font: 1.0625rem/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
h1 { margin: 0; font-size: clamp(2rem, 5vw, 3rem); line-height: 1.1; letter-spacing: -0.02em; }
h2 { margin: 1rem 0 0.25rem; font-size: 1.35rem; line-height: 1.25; overflow-wrap: anywhere; }
h3 { margin: 0 0 0.6rem; font-size: 1.0625rem; font-weight: 500; }
h3:not(:first-child) { margin-top: 1.4rem; }
em { font-style: normal; font-weight: 700; color: var(--accent); }
p { max-width: 44rem; }
.lead { font-size: 1.2rem; color: var(--soft); }
cite { font-style: normal; color: var(--soft); }
img { display: block; max-width: 100%; height: auto; border-radius: 6px; }
.scale { display: flex; max-width: none; align-items: center; gap: 0.7rem; color: var(--soft); }
.scale img { width: 14rem; min-width: 6rem; height: 1rem; }
table { border-collapse: collapse; }
th, td { padding: 0.3rem 0.8rem 0.3rem 0; text-align: right; font-weight: 400; }
th { color: var(--soft); vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
td { border-top: 1px solid var(--line); font-variant-numeric: tabular-nums; }
b { color: var(--accent); }
section {
  display: grid; grid-template-columns: minmax(12rem, 17rem) minmax(0, 1fr); gap: 1.5rem 2.5rem;
  margin: 1.5rem 0; padding: 1.5rem; background: var(--card);
  border: 1px solid var(--line); border-radius: 14px;
}
.seen { align-self: start; position: sticky; top: 1rem; min-width: 0; }
.seen img { width: 100%; }
.seen p { margin: 0 0 0.4rem; color: var(--soft); font-size: 0.95rem; }
ol { list-style: none; margin: 0; padding: 0; color: var(--soft); font-size: 0.95rem; }
ol li { display: grid; grid-template-columns: 1fr 3.5rem 4rem; gap: 0.5rem; align-items: center; }
ol li span { overflow-wrap: anywhere; }
ol li span:last-child { text-align: right; font-variant-numeric: tabular-nums; }
ol i {
  height: 0.55rem; border-radius: 4px;
  background: linear-gradient(to right, var(--accent) var(--share), var(--line) 0);
}
.row { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 1rem; }
figure { margin: 0; }
figure img { width: 100%; }
figcaption { overflow-wrap: anywhere; margin-top: 0.3rem; color: var(--soft); font-size: 0.9rem; }
footer { margin-top: 3rem; color: var(--soft); font-size: 0.9rem; }
@media screen and (max-width: 48rem) {
  section { grid-template-columns: 1fr; }
  .seen { position: static; }
}
@media screen and (max-width: 36rem) {
  body { padding: 1.5rem 1rem; }
  section { padding: 1rem; }
  .row { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .row figure:first-child { grid-column: 1 / -1; }
}
@media print {
  html { font-size: 10px; }
  body { padding: 0; max-width: none; background: #fff; }
  section { break-inside: avoid; grid-template-columns: minmax(0, 1fr) minmax(0, 3fr); }
  .seen { position: static; }
  ol i { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""


def page(title: str, body: str, style: str = "") -> str:
    """Return a whole page; `body` is HTML, and `style` the CSS that only this page needs."""
    return f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escaped(title)}</title>
<style>
{_STYLE}{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def section(picture: str, title: str, said: str, answers: str, why: str) -> str:
    """Return the section of a picture.

    Parameters
    ----------
    picture : str
        HTML: the picture itself.
    title : str
        Plain text.
    said : str
        Plain text: what introduces the answers.
    answers, why : str
        HTML: the network's answers, and the explanations.
    """
    heading = escaped(title).replace("/", "/<wbr>")  # where the name of a file may be broken
    return f"""\
<section>
<div class="seen">
{picture}
<h2>{heading}</h2>
<p>{escaped(said)}</p>
<ol>
{answers}
</ol>
</div>
<div class="why">
{why}
</div>
</section>"""


def answer(label: str, share: float, remark: str = "") -> str:
    """Return one line of the network's answer: a class and its probability."""
    return (
        f"<li><span>{escaped(label)}<b>{escaped(remark)}</b></span>"
        f'<i style="--share: {share:.1%}"></i><span>{escaped(percent(share))}</span></li>'
    )


def image(source: str, alt: str, size: Size, style: str = "") -> str:
    """Return a picture; `source` is its address, or its content as of :func:`embedded`."""
    height, width = size
    styled = f' style="{escaped(style)}"' if style else ""
    return (
        f'<img src="{source}" alt="{escaped(alt)}" '
        f'width="{width}" height="{height}"{styled} loading="lazy">'
    )


def embedded(content: bytes, kind: str = "jpeg") -> str:
    """Return the content of a picture file as an address, so that the page needs no other file."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def escaped(text: str) -> str:
    """Return plain text as HTML; control characters become visible."""
    return html.escape(printable(text))
