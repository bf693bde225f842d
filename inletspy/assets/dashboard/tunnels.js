/* All tunnels that one may see, live, in a table that can be sorted and searched. */

import { command } from "/assets/shared/copy.js";
import { announce, follow, foreign, h, setText } from "/assets/shared/dom.js";
import { bytes, bytesParts, count, cut, dateAndTime, perSecond, timeOfDay, took, visible } from "/assets/shared/format.js";
import { icon } from "/assets/shared/icons.js";
import { shares, spark } from "/assets/shared/spark.js";
import {
    NO_TRAFFIC,
    addressButtons,
    addressLink,
    ago,
    nameOf,
    readings,
    state,
} from "/assets/dashboard/pieces.js";

/** Rows that are shown unless one asks for all. */
const MANY = 300;

/** Below this the table is a stack of cards. */
const NARROW = matchMedia("(max-width: 68rem)");

const traffic = (row) => row.traffic ?? NO_TRAFFIC;

/** Columns: what sorts them; largest first where `down`. */
const COLUMNS = [
    { name: "address", title: "Address", by: nameOf },
    { name: "client", title: "Client", by: (row) => `${row.owner ?? ""} ${row.client_id}` },
    { name: "since", title: "State", by: (row) => -Date.parse(row.connected_at) },
    { name: "requests", title: "Requests", by: (row) => traffic(row).requests, down: true, number: true },
    { name: "now", title: "Last 15 minutes", by: (row) => traffic(row).per_second, down: true },
    { name: "time", title: "Time", by: (row) => traffic(row).p99_ms ?? -1, down: true, number: true },
    { name: "bytes", title: "Bytes", by: (row) => traffic(row).bytes_out, down: true, number: true },
];

// Kept while one goes to a tunnel and back.
const chosen = { column: COLUMNS[0], turned: false, search: "" };

/** The view of all tunnels. */
export function tunnelsView(app) {
    const { store } = app;
    store.watch(null);

    const totals = readings("All tunnels together", {
        tunnels: "Tunnels",
        rate: "Requests per second",
        active: "Open now",
        requests: "Requests",
        in: "From visitors",
        out: "To visitors",
    });
    const body = h("tbody", { role: "rowgroup" });
    const titleOf = ({ name, title }) => (name === "client" && app.admin ? "Owner and client" : title);
    const headings = COLUMNS.map((column) => heading(titleOf(column), column, () => sort(column)));
    const shown = h(
        "table",
        { class: "table tunnels", role: "table", "aria-label": "Tunnels" },
        h("colgroup", {}, COLUMNS.map(({ name }) => h("col", { class: `col-${name}` })), h("col", { class: "col-more" })),
        h(
            "thead",
            { role: "rowgroup" },
            h(
                "tr",
                { role: "row" },
                headings,
                h("th", { role: "columnheader", scope: "col" }, h("span", { class: "unseen" }, "More")),
            ),
        ),
        body,
    );
    const search = h("input", {
        class: "input",
        type: "search",
        placeholder: "Find",
        "aria-label": "Find tunnels",
        value: chosen.search,
        on: {
            input: () => {
                chosen.search = search.value;
                draw();
            },
        },
    });
    const order = h(
        "select",
        {
            class: "input order",
            "aria-label": "Sort by",
            on: { change: () => sort(COLUMNS[order.selectedIndex]) },
        },
        COLUMNS.map((column) => h("option", { value: column.name }, `By ${titleOf(column).toLowerCase()}`)),
    );
    const tools = h("div", { class: "end tools" }, order, search);
    const none = h("p", { class: "empty", hidden: true });
    const more = h("button", { class: "button", type: "button", hidden: true, on: { click: all } });
    const start = emptyState(app);
    const list = h("div", { class: "stack" }, totals.element, h("div", { class: "panel" }, shown, none), more);
    let limit = MANY;

    function sort(column) {
        chosen.turned = chosen.column === column && !chosen.turned;
        chosen.column = column;
        draw();
    }

    function all() {
        limit = Infinity;
        draw();
    }

    function draw() {
        const rows = [...store.tunnels.values()];
        start.hidden = !store.loaded || rows.length > 0;
        list.hidden = !store.loaded || rows.length === 0;
        tools.hidden = list.hidden;
        if (!store.loaded) return;
        const found = rows.filter(matching(chosen.search)).sort(comparing(chosen));
        follow(body, found.slice(0, limit), (row) => row.id, tunnelRow);
        shown.hidden = found.length === 0;
        none.hidden = found.length > 0;
        setText(none, `No tunnel has “${visible(cut(chosen.search, 80))}” in its address, upstream, client or owner.`);
        more.hidden = found.length <= limit;
        setText(more, `Show all ${count(found.length)}`);
        order.selectedIndex = COLUMNS.indexOf(chosen.column);
        COLUMNS.forEach((column, place) => {
            if (column !== chosen.column) headings[place].removeAttribute("aria-sort");
            else {
                const down = Boolean(column.down) !== chosen.turned;
                headings[place].setAttribute("aria-sort", down ? "descending" : "ascending");
            }
        });
        sum(totals, rows);
    }

    function told(kind, { changed, gone }) {
        if (kind !== "tunnels") return;
        const before = known;
        known = new Set(store.tunnels.keys());
        draw();
        if (changed === null) return;
        const came = changed.filter(({ id }) => !before.has(id));
        if (came.length) announce(`${came.map(nameOf).slice(0, 3).join(", ")}: there is a new tunnel`);
        else if (gone.length) announce(gone.length === 1 ? "A tunnel is gone" : `${gone.length} tunnels are gone`);
    }

    function pressed(event) {
        const typing = event.target.closest?.("input, textarea, select, dialog");
        if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
            event.preventDefault();
            search.focus();
        }
    }

    let known = new Set(store.tunnels.keys());
    const unsubscribe = store.subscribe(told);
    const narrow = () => shown.classList.toggle("stacked", NARROW.matches);
    NARROW.addEventListener("change", narrow);
    document.addEventListener("keydown", pressed);
    narrow();
    draw();
    return {
        title: "Tunnels",
        element: h(
            "div",
            {},
            h("div", { class: "head" }, h("h1", { tabindex: "-1" }, "Tunnels"), tools),
            list,
            start,
        ),
        close: () => {
            unsubscribe();
            NARROW.removeEventListener("change", narrow);
            document.removeEventListener("keydown", pressed);
        },
    };
}

