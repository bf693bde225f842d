/* JSON as a tree that opens and closes. Parts exist once they have been opened. */

import { foreign, h } from "../shared/dom.js";
import { count, cut } from "../shared/format.js";
import { scalar } from "./json.js";
import { long } from "./long.js";

/** Parts of one value that are shown at once. */
const AT_ONCE = 100;
/** Values that "Expand all" opens at most. */
const MOST_OPENED = 2000;
/** How deep it is open at first, and how many parts a value has that opens by itself. */
const OPEN_TO = 3;
const OPEN_PARTS = 30;
const LONGEST_PREVIEW = 70;

/**
 * The tree of a node of `parseJson`.
 *
 * @returns {{element: Element, expand: function(boolean)}} `expand` opens or closes all.
 */
export function tree(node) {
    const element = h("div", { class: "tree mono" }, item(null, node, 0));
    const expand = (open) => {
        if (!open) {
            for (const each of element.querySelectorAll("details[open]")) each.open = false;
            return;
        }
        // Opening makes parts, which are to be opened in turn.
        let left = MOST_OPENED;
        const waiting = [...element.querySelectorAll("details")];
        while (waiting.length > 0 && left > 0) {
            const each = waiting.shift();
            left -= 1;
            each.open = true;
            each.make();
            waiting.push(...each.querySelectorAll(":scope > ul > li > details:not([open])"));
        }
    };
    return { element, expand };
}

function item(name, node, depth) {
    const label = name === null ? null : [key(name), h("span", { class: "faint" }, ": ")];
    const parts = partsOf(node);
    if (parts === null || parts.length === 0) return h("span", { class: "leaf" }, label, leaf(node));
    return branch(label, node, parts, depth);
}

function branch(label, node, parts, depth) {
    const list = h("ul", {});
    const [open, close] = node.kind === "array" ? ["[", "]"] : ["{", "}"];
    const sum = h("span", { class: "faint" }, `${open}${count(parts.length)}${close}`);
    const glance = h("span", { class: "preview faint" }, preview(node));
    const summary = h("summary", {}, label, sum, " ", glance);
    const details = h("details", {}, summary, list);
    details.make = () => {
        if (!list.firstChild) add(list, parts, 0, depth + 1, node.cut);
    };
    details.addEventListener("toggle", () => details.open && details.make());
    if (depth < OPEN_TO && (depth === 0 || parts.length <= OPEN_PARTS)) {
        details.open = true;
        details.make();
    }
    return details;
}

function add(list, parts, from, depth, isCut) {
    const end = Math.min(parts.length, from + AT_ONCE);
    for (const [name, node] of parts.slice(from, end)) {
        list.append(h("li", {}, item(name, node, depth)));
    }
    if (end < parts.length) {
        const rest = parts.length - end;
        const more = h("button", { class: "link", type: "button" });
        more.textContent = `Show ${count(Math.min(AT_ONCE, rest))} of ${count(rest)} more`;
        const place = h("li", {}, more);
        more.addEventListener("click", () => {
            place.remove();
            add(list, parts, end, depth, isCut);
            list.children[end]?.querySelector("summary, button")?.focus();
        });
        list.append(place);
    } else if (isCut) {
        list.append(h("li", { class: "warn" }, "… cut here"));
    }
}

/** [name or place, node] of all that is in an object or array; null for others. */
function partsOf(node) {
    if (node.kind === "object") return node.entries;
    return node.kind === "array" ? node.items.map((each, place) => [place, each]) : null;
}

function key(name) {
    if (typeof name === "number") return h("span", { class: "place faint" }, name);
    return h("span", { class: "key" }, long(JSON.stringify(name).slice(1, -1), 120));
}

function leaf(node) {
    if (node.kind === "object") return h("span", { class: "faint" }, node.cut ? "{ …" : "{}");
    if (node.kind === "array") return h("span", { class: "faint" }, node.cut ? "[ …" : "[]");
    const value = h("span", { class: `value ${node.kind}` }, long(scalar(node), 1000));
    return node.cut ? [value, h("span", { class: "warn" }, " … cut here")] : value;
}

/** The beginning of a closed value, on one line. */
function preview(node) {
    const parts = partsOf(node).slice(0, 8);
    const words = parts.map(([name, part]) => {
        const inner = partsOf(part);
        const text = inner === null ? cut(scalar(part), 24) : part.kind === "array" ? "[…]" : "{…}";
        return typeof name === "number" ? text : `${cut(name, 20)}: ${text}`;
    });
    return foreign(words.join(", "), { most: LONGEST_PREVIEW });
}
