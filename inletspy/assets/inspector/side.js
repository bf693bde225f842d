/* One side of a request: what was asked, or what was answered. */

import { h, foreign } from "../shared/dom.js";
import { bodyView, textView } from "./body.js";
import { fields } from "./fields.js";

/**
 * The panel of a side.
 *
 * @param {string} name "request" or "response".
 * @param {object} side what the API tells of it; null if there is none.
 * @param {object} options `id`: of the request; `reveal(name, place)`: the value of a masked
 *     header, as a promise; `missing`: what is said in place of a side;
 *     `unreadable`: the beginning of what came in its place and is not HTTP.
 */
export function sidePanel(name, side, { id, reveal, missing, unreadable }) {
    if (!side) return absent(missing, unreadable);
    const contentType = value(side.headers, "content-type");
    const source = `/api/requests/${encodeURIComponent(id)}/body?side=${name}`;
    const empty = side.body.type === "empty" || side.body.size === 0;
    const headers = fields("Header fields", side.headers, {
        masked: side.masked,
        reveal: (place) => reveal(name, place),
    });
    const main = [
        part("Query", side.query ?? []),
        empty ? null : bodyView(side.body, { contentType, form: side.form ?? [], source }),
        empty && name === "response" && h("p", { class: "faint no-body" }, "No body"),
    ].filter(Boolean);
    return h(
        "div",
        { class: "side" },
        main.length > 0 && h("div", { class: "main" }, main),
        h(
            "section",
            { class: "part headers", "aria-label": "Headers" },
            h("header", {}, h("h3", {}, "Headers"), sum(side.headers)),
            h("p", { class: "first-line mono" }, foreign(side.line, { most: 600 })),
            headers,
            side.trailers?.length > 0 && [h("h3", {}, "Trailers"), fields("Trailers", side.trailers)],
        ),
    );
}

function absent(missing, unreadable) {
    const text = h("p", { class: "faint nothing" }, missing);
    if (!unreadable) return text;
    return h(
        "div",
        { class: "side" },
        text,
        h(
            "section",
            { class: "part", "aria-label": "What came" },
            h("header", {}, h("h3", {}, "What came, and could not be read")),
            textView(unreadable),
        ),
    );
}

function part(title, pairs) {
    const table = fields(title, pairs);
    return (
        table &&
        h("section", { class: "part", "aria-label": title }, [
            h("header", {}, h("h3", {}, title), sum(pairs)),
            table,
        ])
    );
}

const sum = (pairs) => h("span", { class: "faint small" }, pairs.length);

/** The first value of a field; empty if there is none. */
export function value(pairs, name) {
    return pairs.find(([each]) => each.toLowerCase() === name)?.[1] ?? "";
}