function heading(title, { number }, click) {
    return h(
        "th",
        { role: "columnheader", scope: "col", class: number && "number" },
        h("button", { class: "sort", type: "button", on: { click } }, title),
    );
}

function matching(search) {
    const wanted = search.trim().toLowerCase();
    if (!wanted) return () => true;
    return ({ public_url: url, upstream, client_id: client, owner = "" }) =>
        [url, upstream, client, owner].some((text) => String(text).toLowerCase().includes(wanted));
}

function comparing({ column, turned }) {
    const sign = Boolean(column.down) !== turned ? -1 : 1;
    return (one, other) => {
        const [a, b] = [column.by(one), column.by(other)];
        if (a !== b) return a < b ? -sign : sign;
        return one.id < other.id ? -1 : 1;
    };
}

function sum(totals, rows) {
    const all = { up: 0, rate: 0, active: 0, requests: 0, in: 0, out: 0 };
    for (const row of rows) {
        const one = traffic(row);
        all.up += row.status === "away" ? 0 : 1;
        all.rate += one.per_second;
        all.active += one.active;
        all.requests += one.requests;
        all.in += one.bytes_in;
        all.out += one.bytes_out;
    }
    totals.set("tunnels", count(all.up));
    totals.set("rate", perSecond(all.rate));
    totals.set("active", count(all.active));
    totals.set("requests", count(all.requests));
    totals.set("in", ...bytesParts(all.in));
    totals.set("out", ...bytesParts(all.out));
}

/** How long the name of a tunnel stays its owner's whose client is away. */
function keptUntil(moment) {
    return h("time", { datetime: moment, title: dateAndTime(moment) }, `kept until ${timeOfDay(moment).slice(0, 5)}`);
}

