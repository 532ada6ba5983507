"""clusters.html: one card a cluster, in one self-contained file without scripts.

A card shows whether a cluster has one theme: its distinctive words, pictures from the centroid outwards, the nearest
to the centroid and the farthest from it.
"""

from __future__ import annotations

import base64
import io
from html import escape
from typing import Any

from PIL import Image

from paris.coordinator.prepare.showing.examples import Example, Examples

_SMOOTH_PX = 64
_NEAREST = 12
_NAMED = 8
_STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1e; --faint: #5f5f66; --rule: #dcdce2; --card: #fff; --page: #f3f3f6;
  --bar: #4a6fa5; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececf0; --faint: #a4a4ac; --rule: #3a3a40; --card: #232327; --page: #17171a; --bar: #7fa3d6; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1240px; padding: 32px 24px 64px; background: var(--page); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { margin: 0 0 4px; font-size: 26px; }
h2 { margin: 0; font-size: 20px; }
h3 { margin: 20px 0 8px; font-size: 13px; font-weight: 600; color: var(--faint); }
p { margin: 4px 0; color: var(--faint); }
a { color: inherit; text-decoration: none; border-radius: 4px; }
a:hover { text-decoration: underline; }
a:focus-visible { outline: 2px solid var(--bar); outline-offset: 2px; }
section, nav { background: var(--card); border: 1px solid var(--rule); border-radius: 14px; padding: 20px 24px;
  margin-top: 20px; }
