// Where in a picture something lies, in words.

const COLUMNS = ["left", "centre", "right"];
const ROWS = ["upper", "middle", "lower"];

/**
 * Returns in which ninth of a picture a point lies: "upper left", "centre", "middle right".
 * @param {number} x of the pixel
 * @param {number} y
 * @param {number} size the side of the picture
 */
export function placeInWords(x, y, size) {
  const [column, row] = [x, y].map((at) => Math.min(2, Math.floor((3 * (at + 0.5)) / size)));
  if (column === 1) return row === 1 ? "centre" : `${ROWS[row]} centre`;
  return `${ROWS[row]} ${COLUMNS[column]}`;
}
