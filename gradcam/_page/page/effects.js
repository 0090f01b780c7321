// What happens to the scores when an object is taken away: the scene is drawn again without it.

import {without} from "./scene.js";

/** Asks for the scores of a scene without each of its objects, and keeps those of the last scene. */
export class Effects {
  /** @param {{client: object, draw: Function}} context */
  constructor({client, draw}) {
    this.client = client;
    this.draw = draw;
    this.last = null; // the picture of the last frame
    this.found = null; // {picture, scores, without: one array of scores for each object}
  }

  /**
   * Returns what is known of the picture of a frame; null if it was not asked yet.
   * @param {{picture: Uint8ClampedArray}} frame
   */
  of({picture}) {
    this.last = picture;
    return this.found && same(this.found.picture, picture) ? this.found : null;
  }

  /**
   * Asks about the scene of a frame; null as soon as it is no longer the last one.
   * @param {{picture: Uint8ClampedArray, scene: import("./scene.js").Scene, reply: object,
   *          changed: (rgba: Uint8ClampedArray) => Uint8ClampedArray}} frame
   */
  async ask(frame) {
    const known = this.of(frame);
    if (known) return known;
    const rest = [];
    for (let n = 0; n < frame.scene.objects.length; n++) {
      const picture = frame.changed(this.draw(without(frame.scene, n)).picture);
      const {scores} = await this.client.run({network: "pictograms", picture, maps: []});
      if (this.last !== frame.picture) return null;
      rest.push(scores);
    }
    this.found = {picture: frame.picture, scores: frame.reply.scores, without: rest};
    return this.found;
  }
}

function same(a, b) {
  for (let n = 0; n < a.length; n++) if (a[n] !== b[n]) return false;
  return a.length === b.length;
}
