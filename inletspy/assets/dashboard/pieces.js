/* What several views are made of: addresses, states, readings, times, tables. */

import { copyButton } from "/assets/shared/copy.js";
import { dialog } from "/assets/shared/dialog.js";
import { follow, foreign, h, outside, setText } from "/assets/shared/dom.js";
import { cut, dateAndTime, since, visible } from "/assets/shared/format.js";
import { icon } from "/assets/shared/icons.js";
import { path } from "/assets/shared/api.js";

/** What `traffic` is of a tunnel that nobody counts. */
export const NO_TRAFFIC = {
    requests: 0,
    active: 0,
    bytes_in: 0,
    bytes_out: 0,
    per_second: 0,
    statuses: {},
    p50_ms: null,
    p99_ms: null,
    spark: [],
};

// -- times that go on

const times = new Set();

function tick() {
    for (const time of times) {
        if (time.isConnected) setText(time, since(time.dateTime));
        else times.delete(time);
    }
}

setInterval(tick, 1000);

/** How long ago something was, going on. */
export function ago(moment, properties = {}) {
    const time = h("time", { datetime: moment, title: dateAndTime(moment), ...properties }, since(moment));
    times.add(time);
    return time;
}

/** A moment, to the minute; a dash for none. */
export function moment(at) {
    return at ? h("time", { datetime: at }, dateAndTime(at)) : h("span", { class: "faint" }, "–");
}

// -- tunnels

/** What a tunnel is called: its address without the scheme that all have. */
export function nameOf(row) {
    const url = String(row.public_url ?? row.hostname);
    return url.replace(/^https?:\/\//i, "").replace(/\/$/, "");
}

/** The public address: leads there, unless it is none for browsers. */
export function addressLink(row, properties = {}) {
    const name = nameOf(row);
    const shown = foreign(name, { most: 300, tag: "span" });
    return outside(row.public_url, shown, { title: visible(cut(name, 300)), ...properties });
}

/** Buttons for a public address: copy, and QR code where a telephone could open it. */
export function addressButtons(row) {
    const qr = h(
        "button",
        {
            class: "button icon",
            type: "button",
            title: "QR code",
            "aria-label": "QR code",
            "aria-haspopup": "dialog",
            on: { click: () => showCode(row) },
        },
        icon("qr"),
    );
    return h(
        "span",
        { class: "address-buttons" },
        copyButton(row.public_url, { label: "Copy the address", small: true }),
        /^https?:/i.test(row.public_url) ? qr : null,
    );
}

function showCode(row) {
    const source = `${path("api", "tunnels", row.id)}/qr.svg`;
    dialog({
        title: "QR code",
        content: h(
            "div",
            { class: "qr" },
            h("img", { src: source, alt: "The address as a QR code", width: 240, height: 240 }),
            h("p", {}, addressLink(row)),
        ),
    });
}

/** Whether a tunnel serves, as a word with its look. */
export function stateOf(row) {
    const states = {
        active: ["state good", "Active"],
        draining: ["state warn", "Draining"],
        away: ["state", "Client away"],
    };
    return states[row.status] ?? ["state", visible(cut(row.status, 20))];
}

/** The state of a tunnel. */
export function state() {
    const element = h("span", {});
    const update = (row) => {
        const [look, word] = stateOf(row);
        element.className = look;
        setText(element, word);
    };
    return { element, update };
}

// -- readings

/**
 * Figures in a row.
 *
 * @param {string} label what they are of, for those who listen.
 * @param {object} titles key to what stands below the figure.
 * @returns {{element: Element, set: function(string, string, string)}} `set(key, number, unit)`.
 */
export function readings(label, titles) {
    const places = {};
    const element = h(
        "dl",
        { class: "readings", "aria-label": label },
        Object.entries(titles).map(([key, title]) => {
            places[key] = [h("span", {}, "–"), h("span", { class: "unit" })];
            return h("div", {}, h("dt", {}, title), h("dd", {}, places[key]));
        }),
    );
    const set = (key, number, unit = "") => {
        setText(places[key][0], String(number));
        setText(places[key][1], unit);
    };
    return { element, set };
}

// -- panels and tables

let headings = 0;

/** A part of a page under a heading. */
export function panel(title, { end = null, inner = true } = {}, ...content) {
    headings += 1;
    const id = `part-${headings}`;
    return h(
        "section",
        { class: "panel", "aria-labelledby": id },
        h("header", {}, h("h2", { id }, title), end && h("div", { class: "end" }, end)),
        inner ? h("div", { class: "inner" }, content) : content,
    );
}

/**
 * A table that becomes a stack of cards where it is narrow. Its roles are written out,
 * since browsers forget them as soon as it is laid out otherwise.
 *
 * @param {object} options
 *     `label`; `columns`: each {title, cell(row), number}; `key(row)`;
 *     `empty`: what is said in place of rows.
 * @returns {{element: Element, update: function(Array)}}
 */
export function table({ label, columns, key, empty }) {
    const body = h("tbody", { role: "rowgroup" });
    const shown = h(
        "table",
        { class: "table cards", role: "table", "aria-label": label },
        h(
            "thead",
            { role: "rowgroup" },
            h(
                "tr",
                { role: "row" },
                columns.map(({ title, number, bare }) =>
                    h(
                        "th",
                        { role: "columnheader", scope: "col", class: number && "number" },
                        bare ? h("span", { class: "unseen" }, title) : title,
                    ),
                ),
            ),
        ),
        body,
    );
    const none = h("p", { class: "empty", hidden: true }, empty);
    const make = () => {
        const element = h("tr", { role: "row" });
        const update = (row) =>
            element.replaceChildren(
                ...columns.map(({ title, number, bare, cell }) =>
                    h(
                        "td",
                        {
                            role: "cell",
                            class: [number && "number", bare && "bare"].filter(Boolean).join(" ") || null,
                            data: { label: title },
                        },
                        bare ? cell(row) : h("div", {}, cell(row)),
                    ),
                ),
            );
        return { element, update };
    };
    const update = (rows) => {
        follow(body, rows, key, make);
        shown.hidden = rows.length === 0;
        none.hidden = rows.length > 0;
    };
    return { element: h("div", { class: "table-place" }, shown, none), update };
}

/** The content of a view that asks for something first: it, or what went wrong. */
export function failure(error, again) {
    return h(
        "div",
        { class: "notice bad", role: "alert" },
        h("span", {}, error.message),
        h("button", { class: "button", type: "button", on: { click: again } }, "Try again"),
    );
}

/** A button. */
export function button(label, click, { look = "", ...properties } = {}) {
    return h("button", { class: `button ${look}`.trim(), type: "button", ...properties, on: { click } }, label);
}

/** A label with what it is for, and a hint. */
export function field(label, control, hint = null) {
    control.id ||= `field-${(headings += 1)}`;
    return h(
        "div",
        { class: "field" },
        h("label", { for: control.id }, label),
        control,
        hint && h("p", { class: "hint" }, hint),
    );
}
