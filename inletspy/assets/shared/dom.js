/* Building pages. Text gets into a page as text nodes and attributes alone: nothing here,
 * and nothing built with it, ever parses markup.
 */

import { cut, visible } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";

/** Addresses that a link may lead to; strangers' tunnels could name any. */
const SAFE_LINK = /^(?:https?:\/\/|#|\/(?!\/)|blob:)/i;

/** A zero is shown; what is there only under a condition that does not hold is not. */
function isShown(child) {
    return child !== null && child !== undefined && child !== false && child !== "";
}

function fill(element, properties, children) {
    for (const [name, value] of Object.entries(properties ?? {})) {
        if (value === null || value === undefined || value === false) continue;
        if (name === "on") {
            for (const [event, run] of Object.entries(value)) element.addEventListener(event, run);
        } else if (name === "data") {
            Object.assign(element.dataset, value);
        } else if (name === "value" && "value" in element) {
            element.value = value;
        } else if (name === "checked") {
            element.checked = value;
        } else if (name !== "href" || SAFE_LINK.test(value)) {
            element.setAttribute(name, value === true ? "" : value);
        }
    }
    element.append(...children.flat(Infinity).filter(isShown));
    return element;
}

/**
 * An HTML element.
 *
 * @param {string} name like "p".
 * @param {object} properties attributes; also `on` (events to functions), `data`, and as
 *     properties `value` and `checked`. Those that are null, undefined or false are left out.
 * @param {...(Node|string|number|Array|null)} children nodes, texts, or lists of them.
 */
export function h(name, properties, ...children) {
    return fill(document.createElement(name), properties, children);
}

/** An SVG element; as `h`. */
export function svg(name, properties, ...children) {
    return fill(document.createElementNS(SVG, name), properties, children);
}

/**
 * A text that comes from strangers: every character seen, in its own direction, and no
 * longer than a page can bear.
 *
 * @param {string} text the text.
 * @param {object} options `most`: characters that are shown; `class`: added to it; `tag`.
 */
export function foreign(text, { most = 2000, tag = "bdi", ...properties } = {}) {
    const classes = ["foreign", properties.class].filter(Boolean).join(" ");
    return h(tag, { ...properties, class: classes }, visible(cut(text, most)));
}

/** Give a text node's element another text, if it is another: no work for the browser. */
export function setText(element, text) {
    if (element.textContent !== text) element.textContent = text;
}

/** A link to elsewhere, in a tab of its own; the bare text where the address is no web address. */
export function outside(url, content, properties = {}) {
    const safe = /^https?:\/\//i.test(url);
    return safe
        ? h("a", { href: url, target: "_blank", rel: "noopener noreferrer", ...properties }, content)
        : h("span", properties, content);
}

/** Element to what its children were made from, by key. */
const followers = new WeakMap();

/**
 * Bring the children of an element in line with items, touching only what changed.
 *
 * @param {Element} parent whose children they are, and nobody else's.
 * @param {Array} items in order.
 * @param {function} key of an item: a text that is its own.
 * @param {function} make a child from an item: {element, update(item)}.
 */
export function follow(parent, items, key, make) {
    const rows = followers.get(parent) ?? new Map();
    followers.set(parent, rows);
    const wanted = new Set(items.map(key));
    for (const [name, row] of rows) {
        if (!wanted.has(name)) {
            row.element.remove();
            rows.delete(name);
        }
    }
    let place = parent.firstElementChild;
    for (const item of items) {
        const name = key(item);
        let row = rows.get(name);
        if (row === undefined) {
            row = make(item);
            rows.set(name, row);
        }
        if (row.item !== item) {
            row.item = item;
            row.update(item);
        }
        if (row.element === place) place = place.nextElementSibling;
        else parent.insertBefore(row.element, place);
    }
}

let ids = 0;

/** An id that no other element of the page has. */
export function newId(start = "id") {
    ids += 1;
    return `${start}-${ids}`;
}

/** Tell those who listen, without a change to what is seen. */
export function announce(text) {
    let region = document.getElementById("announcements");
    if (region === null) {
        region = h("div", { id: "announcements", class: "unseen", role: "status" });
        document.body.append(region);
    }
    // The same text twice would not be read twice.
    region.textContent = region.textContent === text ? `${text}\u00a0` : text;
}
