/* Share links of a tunnel: there is a list, they are made, shown once, and revoked. */

import { call, path } from "/assets/shared/api.js";
import { command } from "/assets/shared/copy.js";
import { ask, closeButton, dialog, submitButton } from "/assets/shared/dialog.js";
import { h } from "/assets/shared/dom.js";
import { dateAndTime, until } from "/assets/shared/format.js";
import { button, failure, field, moment, panel, table } from "/assets/dashboard/pieces.js";

const HOUR = 3600;
const LASTING = [
    [HOUR, "1 hour"],
    [2 * HOUR, "2 hours"],
    [24 * HOUR, "1 day"],
    [7 * 24 * HOUR, "7 days"],
    [30 * 24 * HOUR, "30 days"],
];

/** The panel of a tunnel's share links. */
export function linksPanel(app, row) {
    const base = `${path("api", "tunnels", row.id)}/links`;
    // Of a private service it is a token for `tunnel connect`.
    const what = row.private ? "share token" : "share link";
    const title = row.private ? "Share tokens" : "Share links";
    const list = table({
        label: title,
        key: ({ id }) => id,
        empty: "There are none. Whoever has one may visit until it ends.",
        columns: [
            { title: "Made", cell: (link) => moment(link.created_at) },
            { title: "Ends", cell: ending },
            { title: "Revoke", bare: true, cell: (link) => (good(link) && app.can("connect") ? button("Revoke", () => revoke(link), { look: "quiet danger" }) : null) },
        ],
    });
    const content = h("div", {}, list.element);

    async function load() {
        try {
            const { links } = await call("GET", base);
            list.update([...links].sort((one, other) => (one.created_at < other.created_at ? 1 : -1)));
            content.replaceChildren(list.element);
        } catch (error) {
            content.replaceChildren(h("div", { class: "inner" }, failure(error, load)));
        }
    }

    function make() {
        const lasts = h(
            "select",
            { class: "input", name: "lasts" },
            LASTING.map(([seconds, title]) => h("option", { value: seconds, selected: seconds === 2 * HOUR }, title)),
        );
        dialog({
            title: `Make a ${what}`,
            content: field("It lasts", lasts, "Whoever gets hold of it may visit until then."),
            actions: [closeButton(), submitButton("Make it")],
            submit: async (data) => {
                const link = await call("POST", base, { expires_in: Number(data.get("lasts")) });
                showOnce(link);
                await load();
            },
        });
    }

    function showOnce(link) {
        dialog({
            title: `New ${what}`,
            content: [
                h("p", {}, "It is shown this once, and is good until ", dateAndTime(link.expires_at), "."),
                command(link.url, { label: `Copy the ${what}`, wrap: true }),
            ],
            actions: closeButton("Done"),
        });
    }

    const revoke = (link) =>
        ask({
            title: `Revoke this ${what}?`,
            text: `It was made ${dateAndTime(link.created_at)}. Who came in by it must leave as well.`,
            action: "Revoke",
            run: async () => {
                await call("DELETE", `${base}/${encodeURIComponent(link.id)}`);
                await load();
            },
        });

    load();
    const end = app.can("connect") && button("Make one", make);
    return { element: panel(title, { end, inner: false }, content) };
}

function good(link) {
    return !link.revoked_at && Date.parse(link.expires_at) > Date.now();
}

function ending(link) {
    if (link.revoked_at) return h("span", { class: "badge bad" }, "Revoked");
    if (!good(link)) return h("span", { class: "badge" }, "Ended");
    return h("time", { datetime: link.expires_at, title: dateAndTime(link.expires_at) }, until(link.expires_at));
}
