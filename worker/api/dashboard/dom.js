// Elements are made of names and text only: nothing here parses markup, so no id of a student, course or task
// can become any. A view is drawn anew at every answer and merged into the page, which keeps focus, scroll
// position and half-typed text where they were.

const HANDLERS = ["onclick", "oninput", "onchange", "onsubmit"];
const PROPERTIES = new Set(["value", "draw", "key", "keep", ...HANDLERS]);

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  element.append(
    ...children
      .flat(Infinity)
      .filter((child) => child !== null && child !== false && child !== undefined && child !== ""),
  );
  for (const [name, value] of Object.entries(attributes)) {
    if (PROPERTIES.has(name)) element[name] = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.controlled = "value" in attributes;
  return element;
}

export function render(root, ...children) {
  mergeChildren(root, children.flat(Infinity).filter(Boolean));
  for (const element of root.querySelectorAll("[data-chart]")) element.draw(element);
}

function merge(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    const opened = name === "open" && old.tagName === "DETAILS";
    if (!fresh.hasAttribute(name) && !opened && !old.keep) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const handler of HANDLERS) old[handler] = fresh[handler];
  old.draw = fresh.draw;
  if (!fresh.keep) mergeChildren(old, [...fresh.childNodes]);
  if (fresh.controlled && old !== document.activeElement && old.value !== fresh.value)
    old.value = fresh.value;
}

function mergeChildren(parent, fresh) {
  const wanted = new Set(fresh.map((node) => node.key));
  const named = new Map();
  for (const node of [...parent.childNodes].filter(({ key }) => key !== undefined)) {
    if (wanted.has(node.key)) named.set(node.key, node);
    else node.remove();
  }
  let place = parent.firstChild;
  for (const node of fresh) {
    const twin = node.key === undefined ? place : named.get(node.key);
    if (twin && alike(twin, node)) {
      named.delete(node.key);
      if (twin === place) place = place.nextSibling;
      else parent.insertBefore(twin, place);
      merge(twin, node);
    } else {
      parent.insertBefore(node, place);
    }
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function alike(one, other) {
  return one.nodeName === other.nodeName && one.key === other.key;
}
