/* Names and values as a table: header fields, query, form fields. */

import { foreign, h } from "../shared/dom.js";
import { bytes } from "../shared/format.js";
import { long } from "./long.js";

/** Rows shown at first. */
const MOST = 200;

/**
 * A table of pairs; null if there are none.
 *
 * @param {string} label what they are, for those who listen.
 * @param {Array} pairs [name, value], or a form's file: {name, filename, content_type, size}.
 * @param {object} options `masked`: names whose values are hidden; `reveal(place)`: gives
 *     the value at a place, as a promise.
 */
export function fields(label, pairs, { masked = [], reveal } = {}) {
    if (pairs.length === 0) return null;
    const hidden = new Set(masked.map((name) => name.toLowerCase()));
    const row = (pair, place) => {
        const [name, value] = Array.isArray(pair) ? pair : [pair.name, pair];
        const isHidden = hidden.has(name.toLowerCase());
        return h(
            "tr",
            {},
            h("th", { scope: "row" }, long(name, 120)),
            h("td", {}, isHidden ? secret(name, place, reveal) : shown(value)),
        );
    };
    const body = h("tbody", {}, pairs.slice(0, MOST).map(row));
    const table = h("table", { class: "fields mono", "aria-label": label }, body);
    if (pairs.length <= MOST) return table;
    const rest = pairs.length - MOST;
    const more = h("button", { class: "button quiet", type: "button" }, `Show ${rest} more`);
    more.addEventListener("click", () => {
        body.append(...pairs.slice(MOST).map((pair, place) => row(pair, MOST + place)));
        more.remove();
    });
    return h("div", {}, table, more);
}

function shown(value) {
    if (value === null || typeof value !== "object") return long(value ?? "");
    const { filename, content_type, size } = value;
    const about = [content_type, size === undefined ? null : bytes(size)].filter(Boolean);
    return [
        h("span", { class: "badge" }, "file"),
        " ",
        foreign(filename ?? "without a name"),
        " ",
        h("span", { class: "faint" }, foreign(about.join(", "))),
    ];
}

/** A value that is shown when asked for. */
function secret(name, place, reveal) {
    const value = h("span", { class: "masked" }, "••••••••");
    const box = h("span", { class: "secret" }, value);
    const button = h("button", { class: "link", type: "button", "aria-label": `Reveal ${name}` });
    button.textContent = "Reveal";
    button.addEventListener("click", async () => {
        button.disabled = true;
        try {
            const plain = long(await reveal(place));
            box.replaceChildren(plain);
            plain.tabIndex = -1;
            plain.focus();
        } catch (problem) {
            button.disabled = false;
            value.textContent = problem.message;
        }
    });
    box.append(" ", button);
    return box;
}
