// Small helpers to make and change elements of the page.

/**
 * Makes an element inside another.
 * @param {Element} root
 * @param {string} tag
 * @param {string} [name] the class
 * @param {string} [text]
 */
export function added(root, tag, name, text) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  root.append(element);
  return element;
}

/**
 * Makes an element of SVG inside another.
 * @param {Element} root
 * @param {string} tag
 * @param {Record<string, string | number>} [attributes]
 */
export function addedSvg(root, tag, attributes = {}) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  root.append(element);
  return element;
}

/**
 * Makes a button.
 * @param {Element} root
 * @param {string} text
 * @param {string} label what it does, for the screen reader and the pointer
 * @param {() => void} clicked
 */
export function addedButton(root, text, label, clicked) {
  const button = added(root, "button", "", text);
  button.type = "button";
  button.title = label;
  button.setAttribute("aria-label", label);
  button.addEventListener("click", clicked);
  return button;
}

/**
 * Gives an element so many children, and shows each.
 * @param {Element} root
 * @param {number} count
 * @param {string} tag
 * @param {(element: HTMLElement, n: number) => void} show
 */
export function fill(root, count, tag, show) {
  while (root.children.length > count) root.lastChild.remove();
  while (root.children.length < count) added(root, tag);
  [...root.children].forEach(show);
}

/**
 * Sets a text, unless the element has it.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
