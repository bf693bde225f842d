/* How the server is, as it says itself every few seconds. */

import { call } from "/assets/shared/api.js";
import { foreign, h, setText } from "/assets/shared/dom.js";
import { bytesParts, count, dateAndTime, span } from "/assets/shared/format.js";
import { failure, panel, readings } from "/assets/dashboard/pieces.js";

/** The view of the server's health, for admins. */
export function healthView(app) {
    const { store } = app;
    store.watch(null);
    const figures = readings("Now", {
        tunnels: "Tunnels",
        links: "Links",
        sessions: "Sessions",
        streams: "Streams",
        visitors: "Visitors",
        memory: "Memory",
    });
    const version = h("dd", {});
    const uptime = h("dd", {});
    const database = h("span", {});
    const databaseSince = h("span", { class: "faint" });
    const descriptors = h("span", {});
    const meter = h("meter", { class: "meter", min: "0", "aria-label": "Descriptors in use" });
    const refusals = h("dl", { class: "facts wide-names" });
    const none = h("p", { class: "soft" }, "Nothing was refused.");
    const content = h(
        "div",
        { class: "stack", hidden: true },
        figures.element,
        h(
            "div",
            { class: "halves" },
            panel(
                "Server",
                {},
                h(
                    "dl",
                    { class: "facts" },
                    h("dt", {}, "Version"),
                    version,
                    h("dt", {}, "Running for"),
                    uptime,
                    h("dt", {}, "Database"),
                    h("dd", {}, database, databaseSince),
                    h("dt", {}, "Descriptors"),
                    h("dd", {}, descriptors, meter),
                ),
            ),
            panel("Refused since its start", {}, refusals, none),
        ),
    );
    const wrong = h("div", {});

    function draw(health) {
        if (health === null) return;
        content.hidden = false;
        for (const key of ["tunnels", "links", "sessions", "streams", "visitors"]) {
            figures.set(key, count(health[key] ?? 0));
        }
        if (health.memory_bytes !== null) figures.set("memory", ...bytesParts(health.memory_bytes));
        setText(version, health.version);
        setText(uptime, span(health.uptime_seconds));
        const { state, since } = health.database;
        database.className = state === "up" ? "state good" : "state bad";
        setText(database, state === "up" ? "Up" : "Away");
        setText(databaseSince, since ? ` since ${dateAndTime(since)}` : "");
        const { open, limit } = health.descriptors;
        setText(descriptors, open === null ? `at most ${count(limit)}` : `${count(open)} of ${count(limit)}`);
        meter.hidden = open === null;
        meter.max = limit;
        meter.low = limit * 0.75;
        meter.high = limit * 0.9;
        meter.optimum = 0;
        meter.value = open ?? 0;
        const rows = Object.entries(health.refusals).filter(([, number]) => number);
        refusals.replaceChildren(
            ...rows.flatMap(([kind, number]) => [
                h("dt", {}, foreign(kind.replaceAll("_", " "))),
                h("dd", {}, count(number)),
            ]),
        );
        none.hidden = rows.length > 0;
    }

    async function load() {
        try {
            draw(await call("GET", "/api/health"));
            wrong.replaceChildren();
        } catch (error) {
            wrong.replaceChildren(failure(error, load));
        }
    }

    const unsubscribe = store.subscribe((kind, what) => kind === "health" && draw(what));
    if (store.health === null) load();
    else draw(store.health);
    return {
        title: "Health",
        element: h("div", {}, h("div", { class: "head" }, h("h1", { tabindex: "-1" }, "Health")), wrong, content),
        close: unsubscribe,
    };
}
