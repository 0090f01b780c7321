// The data that stand in the page, in elements `script` that are not run.

/**
 * Returns the text of a part. Binary parts are removed from the page, whose memory they would take:
 * they can be read once.
 * @param {string} id
 * @returns {string}
 */
export function readText(id) {
  const element = document.getElementById(id);
  if (element.type === "application/octet-stream") element.remove();
  return element.textContent;
}

/**
 * Returns bytes that are written in hexadecimal digits.
 * @param {string} text
 * @returns {Uint8Array}
 */
export function fromHex(text) {
  return Uint8Array.from(text.match(/../g), (digits) => parseInt(digits, 16));
}
