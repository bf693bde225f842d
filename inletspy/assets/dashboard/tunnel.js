/* One tunnel: what goes through it, what it is, who may visit it, and its end. */

import { call, path } from "/assets/shared/api.js";
import { ask } from "/assets/shared/dialog.js";
import { foreign, h, setText } from "/assets/shared/dom.js";
import { bytesParts, count, dateAndTime, perSecond, tookParts } from "/assets/shared/format.js";
import { icon } from "/assets/shared/icons.js";
import { shares, sharesLegend, spark } from "/assets/shared/spark.js";
import { linksPanel } from "/assets/dashboard/links.js";
import {
    NO_TRAFFIC,
    addressButtons,
    addressLink,
    ago,
    button,
    nameOf,
    panel,
    readings,
    state,
} from "/assets/dashboard/pieces.js";
import { requestsPanel } from "/assets/dashboard/requests.js";

/** The view of the tunnel of that id. */
export function tunnelView(app, id) {
    const { store } = app;
    store.watch(id);
    const element = h("div", {});
    let page = null; // once the tunnel is known
    let last = store.tunnels.get(id) ?? null;

    function draw() {
        const row = store.tunnels.get(id);
        if (row !== undefined) {
            last = row;
            if (page === null) {
                page = tunnelPage(app, row);
                element.replaceChildren(page.element);
            }
            page.update(row);
        } else if (store.loaded) {
            const next = last && !last.shared && successor(store, last);
            if (next) {
                // Its client came back, under another id: who watches goes on watching.
                location.replace(addressOf(next));
            } else if (page?.ended !== true) {
                page = { ended: true };
                element.replaceChildren(...gone(last));
            }
        }
    }

    const unsubscribe = store.subscribe((kind, what) => {
        if (kind === "tunnels") draw();
        if (kind === "tunnels" && what.changed === null) page?.again?.();
        if (kind === "requests") page?.add?.(what);
    });
    element.append(...heading(h("h1", { tabindex: "-1" }, "Tunnel")));
    draw();
    return {
        title: last ? nameOf(last) : "Tunnel",
        element,
        close: unsubscribe,
    };
}

const addressOf = ({ id }) => `#/tunnels/${encodeURIComponent(id)}`;

/** The tunnel that serves the address of one that ended. */
function successor(store, last) {
    return [...store.tunnels.values()].find((row) => row.public_url === last.public_url);
}

function heading(...content) {
    return [
        h("a", { class: "crumb", href: "#/" }, icon("back"), "Tunnels"),
        h("div", { class: "head" }, content),
    ];
}

/** In place of a tunnel that is not there, or not any more. */
function gone(last) {
    return [
        ...heading(h("h1", { tabindex: "-1" }, last ? foreign(nameOf(last), { most: 300 }) : "Tunnel")),
        h(
            "div",
            { class: "notice", role: "status" },
            last
                ? "This tunnel has ended. Should its address be served again, this page goes on."
                : "There is no such tunnel.",
        ),
    ];
}