section:target { border-color: var(--bar); }
nav a { display: grid; grid-template-columns: 84px 1fr 300px; gap: 12px; align-items: center; padding: 3px 0; }
nav span:last-child { color: var(--faint); font-size: 13px; white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; }
.bar { height: 14px; border-radius: 4px; background: var(--bar); min-width: 2px; }
.facts { display: flex; flex-wrap: wrap; gap: 4px 24px; color: var(--faint); }
.facts b { color: var(--ink); font-weight: 600; }
.words { margin: 10px 0 0; padding: 0; list-style: none; display: flex; flex-wrap: wrap; gap: 6px; }
.words li { border: 1px solid var(--rule); border-radius: 99px; padding: 1px 11px; }
.grid { display: grid; gap: 8px; grid-template-columns: repeat(auto-fill, minmax(82px, 1fr)); }
figure { margin: 0; min-width: 0; }
img { width: 100%; aspect-ratio: 1; display: block; border-radius: 6px; background: #fff; }
img.small { image-rendering: pixelated; }
figcaption { margin-top: 3px; font-size: 12px; line-height: 1.25; color: var(--faint); display: -webkit-box;
  -webkit-line-clamp: 2; -webkit-box-orient: vertical; overflow: hidden; }
.pair { display: grid; gap: 0 32px; grid-template-columns: 1fr 1fr; }
@media (max-width: 800px) {
  body { padding: 16px 12px 48px; }
  section, nav { padding: 14px; }
  .pair { grid-template-columns: 1fr; }
  nav a { grid-template-columns: 78px 1fr; gap: 0 12px; }
  nav span:last-child { grid-column: 2; }
}
"""


def cluster_page(source: str, described: dict[str, Any], examples: list[Examples]) -> str:
    """The page as HTML.

    Args:
        source: Name of the source.
        described: The content of clusters.json.
        examples: Pictures of each cluster.
    """
    clusters = described["clusters"]
    title = f"{source}: {sum(c['rows'] for c in clusters):,} pictures in {len(clusters)} clusters"
    cards = [_card(cluster, shown) for cluster, shown in zip(clusters, examples, strict=True)]
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            # Captions and names are untrusted text: no script may run and nothing may be fetched.
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
            "style-src 'unsafe-inline'\">",
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
            f"<header><h1>{escape(title)}</h1>{_overview(described)}</header>",
            _sizes(clusters),
            f"<main>{''.join(cards)}</main>",
            "</body></html>\n",
        ]
    )


def _overview(described: dict[str, Any]) -> str:
    lines = [
        f"Clustered by features of {described['embedder']}. Mean silhouette {described['silhouette']:.3f} "
        f"(1 is best, near 0 clusters overlap), Davies-Bouldin index {described['davies_bouldin']:.2f} "
        "(0 is best).",
    ]
    largest = max(described["sizes_before_balancing"]) / max(1, sum(described["sizes_before_balancing"]))
    if described["catch_alls_split"]:
        shares = ", ".join(f"{share:.0%}" for share in described["catch_alls_split"])
        lines.append(f"Catch-all clusters that were split: {shares} of all rows.")
    else:
        lines.append(f"Before balancing, the largest cluster had {largest:.0%} of all rows.")
    lines.append(f"Licences: {_counted(described['licences'])}.")
    if described["dropped"]:
        lines.append(f"Dropped: {_counted(described['dropped'])}.")
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


def _counted(counts: dict[str, int]) -> str:
    """The counts in words, the largest first; the small ones of many are summed up."""
    ranked = sorted(counts.items(), key=lambda entry: -entry[1])
    more = [f"{len(ranked) - _NAMED} others"] if len(ranked) > _NAMED else []
    return ", ".join([*(f"{count:,} {name}" for name, count in ranked[:_NAMED]), *more])


def _sizes(clusters: list[dict[str, Any]]) -> str:
    """One bar a cluster, with a link to its card."""
    largest = max(cluster["share"] for cluster in clusters)
    rows = [
        f'<a href="#cluster-{c["cluster"]}"><span>Cluster {c["cluster"]}</span>'
        f'<span class="bar" style="width:{100 * c["share"] / largest:.1f}%"></span>'
        f"<span>{c['share']:.1%} &middot; {escape(', '.join(c['frequent_words'][:3]))}</span></a>"
        for c in clusters
    ]
    return f'<nav aria-label="Clusters">{"".join(rows)}</nav>'


def _card(cluster: dict[str, Any], shown: Examples) -> str:
    words = "".join(f'<li dir="auto">{escape(word)}</li>' for word in cluster["frequent_words"])
    facts = [
        (f"{cluster['rows']:,}", "pictures to train on"),
        (f"{cluster['share']:.1%}", "of all"),
        (f"{cluster['heldout_rows']:,}", "held out"),
        (_size(cluster["bytes"]), "in shards"),
        (f"{cluster['silhouette']:.3f}", "silhouette"),
    ]
    line = "".join(f"<span><b>{value}</b> {name}</span>" for value, name in facts)
    other = cluster["most_alike"]
    if other is not None:
        line += f'<span>most like <a href="#cluster-{other}"><b>cluster {other}</b></a></span>'
    return (
        f'<section id="cluster-{cluster["cluster"]}"><h2>Cluster {cluster["cluster"]}</h2>'
        f'<div class="facts">{line}</div><ul class="words">{words}</ul>'
        f"<h3>From the middle to the rim</h3>{_grid(shown.spread)}"
        f'<div class="pair"><div><h3>Nearest to the centroid</h3>{_grid(shown.nearest[:_NEAREST])}</div>'
        f"<div><h3>Farthest from it</h3>{_grid(shown.farthest)}</div></div></section>"
    )


def _size(num_bytes: int) -> str:
    """A number of bytes in MB or kB."""
    return f"{num_bytes / 1e6:,.1f} MB" if num_bytes >= 1e6 else f"{num_bytes / 1e3:.1f} kB"


def _grid(examples: list[Example]) -> str:
    return f'<div class="grid">{"".join(_figure(example) for example in examples)}</div>'


def _figure(example: Example) -> str:
    caption, size = escape(example.caption), example.pixels.shape[1]
    kind = ' class="small"' if size < _SMOOTH_PX else ""
    return (
        f'<figure title="{caption} ({escape(example.row_id)})"><img{kind} alt="{caption}" decoding="async" '
        f'src="{_data_url(example)}"><figcaption dir="auto">{caption}</figcaption></figure>'
    )


def _data_url(example: Example) -> str:
    """The picture as a data URL of a WebP file, lossless if it is small."""
    data = io.BytesIO()
    picture = Image.fromarray(example.pixels.transpose(1, 2, 0))
    picture.save(data, format="WEBP", lossless=example.pixels.shape[1] < _SMOOTH_PX, quality=80)
    return f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"
