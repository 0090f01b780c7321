"""The page of ``gradcam demo``, without its content."""

from __future__ import annotations

from string import Template

PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Why did the network say that?</title>
<style>
:root {
  color-scheme: light dark;
  --ground: #f6f5f1; --card: #fff; --ink: #1d1d1f; --soft: #63636b; --line: #dedcd5;
  --accent: #c2410c;
}
@media (prefers-color-scheme: dark) {
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
h2 { margin: 1rem 0 0.25rem; font-size: 1.35rem; line-height: 1.25; }
h3 { margin: 0 0 0.6rem; font-size: 1.0625rem; font-weight: 500; }
h3:not(:first-child) { margin-top: 1.4rem; }
em { font-style: normal; font-weight: 700; color: var(--accent); }
p { max-width: 44rem; }
.lead { font-size: 1.2rem; color: var(--soft); }
cite { font-style: normal; color: var(--soft); }
img { display: block; max-width: 100%; height: auto; border-radius: 6px; }
.legend { padding-left: 1.2rem; max-width: 50rem; }
.legend li { margin: 0.3rem 0; }
.scale { display: flex; max-width: none; align-items: center; gap: 0.7rem; color: var(--soft); }
.scale img { width: 14rem; min-width: 6rem; height: 1rem; }
.compare { margin: 2rem 0; }
.compare div { overflow-x: auto; }
.compare img { width: 100%; min-width: 52rem; background: #fff; border-radius: 10px; }
table { border-collapse: collapse; }
th, td { padding: 0.3rem 0.8rem 0.3rem 0; text-align: right; font-weight: 400; }
th { color: var(--soft); vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
td { border-top: 1px solid var(--line); font-variant-numeric: tabular-nums; }
b { color: var(--accent); }
.look { margin: 0 0 1rem; }
.where { margin: -0.4rem 0 0.6rem; color: var(--soft); font-size: 0.95rem; }
.pair { display: grid; grid-template-columns: repeat(2, minmax(0, 20rem)); gap: 1rem; }
figcaption { color: var(--soft); font-size: 0.9rem; }
section {
  display: grid; grid-template-columns: minmax(12rem, 17rem) 1fr; gap: 1.5rem 2.5rem;
  margin: 1.5rem 0; padding: 1.5rem; background: var(--card);
  border: 1px solid var(--line); border-radius: 14px;
}
.seen { align-self: start; position: sticky; top: 1rem; }
.seen img { width: 100%; }
.seen p { margin: 0 0 0.4rem; color: var(--soft); font-size: 0.95rem; }
ol { list-style: none; margin: 0; padding: 0; color: var(--soft); font-size: 0.95rem; }
ol li { display: grid; grid-template-columns: 1fr 3.5rem 4rem; gap: 0.5rem; align-items: center; }
ol li span:last-child { text-align: right; font-variant-numeric: tabular-nums; }
ol i {
  height: 0.55rem; border-radius: 4px;
  background: linear-gradient(to right, var(--accent) var(--share), var(--line) 0);
}
.row { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 1rem; }
figure { margin: 0; }
figure img { width: 100%; }
figcaption { margin-top: 0.3rem; }
footer { margin-top: 3rem; color: var(--soft); font-size: 0.9rem; }
@media (max-width: 48rem) {
  section { grid-template-columns: 1fr; }
  .seen { position: static; }
}
@media (max-width: 36rem) {
  body { padding: 1.5rem 1rem; }
  section { padding: 1rem; }
  .row { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .row figure:first-child { grid-column: 1 / -1; }
  .pair { grid-template-columns: 1fr; }
}
</style>
</head>
<body>
<header>
<h1>Why did the network say that?</h1>
<p class="lead">Networks classified photographs and drawn scenes. The maps show why they gave
their answers. All maps of a picture were computed from one forward pass, on a CPU.</p>
</header>
<h2>Photographs</h2>
$photographs
<h2>How to read the maps</h2>
<ul class="legend">
$legend
</ul>
<p class="scale">minimum <img src="pictures/scale.png" width="256" height="32" alt="from the grey
picture, through purple and orange, to pale yellow"> maximum of this map (Grad-CAM)</p>
<p>The colours lie over the grey picture, and their opacity rises with the map: where the map is 0,
the picture is unchanged. The bar shows each colour over bright parts of the picture (at its top)
and dark parts (at its bottom). Saliency is black at its minimum and white from the 99.5th
percentile of its values on. Guided Grad-CAM is grey where it is 0, and its colours are full from
the 99.5th percentile on.</p>
<h2>Drawings, of which the truth is known</h2>
<p>A small VGG-16, trained on $classes kinds of pictograms, classified $count scenes that were
composed of them. The class and the place of every object are known, so that the maps can be
checked.</p>
<figure class="compare">
<div><a href="pictures/compare.png"><img src="pictures/compare.png" width="$width" height="$height"
alt="Five methods on one scene: one row for each of the two most probable classes"></a></div>
<figcaption>One scene, its two most probable classes, five methods. Grad-CAM distinguishes the
classes; saliency is highest on the dog for both classes. The rows of a column have the same
colour scale. (On a narrow screen the figure scrolls sideways.)</figcaption>
</figure>
<h2>How often is it right?</h2>
<p>The $count scenes below were chosen by hand: on them, the maximum of Grad-CAM's map is on the
object asked for in $hits of $asked cases. These are the rates for scenes that were not chosen, and
not used for training:</p>
$rates
<p>Every object of a scene is shown below. One with less than $threshold probability is called
missed.</p>
<h2>A scene that goes wrong</h2>
<p>This scene was chosen because of its mistakes.</p>
$miss
<h2>A class that is not there</h2>
<p>There is no $absent in the first scene, and the network knows it: $absent_chance. A map can be
computed all the same. Stretched to its own maximum, it is as bright as any other; but that maximum
is $absent_share of the maximum for <em>$first</em>. On one scale with <em>$first</em>, little is
left.</p>
<div class="pair">
<figure><a href="pictures/absent-own-scale.png"><img src="pictures/absent-own-scale.png"
width="$wide" height="$tall" alt="Grad-CAM for $absent, stretched to its own maximum"></a>
<figcaption>Grad-CAM for $absent, stretched to its own maximum</figcaption></figure>
<figure><a href="pictures/absent-one-scale.png"><img src="pictures/absent-one-scale.png"
width="$wide" height="$tall" alt="Grad-CAM for $absent, on the scale of $first"></a>
<figcaption>The same map on the scale of $first</figcaption></figure>
</div>
<h2>All scenes</h2>
<main>
$scenes
</main>
<footer>Written by <code>gradcam demo</code>, gradcam $version. The photographs are in the public
domain. The pictograms are drawn from the Noto Color Emoji font (SIL Open Font License 1.1). Click a
picture to see it in full size.</footer>
</body>
</html>
""")
