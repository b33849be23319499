// The page's elements, and what is done to any of them.

/** @param {string} id */
function element(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no element ${id}`);
  return found;
}

/** @param {string} id */
function button(id) {
  return /** @type {HTMLButtonElement} */ (element(id));
}

/**
 * A new element with text in it.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} [className]
 * @param {string} [text]
 */
function made(tag, className = "", text = "") {
  const created = document.createElement(tag);
  created.className = className;
  created.textContent = text;
  return created;
}

/**
 * Shows text in an element, and the element only if there is any.
 * @param {HTMLElement} shown
 * @param {string | undefined} text
 */
function fill(shown, text) {
  if (shown.textContent !== (text ?? "")) shown.textContent = text ?? "";
  shown.hidden = !text;
}

/**
 * The same where the text stands inside, behind words of the page.
 * @param {HTMLElement} shown
 * @param {string} selector
 * @param {string | undefined} text
 */
function fillIn(shown, selector, text) {
  const inner = shown.querySelector(selector);
  if (inner) inner.textContent = text ?? "";
  shown.hidden = !text;
}

/**
 * Tells people who do not see the page; changes of state only, or it would never be quiet.
 * @param {string} text
 */
function announce(text) {
  const announcer = element("announcer");
  if (announcer.textContent !== text) announcer.textContent = text;
}

/** @param {string | undefined} words KIE's, which are untrusted. */
function quoted(words) {
  return words ? `KIE said: “${words}”` : "";
}