/** One tunnel: its parts stay, and only what changed in them is written. */
function tunnelRow(first) {
    const link = h("div", { class: "address-line" });
    const upstream = h("div", { class: "one-line soft" });
    const client = h("div", { class: "one-line" });
    const clientMore = h("div", { class: "one-line soft" });
    const status = state();
    const time = h("div", { class: "soft" });
    const requests = h("span", {});
    const requestsLine = h("div", {}, requests, h("span", { class: "in-stack faint small" }, " requests"));
    const rate = h("div", { class: "soft" });
    const chart = spark();
    const classes = shares();
    const median = h("span", {});
    const slow = h("span", {});
    const received = h("span", {});
    const sent = h("span", {});
    const cells = [
        [link, upstream],
        [client, clientMore],
        [status.element, time],
        [requestsLine, rate],
        [chart.element, classes.element],
        [pair("p50", median), pair("p99", slow)],
        [pair("in", received), pair("out", sent)],
    ];
    const details = h("a", { class: "button icon", href: `#/tunnels/${encodeURIComponent(first.id)}` }, icon("next"));
    const element = h(
        "tr",
        { role: "row", class: "tunnel", on: { click: (event) => opened(event, details) } },
        cells.map((content, place) => {
            const { name, title, number } = COLUMNS[place];
            const classes = number ? `number cell-${name}` : `cell-${name}`;
            return h("td", { role: "cell", class: classes, data: { label: title } }, content);
        }),
        h("td", { role: "cell", class: "cell-more" }, details),
    );

    let drawn = {};
    function update(row) {
        const one = traffic(row);
        if (row.public_url !== drawn.public_url) {
            link.replaceChildren(addressLink(row, { class: "one-line strong" }), addressButtons(row));
            details.setAttribute("aria-label", `More about ${visible(cut(nameOf(row), 300))}`);
            details.title = "More";
        }
        if (row.upstream !== drawn.upstream || row.protocol !== drawn.protocol) {
            upstream.replaceChildren(
                h("span", { class: "badge" }, (row.protocol ?? "listed").toUpperCase()),
                " ",
                foreign(row.upstream, { most: 300, title: visible(cut(row.upstream, 300)) }),
            );
        }
        if (row.client_id !== drawn.client_id || row.owner !== drawn.owner) {
            const id = foreign(row.client_id, { most: 200, title: visible(cut(row.client_id, 200)) });
            client.replaceChildren(row.owner ? foreign(row.owner, { most: 64 }) : id);
            clientMore.replaceChildren(row.owner ? id : wire(row));
        }
        status.update(row);
        if (row.connected_at !== drawn.connected_at || row.status !== drawn.status) {
            time.replaceChildren(row.held_until ? keptUntil(row.held_until) : ago(row.connected_at));
        }
        const tcp = row.protocol === "tcp";
        setText(requests, count(one.requests));
        const idle = one.per_second === 0 && one.active === 0;
        setText(rate, idle ? "idle" : `${perSecond(one.per_second)}/s · ${count(one.active)} open`);
        chart.update(one.spark);
        classes.update(one.statuses);
        classes.element.classList.toggle("blank", tcp);
        setText(median, took(one.p50_ms));
        setText(slow, took(one.p99_ms));
        setText(received, bytes(one.bytes_in));
        setText(sent, bytes(one.bytes_out));
        drawn = row;
    }

    return { element, update };
}

function pair(label, value) {
    return h("div", { class: "pair" }, h("span", { class: "faint small" }, label), value);
}

function wire(row) {
    return row.wire === "inlets" ? "stock inlets" : row.wire ? "" : "reported";
}

/** A click beside everything that can be clicked on leads to the tunnel's page. */
function opened(event, details) {
    const other = event.target.closest("a, button, input");
    if (other === null && !String(getSelection())) details.click();
}

/** What to do where there is no tunnel. */
function emptyState(app) {
    const { session } = app;
    if (session.tunnels_enabled === false) {
        return h(
            "section",
            { class: "panel empty" },
            h("h2", {}, "Tunnels are turned off"),
            app.admin
                ? h("p", {}, "Turn on ", h("code", {}, "tunnels_enabled"), " in the ", h("a", { href: "#/settings" }, "settings"), ".")
                : h("p", {}, "An administrator can turn them on."),
        );
    }
    const server = session.server_url ? ` --server ${session.server_url}` : "";
    const example = h("code", {}, `HOST-3000.${session.base_domain}`);
    return h(
        "section",
        { class: "panel empty" },
        h("h2", {}, "No tunnels yet"),
        h("p", {}, "Where your service runs, for example on port 3000, type:"),
        command(`tunnel 3000${server}`, { label: "Copy the command" }),
        h("p", {}, "It gets an address like ", example, ", and shows up here at once. Any TCP service works as well:"),
        command(`tunnel 5432 tcp${server}`, { label: "Copy the command for TCP" }),
        h("p", { class: "small" }, "The token is read from the variable ", h("code", {}, "INLETS_TOKEN"), " or from ", h("code", {}, "--token-file FILE"), "."),
    );
}
