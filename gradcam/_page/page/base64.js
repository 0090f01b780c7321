// Bytes from base64 text, in which the page carries the core and the networks.

/**
 * @param {string} text without line breaks
 * @returns {Uint8Array}
 */
export function decodeBase64(text) {
  if (typeof Uint8Array.fromBase64 === "function") return Uint8Array.fromBase64(text);
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const bytes = new Uint8Array((text.length / 4) * 3 - padding);
  for (let i = 0, at = 0; i < text.length; i += 4) {
    const word =
      (VALUES[text.charCodeAt(i)] << 18) |
      (VALUES[text.charCodeAt(i + 1)] << 12) |
      (VALUES[text.charCodeAt(i + 2)] << 6) |
      VALUES[text.charCodeAt(i + 3)];
    bytes[at++] = word >> 16;
    bytes[at++] = word >> 8; // beyond the end, after padding, nothing is written
    bytes[at++] = word;
  }
  return bytes;
}

const VALUES = new Uint8Array(128);
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
for (let i = 0; i < 64; i++) VALUES[LETTERS.charCodeAt(i)] = i;
