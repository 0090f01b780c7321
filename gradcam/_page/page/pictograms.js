// The pictograms as small pictures in the page, in one sheet.

const SIDE = 64;
const COLUMNS = 8;

/**
 * Returns a function that shows a pictogram as the background of an element.
 * @param {import("./pixels.js").Pixels} pixels
 * @param {{label: string, cells: number[]}[]} classes
 * @returns {(element: HTMLElement, label: string, variant: number) => void}
 */
export function openPictograms({sprites}, classes) {
  const sheet = document.createElement("canvas");
  const rows = Math.ceil(sprites.length / COLUMNS);
  sheet.width = SIDE * COLUMNS;
  sheet.height = SIDE * rows;
  sprites.forEach((sprite, n) => drawSmall(sheet.getContext("2d"), sprite, n));
  document.documentElement.style.setProperty("--pictograms", `url(${sheet.toDataURL()})`);
  const cells = new Map(classes.map(({label, cells}) => [label, cells]));
  return (element, label, variant) => {
    const cell = cells.get(label)[variant - 1];
    if (element.dataset.cell === `${cell}`) return;
    element.dataset.cell = cell;
    const left = (100 * (cell % COLUMNS)) / (COLUMNS - 1);
    const top = (100 * Math.floor(cell / COLUMNS)) / (rows - 1);
    element.style.backgroundPosition = `${left}% ${top}%`;
    element.style.backgroundSize = `${100 * COLUMNS}% ${100 * rows}%`;
  };
}

/** Draws a pictogram in its place of the sheet, with a margin. */
function drawSmall(context, {width, height, rgba}, n) {
  const picture = new ImageData(width, height);
  for (let at = 0; at < rgba.length; at += 4) {
    const opacity = rgba[at + 3];
    for (let c = 0; c < 3; c++) picture.data[at + c] = opacity ? (255 * rgba[at + c]) / opacity : 0;
    picture.data[at + 3] = 255 * opacity;
  }
  const full = document.createElement("canvas");
  full.width = width;
  full.height = height;
  full.getContext("2d").putImageData(picture, 0, 0);
  const zoom = (SIDE - 4) / Math.max(width, height);
  const x = SIDE * (n % COLUMNS) + (SIDE - zoom * width) / 2;
  const y = SIDE * Math.floor(n / COLUMNS) + (SIDE - zoom * height) / 2;
  context.imageSmoothingQuality = "high";
  context.drawImage(full, x, y, zoom * width, zoom * height);
}
