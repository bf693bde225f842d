/* Two requests side by side: what was answered, or asked, and where it differs. */

import { foreign, h } from "../shared/dom.js";
import { bytes, count, timeOfDay, took } from "../shared/format.js";
import { diff, diffFields, within } from "./diff.js";
import { jsonLines, parseJson } from "./json.js";
import { outcomeOf } from "./row.js";

/** Equal lines kept around a difference, and how many a gap hides at least. */
const AROUND = 3;
const LEAST_HIDDEN = 4;
/** Lines shown at once, and characters of one. */
const AT_ONCE = 1000;
const LONGEST = 2000;

const SIGNS = { same: "", changed: "changed", removed: "only left", added: "only right" };

/**
 * The comparison of two requests' details.
 *
 * @param {object} left the one that came first.
 * @param {object} right the other.
 * @param {object} options `side`: "response" or "request"; `onSide(side)`: the other was chosen.
 */
export function comparison(left, right, { side = "response", onSide }) {
    const sides = [left[side], right[side]];
    const choice = ["response", "request"].map((name) =>
        h(
            "button",
            { type: "button", "aria-pressed": String(name === side), on: { click: () => onSide(name) } },
            name === "response" ? "Responses" : "Requests",
        ),
    );
    const parts = sides.every(Boolean)
        ? [headersPart(sides), bodyPart(sides)]
        : h("p", { class: "faint" }, missing(left, right, side));
    return h(
        "div",
        { class: "comparison" },
        h(
            "div",
            { class: "row compare-head" },
            h("span", { class: "choice", role: "group", "aria-label": "Compared" }, choice),
            h("span", { class: "verdict" }, sides.every(Boolean) ? verdict(sides) : null),
        ),
        h("div", { class: "two" }, facts(left, "Original"), facts(right, right.replay_of === left.id ? "Replay" : "This one")),
        parts,
    );
}

function facts(request, what) {
    const [word, look] = outcomeOf(request);
    const parts = [
        ["Status", h("span", { class: `strong ${look}` }, word)],
        ["Took", took(request.duration_ms)],
        ["Size", request.status === null ? "–" : bytes(request.response_bytes)],
        ["At", timeOfDay(request.started_at)],
    ];
    return h(
        "div",
        { class: "which" },
        h("h3", {}, `${what} #${request.n}`),
        h("dl", {}, parts.map(([name, shown]) => h("div", {}, h("dt", {}, name), h("dd", {}, shown)))),
    );
}

function missing(left, right, side) {
    const which = [left, right].filter((each) => !each[side]).map((each) => `#${each.n}`);
    return `There is no ${side} of ${which.join(" and ")} to compare.`;
}

function verdict([left, right]) {
    const differing = [];
    if (left.line !== right.line) differing.push("first line");
    const fields = diffFields(left.headers, right.headers);
    if (fields.some(({ kind }) => kind !== "same")) differing.push("headers");
    if (!sameBodies(left, right)) differing.push("body");
    if (differing.length > 0) {
        const text = differing.join(", ").replace(/, ([^,]*)$/, " and $1");
        const verb = differing.length > 1 || text === "headers" ? "differ" : "differs";
        return `${text[0].toUpperCase()}${text.slice(1)} ${verb}.`;
    }
    const cut = left.body.cut || right.body.cut;
    return cut ? "No difference, as far as the bodies were kept." : "No difference.";
}

function sameBodies({ body: left }, { body: right }) {
    const content = (body) => body.text ?? body.base64 ?? "";
    return left.size === right.size && content(left) === content(right);
}

function headersPart([left, right]) {
    const first = { kind: left.line === right.line ? "same" : "changed", left: left.line, right: right.line };
    const rows = diffFields(left.headers, right.headers);
    const differing = [first, ...rows].filter((row) => row.kind !== "same").length;
    const all = [first, ...rows].map(({ kind, name, left: ours, right: theirs }) => ({
        kind,
        left: ours === null ? null : name ? `${name}: ${ours}` : ours,
        right: theirs === null ? null : name ? `${name}: ${theirs}` : theirs,
    }));
    return h(
        "section",
        { class: "part", "aria-label": "Headers" },
        h("header", {}, h("h3", {}, "Headers"), h("span", { class: "faint small" }, summed(differing))),
        table("Headers side by side", all, false),
    );
}