function tunnelPage(app, first) {
    // Of others the server sees connections only.
    const http = first.protocol !== "tcp" && !first.private;
    const status = state();
    const figures = readings("Traffic", {
        rate: http ? "Requests per second" : "Connections per second",
        active: "Open now",
        requests: http ? "Requests" : "Connections",
        p50: "Time, p50",
        p99: "Time, p99",
        in: "From visitors",
        out: "To visitors",
    });
    const chart = spark();
    const peak = h("span", {});
    const classes = shares();
    const legend = sharesLegend();
    const facts = h("dl", { class: "facts" });
    const requests = requestsPanel(first.id, http);
    const links = h("div", { hidden: true });
    const access = accessPanel(first, () => {
        links.replaceChildren(linksPanel(app, first).element);
        links.hidden = false;
    });

    let away = first.status === "away";
    const close = () =>
        ask({
            title: "Close this tunnel?",
            text: [
                away ? "Its client is away: from now on " : "What visitors do with ",
                h("strong", {}, foreign(nameOf(first), { most: 300 })),
                away
                    ? " is kept for it no longer."
                    : " is cut, and its client is told to end it. The address is kept for a while, for it to come back.",
            ],
            action: "Close the tunnel",
            run: async () => {
                await call("DELETE", path("api", "tunnels", first.id));
                location.hash = "#/";
            },
        });

    const element = h(
        "div",
        {},
        heading(
            h("h1", { tabindex: "-1" }, addressLink(first)),
            addressButtons(first),
            status.element,
            h("div", { class: "end" }, app.can("connect") && button("Close tunnel", close, { look: "danger" })),
        ),
        h(
            "div",
            { class: "stack" },
            figures.element,
            h(
                "div",
                { class: "columns" },
                h(
                    "div",
                    { class: "stack" },
                    panel(
                        "Last 15 minutes",
                        { end: h("span", { class: "small soft" }, peak) },
                        h("div", { class: "big-spark" }, chart.element),
                        h("div", { class: "axis small faint", "aria-hidden": "true" }, h("span", {}, "15 min ago"), h("span", {}, "now")),
                        http && h("div", { class: "classes" }, classes.element, legend.element),
                    ),
                    requests.element,
                ),
                h("div", { class: "stack" }, panel("About it", {}, facts), access, links),
            ),
        ),
    );

    let known = "";
    function update(row) {
        const one = row.traffic ?? NO_TRAFFIC;
        away = row.status === "away";
        status.update(row);
        figures.set("rate", perSecond(one.per_second));
        figures.set("active", count(one.active));
        figures.set("requests", count(one.requests));
        figures.set("p50", ...tookParts(one.p50_ms));
        figures.set("p99", ...tookParts(one.p99_ms));
        figures.set("in", ...bytesParts(one.bytes_in));
        figures.set("out", ...bytesParts(one.bytes_out));
        chart.update(one.spark);
        classes.update(one.statuses);
        legend.update(one.statuses);
        const most = Math.max(0, ...one.spark);
        setText(peak, most ? `at most ${count(most)} in 15 s` : "none");
        const about = JSON.stringify({ ...row, traffic: null });
        if (about !== known) {
            known = about;
            facts.replaceChildren(...factsOf(row));
        }
    }

    return {
        element,
        update,
        add: requests.add,
        again: requests.load,
    };
}

function factsOf(row) {
    const wires = { "inletspy.v1": "inletspy", inlets: "stock inlets" };
    const facts = {
        Upstream: foreign(row.upstream, { most: 300 }),
        Protocol: row.protocol && row.protocol.toUpperCase(),
        Owner: row.owner && foreign(row.owner),
        Client: foreign(row.client_id, { most: 300 }),
        Connected: [ago(row.connected_at), h("div", { class: "faint" }, `since ${dateAndTime(row.connected_at)}`)],
        "Name kept": row.held_until && `until ${dateAndTime(row.held_until)}`,
        Speaks: row.wire && (wires[row.wire] ?? row.wire),
        Shared: row.shared ? "with other clients" : null,
        Session: row.session && h("span", { class: "mono" }, foreign(row.session)),
        Id: h("span", { class: "mono" }, foreign(row.id)),
    };
    return Object.entries(facts)
        .filter(([, value]) => value)
        .map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])
        .flat();
}

/** Who may visit it; calls back if those do who have a share link. */
function accessPanel(row, onLinks) {
    const content = h("div", {}, h("p", { class: "faint" }, "…"));
    const load = async () => {
        try {
            const access = await call("GET", `${path("api", "tunnels", row.id)}/access`);
            content.replaceChildren(accessTold(row, access));
            if (access.private) onLinks();
        } catch (error) {
            const away = row.status === "away" ? "That is known when its client is back." : "The server does not know.";
            const text = error.status === 404 ? away : error.message;
            content.replaceChildren(h("p", { class: "soft" }, text));
        }
    };
    load();
    return panel("Who may visit", {}, content);
}

function accessTold(row, access) {
    const list = (values) => h("ul", { class: "plain" }, values.map((value) => h("li", {}, foreign(value))));
    const facts = [];
    const add = (name, ...value) => facts.push(h("dt", {}, name), h("dd", {}, value));
    if (access.basic_auth?.length) add("Password for", list(access.basic_auth));
    if (access.bearer) add("Token", "lets programs in");
    if (row.private) add("Clients", "of the same owner, by tunnel connect");
    if (access.private) add(row.private ? "Share token" : "Share link", "lets in who has one");
    if (access.allow?.length) add("Only from", list(access.allow));
    if (access.deny?.length) add("Not from", list(access.deny));
    if (facts.length) return h("dl", { class: "facts" }, facts);
    const hint = h("p", { class: "hint" }, "Share links are for services that are started with ", h("code", {}, "--private-http"), ".");
    return h("div", { class: "field" }, h("p", {}, "Everybody who knows the address."), row.protocol === "http" && hint);
}
