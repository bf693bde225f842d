/* A tunnel's last requests, the newest first, as they come. */

import { call, path } from "/assets/shared/api.js";
import { follow, foreign, h, setText } from "/assets/shared/dom.js";
import { bytes, count, dateAndTime, statusClass, timeOfDay, took } from "/assets/shared/format.js";
import { button, panel } from "/assets/dashboard/pieces.js";

/** How many are kept; the server keeps no more. */
const MOST = 200;

const COLUMNS = [
    { name: "time", title: "Time" },
    { name: "method", title: "Method", http: true },
    { name: "path", title: "Path", http: true },
    { name: "status", title: "Status", http: true },
    { name: "took", title: "Took", number: true },
    { name: "in", title: "In", number: true },
    { name: "out", title: "Out", number: true },
    { name: "visitor", title: "Visitor" },
];

/**
 * The panel of a tunnel's requests, or of its connections where it knows no requests.
 *
 * @param {string} id of the tunnel.
 * @param {boolean} http whether they are requests.
 * @returns {{element, add: function(Array), load: function()}} `add` takes new ones; `load`
 *     asks for all, after a gap.
 */
export function requestsPanel(id, http) {
    let requests = [];
    let failed = false;
    let only = false; // those that failed
    let paused = null; // what was there when it was paused

    const columns = COLUMNS.filter((column) => http || !column.http);
    const title = http ? "Last requests" : "Last connections";
    const body = h("tbody", { role: "rowgroup" });
    const shown = h(
        "table",
        { class: http ? "table requests" : "table requests bare", role: "table", "aria-label": title },
        h(
            "thead",
            { role: "rowgroup" },
            h(
                "tr",
                { role: "row" },
                columns.map(({ title, number }) =>
                    h("th", { role: "columnheader", scope: "col", class: number && "number" }, title),
                ),
            ),
        ),
        body,
    );
    const none = h("p", { class: "empty" }, "…");
    const all = choice("All", () => show(false));
    const errors = choice("Failed", () => show(true));
    const pause = button("Pause", toggle, { look: "pause" });
    const which = h("div", { class: "choice", role: "group", "aria-label": "Which requests" }, all, errors);
    const place = h(
        "div",
        { class: "scroll request-place", tabindex: "0", role: "group", "aria-label": title },
        shown,
        none,
    );

    function show(failedOnly) {
        only = failedOnly;
        draw();
    }

    function toggle() {
        paused = paused === null ? requests : null;
        draw();
    }

    function add(more) {
        const known = new Set(requests.map(({ n }) => n));
        const fresh = more.filter(({ n }) => !known.has(n));
        if (fresh.length === 0 && !failed) return;
        failed = false;
        requests = [...fresh, ...requests].sort((one, other) => other.n - one.n).slice(0, MOST);
        draw();
    }

    async function load() {
        try {
            const got = await call("GET", `${path("api", "tunnels", id)}/requests?limit=${MOST}`);
            add(got.requests);
            draw();
        } catch (error) {
            failed = true;
            if (requests.length === 0) setText(none, error.message);
        }
    }

    function draw() {
        all.setAttribute("aria-pressed", !only);
        errors.setAttribute("aria-pressed", only);
        const source = paused ?? requests;
        const wanted = only ? source.filter(({ status }) => !(status < 400)) : source;
        follow(body, wanted, ({ n }) => n, (request) => requestRow(request, columns));
        shown.hidden = wanted.length === 0;
        none.hidden = wanted.length > 0;
        setText(none, source.length ? "None of the last requests failed." : "Nobody was here yet.");
        const missed = paused === null || requests.length === 0 ? 0 : requests[0].n - (paused[0]?.n ?? 0);
        setText(pause, paused === null ? "Pause" : missed > 0 ? `Go on (${count(missed)})` : "Go on");
    }

    load();
    return { element: panel(title, { end: [http && which, pause], inner: false }, place), add, load };
}

function choice(title, click) {
    return h("button", { type: "button", on: { click } }, title);
}

function requestRow(request, columns) {
    const { time, method, path: target, status, duration_ms: duration, bytes_in: received, bytes_out: sent, visitor } = request;
    const cells = {
        time: h("time", { datetime: time, title: dateAndTime(time) }, timeOfDay(time)),
        method: foreign(method ?? "–", { most: 20, class: "method" }),
        path: foreign(target ?? "–", { most: 400, class: "path" }),
        status: h("span", { class: `status-${statusClass(status)}` }, status ?? "–"),
        took: took(duration),
        in: bytes(received),
        out: bytes(sent),
        visitor: foreign(visitor, { most: 64 }),
    };
    const element = h(
        "tr",
        { role: "row" },
        columns.map(({ name, number }) =>
            h("td", { role: "cell", class: number ? `number cell-${name}` : `cell-${name}` }, cells[name]),
        ),
    );
    return { element, update: () => {} };
}
