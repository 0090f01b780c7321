// What a file is, from its bytes: which picture, how large, and whether it is complete. Browsers do not
// say it, and decode a picture of any size at once.

/** The formats that every browser opens. */
export const FORMATS = ["JPEG", "PNG", "WebP", "GIF", "BMP", "AVIF"];

const OTHERS = [ // what files begin with that are mistaken for pictures
  ["%PDF", "a PDF document"],
  ["II*\0", "a TIFF picture"],
  ["MM\0*", "a TIFF picture"],
  ["8BPS", "a Photoshop picture"],
  ["PK\x03\x04", "an archive"],
  ["\x1f\x8b", "an archive"],
  ["7z\xbc\xaf", "an archive"],
  ["Rar!", "an archive"],
  ["\x1aE\xdf\xa3", "a video"],
  ["\xff\x0a", "a JPEG XL picture"],
  ["\0\0\0\x0cJXL ", "a JPEG XL picture"],
  ["<svg", "an SVG drawing"],
  ["<?xml", "an SVG drawing or another XML text"],
  ["<!doctype", "a web page"],
  ["<!DOCTYPE", "a web page"],
  ["<html", "a web page"],
];
const BRANDS = [ // of ISO media files
  [/avi[fs]/, "AVIF"],
  [/hei[cxms]|hev[cxms]|mif1|msf1/, "a HEIC picture"],
  [/isom|iso\d|mp4|M4V|qt  |3gp|avc1/, "a video"],
];

/**
 * @typedef {{format: string | null, seems: string | null, width: number, height: number,
 *   animated: boolean, cut: boolean}} Found
 *   `format` is one of FORMATS; or `seems` says what else the file is, if that is known. The size is 0
 *   if it is not known. `cut`: the file ends before the picture does.
 */

/**
 * Says what a file is.
 * @param {Uint8Array} bytes the whole file
 * @returns {Found}
 */
export function lookAt(bytes) {
  const unknown = {format: null, seems: null, width: 0, height: 0, animated: false, cut: false};
  const reader = READERS.find(({begins}) => begins(bytes));
  if (!reader) return {...unknown, seems: seemingly(bytes)};
  try {
    return {...unknown, format: reader.format, ...reader.read(viewOf(bytes), bytes)};
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // a view throws it beyond the file's end
    return {...unknown, format: reader.format, cut: true};
  }
}

const READERS = [
  {format: "JPEG", begins: (bytes) => text(bytes, 0, 3) === "\xff\xd8\xff", read: readJpeg},
  {format: "PNG", begins: (bytes) => text(bytes, 0, 8) === "\x89PNG\r\n\x1a\n", read: readPng},
  {format: "GIF", begins: (bytes) => /^GIF8[79]a/.test(text(bytes, 0, 6)), read: readGif},
  {format: "WebP", begins: (bytes) => /^RIFF....WEBP/s.test(text(bytes, 0, 12)), read: readWebp},
  {format: "BMP", begins: (bytes) => /^BM....\0\0\0\0/s.test(text(bytes, 0, 10)), read: readBmp},
  {format: "AVIF", begins: (bytes) => brandOf(bytes) === "AVIF", read: readAvif},
];

/** Returns bytes as characters; fewer at the end of the file. */
function text(bytes, from, count) {
  return String.fromCharCode(...bytes.subarray(from, from + count));
}

function viewOf(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function brandOf(bytes) {
  if (text(bytes, 4, 4) !== "ftyp") return null;
  const brand = text(bytes, 8, 4);
  return BRANDS.find(([pattern]) => pattern.test(brand))?.[1] ?? null;
}

function seemingly(bytes) {
  const start = text(bytes, 0, 256);
  return brandOf(bytes) ?? OTHERS.find(([begin]) => start.startsWith(begin))?.[1] ?? null;
}

/** Reads segments up to the pixels; in these FF D9 occurs at the end only. */
function readJpeg(view, bytes) {
  let size = {};
  let at = 2;
  while (view.getUint8(at + 1) !== 0xda) {
    const marker = view.getUint8(at + 1);
    if (marker === 0xff) at += 1; // a byte that fills
    else {
      if (isFrame(marker)) size = {height: view.getUint16(at + 5), width: view.getUint16(at + 7)};
      at += 2 + view.getUint16(at + 2);
    }
  }
  let end = bytes.indexOf(0xd9, at);
  while (end > 0 && bytes[end - 1] !== 0xff) end = bytes.indexOf(0xd9, end + 1);
  return {...size, cut: end < 0};
}

/** Whether a segment holds the size: C0 to CF without tables and reserved ones. */
function isFrame(marker) {
  return marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
}

function readPng(view, bytes) {
  const found = {width: view.getUint32(16), height: view.getUint32(20), animated: false};
  for (let at = 8; ; at += 12 + view.getUint32(at)) {
    const kind = text(bytes, at + 4, 4);
    if (kind === "IEND") return found;
    if (kind === "acTL") found.animated = view.getUint32(at + 8) > 1;
    if (view.getUint32(at) + at + 12 > bytes.length) return {...found, cut: true};
  }
}

function readGif(view) {
  const found = {width: view.getUint16(6, true), height: view.getUint16(8, true), animated: false};
  let frames = 0;
  let at = 13 + tableOf(view.getUint8(10));
  try {
    for (let kind = view.getUint8(at); kind !== 0x3b; kind = view.getUint8(at)) {
      if (kind === 0x2c) {
        frames += 1;
        at += 11 + tableOf(view.getUint8(at + 9));
      } else at += 2;
      for (let length = 1; length; at += 1 + length) length = view.getUint8(at);
    }
    return {...found, animated: frames > 1};
  } catch {
    return {...found, animated: frames > 1, cut: frames < 2}; // the first frame is what is shown
  }
}

/** The length of a table of colours in bytes, from its flags. */
function tableOf(flags) {
  return flags & 0x80 ? 3 << ((flags & 7) + 1) : 0;
}

function readWebp(view, bytes) {
  const cut = view.getUint32(4, true) + 8 > bytes.length;
  const kind = text(bytes, 12, 4);
  if (kind === "VP8 ") {
    const [width, height] = [26, 28].map((at) => view.getUint16(at, true) & 0x3fff);
    return {width, height, cut};
  }
  if (kind === "VP8L") {
    const word = view.getUint32(21, true);
    return {width: 1 + (word & 0x3fff), height: 1 + ((word >> 14) & 0x3fff), cut};
  }
  const [width, height] = [24, 27].map((at) => 1 + (view.getUint32(at, true) & 0xffffff));
  return {width, height, animated: (view.getUint8(20) & 2) !== 0, cut};
}

function readBmp(view) {
  if (view.getUint32(14, true) === 12) {
    return {width: view.getUint16(18, true), height: view.getUint16(20, true)};
  }
  return {width: view.getInt32(18, true), height: Math.abs(view.getInt32(22, true))};
}

/** The largest of the sizes that the boxes `ispe` state: those of tiles are smaller. */
function readAvif(view, bytes) {
  const start = text(bytes, 0, Math.min(bytes.length, 1 << 14));
  let size = {width: 0, height: 0};
  for (const {index} of start.matchAll(/ispe/g)) {
    const [width, height] = [view.getUint32(index + 8), view.getUint32(index + 12)];
    if (width * height > size.width * size.height) size = {width, height};
  }
  return {...size, animated: text(bytes, 8, 4) === "avis"};
}
