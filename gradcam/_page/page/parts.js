// The data that stand in the page, in elements `script` that are not run.

/**
 * Returns the text of a part.
 * @param {string} id
 * @returns {string}
 */
export function readText(id) {
  return document.getElementById(id).textContent;
}

/**
 * Returns bytes that are written in hexadecimal digits.
 * @param {string} text
 * @returns {Uint8Array}
 */
export function fromHex(text) {
  return Uint8Array.from(text.match(/../g), (digits) => parseInt(digits, 16));
}