function bodyPart([left, right]) {
    const [ours, theirs] = [left, right].map(linesOf);
    const head = (about) =>
        h("header", {}, h("h3", {}, "Body"), h("span", { class: "faint small" }, about));
    if (ours === null || theirs === null) {
        const same = sameBodies(left, right) ? "the same" : "not the same";
        const text = `${bytes(left.body.size)} beside ${bytes(right.body.size)}, ${same} bytes.`;
        return h("section", { class: "part", "aria-label": "Body" }, head(null), h("p", {}, text));
    }
    const { rows, aligned } = diff(ours, theirs);
    const differing = rows.filter((row) => row.kind !== "same").length;
    const all = rows.map((row) => ({
        kind: row.kind,
        left: row.left === null ? null : ours[row.left],
        right: row.right === null ? null : theirs[row.right],
        places: [row.left, row.right],
    }));
    const notes = [];
    if (!aligned) notes.push("Too much differs to align it line by line: it stands side by side as it is.");
    if (left.body.cut || right.body.cut) notes.push("Compared as far as the bodies were kept.");
    return h(
        "section",
        { class: "part", "aria-label": "Body" },
        head(rows.length === 0 ? "empty" : summed(differing, "line differs", "lines differ")),
        notes.map((text) => h("p", { class: "notice warn" }, text)),
        rows.length > 0 && table("Bodies side by side", all, true),
    );
}

function summed(differing, one = "difference", many = "differences") {
    if (differing === 0) return "no difference";
    return `${count(differing)} ${differing === 1 ? one : many}`;
}

/** The lines that a body is compared by: JSON one value a line; null for what has no text. */
function linesOf({ body }) {
    if (body.type === "empty" || body.size === 0) return [];
    if (body.text === undefined || body.text === null) return null;
    const node = body.type === "json" ? parseJson(body.text, body.cut) : null;
    return node ? jsonLines(node) : body.text.split(/\r\n|\n|\r/);
}

function table(label, rows, numbered) {
    const body = h("tbody", {});
    const shown = rows.map((_, place) => place).filter((place) => near(rows, place));
    const items = gaps(rows, new Set(shown));
    append(body, items, 0, numbered);
    const columns = numbered ? ["place", "", "place", ""] : ["", ""];
    return h(
        "table",
        { class: numbered ? "diff mono numbered" : "diff mono", "aria-label": label },
        h("colgroup", {}, columns.map((look) => h("col", { class: look }))),
        body,
    );
}

/** Whether a line differs, or stands near one that does. */
function near(rows, place) {
    for (let at = Math.max(0, place - AROUND); at <= place + AROUND && at < rows.length; at += 1) {
        if (rows[at].kind !== "same") return true;
    }
    return false;
}

/** Rows, with gaps ({hidden: rows}) where many equal ones follow one another. */
function gaps(rows, shown) {
    const items = [];
    for (let at = 0; at < rows.length; ) {
        let end = at;
        while (end < rows.length && !shown.has(end)) end += 1;
        if (end - at >= LEAST_HIDDEN) items.push({ hidden: rows.slice(at, end) });
        else items.push(...rows.slice(at, end));
        if (end < rows.length) items.push(rows[end]);
        at = end + 1;
    }
    return items;
}

function append(body, items, from, numbered) {
    const end = Math.min(items.length, from + AT_ONCE);
    for (const item of items.slice(from, end)) {
        body.append(item.hidden ? gap(item.hidden, numbered) : line(item, numbered));
    }
    if (end === items.length) return;
    const more = wide(`Show more of ${count(items.length - end)} lines`, numbered, () => {
        const next = more.previousElementSibling;
        more.remove();
        append(body, items, end, numbered);
        next?.nextElementSibling?.querySelector("button")?.focus();
    });
    body.append(more);
}

function gap(rows, numbered) {
    const place = wide(`${count(rows.length)} equal lines`, numbered, () => {
        const part = document.createDocumentFragment();
        append(part, rows, 0, numbered);
        place.replaceWith(part);
    });
    return place;
}

function wide(text, numbered, click) {
    const button = h("button", { class: "link", type: "button", on: { click } }, text);
    return h("tr", { class: "gap" }, h("td", { colspan: numbered ? 4 : 2 }, button));
}

function line({ kind, left, right, places }, numbered) {
    const [ours, theirs] =
        kind === "changed" ? marked(left, right) : [cell(left), cell(right)];
    const number = (place) =>
        numbered && h("td", { class: "place faint", "data-line": place === null ? "" : place + 1 });
    const said = SIGNS[kind] && h("span", { class: "unseen" }, `(${SIGNS[kind]}) `);
    return h(
        "tr",
        { class: kind },
        number(places?.[0] ?? null),
        h("td", { class: "left" }, said, ours),
        number(places?.[1] ?? null),
        h("td", { class: "right" }, theirs),
    );
}

const cell = (text) => (text === null ? null : foreign(text, { most: LONGEST }));

function marked(left, right) {
    const [before, ours, theirs, after] = within(left, right);
    const side = (tag, middle) => [
        foreign(before, { most: LONGEST }),
        middle && foreign(middle, { tag, most: LONGEST }),
        foreign(after, { most: LONGEST }),
    ];
    return [side("del", ours), side("ins", theirs)];
}
