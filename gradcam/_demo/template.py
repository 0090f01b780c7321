"""The page of ``gradcam demo``, without its content."""

from __future__ import annotations

from string import Template

TITLE = "Why did the network say that?"

STYLE = """\
.legend { padding-left: 1.2rem; max-width: 50rem; }
.legend li { margin: 0.3rem 0; }
.compare { margin: 2rem 0; }
.compare div { overflow-x: auto; }
.compare img { width: 100%; min-width: 52rem; background: #fff; border-radius: 10px; }
.live { font-size: 1.2rem; }
a { color: var(--accent); }
.look { margin: 0 0 1rem; }
.where { margin: -0.4rem 0 0.6rem; color: var(--soft); font-size: 0.95rem; }
.pair { display: grid; grid-template-columns: repeat(2, minmax(0, 20rem)); gap: 1rem; }
@media screen and (max-width: 36rem) {
  .pair { grid-template-columns: 1fr; }
}
@media print {
  .compare img { min-width: 0; }
}
"""
"""What only this page needs."""

BODY = Template("""\
<header>
<h1>$title</h1>
<p class="lead">Networks classified photographs and drawn scenes. The maps show why they gave
their answers. All maps of a picture were computed from one forward pass, on a CPU.</p>
<p class="live"><a href="$live">The live page</a> computes such maps in the browser, while you drag
the objects of a scene.</p>
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
<p>There is no $absent in the scene “$hero”, and the network knows it: $absent_chance. A map can be
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
picture to see it in full size.</footer>""")
