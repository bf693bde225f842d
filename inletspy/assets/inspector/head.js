/* The head of one request: what it was, how it ended, how long that took, what can be done. */

import { copyButton } from "../shared/copy.js";
import { foreign, h, setText, svg } from "../shared/dom.js";
import { bytes, dateAndTime, timeOfDay, took } from "../shared/format.js";
import { icon } from "../shared/icons.js";
import { long } from "./long.js";
import { isFailure, outcomeOf } from "./row.js";

/** Reason phrases, where one says more than the number. */
const REASONS = {
    101: "Switching Protocols",
    200: "OK",
    201: "Created",
    202: "Accepted",
    204: "No Content",
    206: "Partial Content",
    301: "Moved Permanently",
    302: "Found",
    303: "See Other",
    304: "Not Modified",
    307: "Temporary Redirect",
    308: "Permanent Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    410: "Gone",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
};

/**
 * The head of a request.
 *
 * @param {object} request its summary.
 * @param {object} run what the buttons do: `replay`, `edit`, `pin`, `curl` (gives the
 *     text), `back`, `original` (shows the request that this is a replay of).
 * @returns {{element: Element, update: function(object), busy: function(boolean)}}
 */
export function head(request, run) {
    const status = h("span", { class: "badge" });
    const about = h("span", { class: "about soft" });
    const failure = h("div", { class: "notice bad failure", role: "note", hidden: true });
    const timing = timingBar();
    const replay = action("Replay", "replay", run.replay, "r");
    const edit = action("Edit and replay", null, run.edit, "e");
    const pin = action("Pin", "pin", run.pin, "p");
    const pinWord = pin.querySelector(".word");
    const curl = copyButton(run.curl, { label: "Copy as curl", word: "Copy as curl" });
    curl.setAttribute("aria-keyshortcuts", "c");
    const har = h(
        "a",
        {
            class: "button",
            href: `/api/requests/${encodeURIComponent(request.id)}/har`,
            download: `request-${request.n}.har`,
            title: "Save as an HTTP archive",
        },
        icon("down"),
        "HAR",
    );
    const back = h(
        "button",
        { class: "button icon back", type: "button", "aria-label": "Back to the list", on: { click: run.back } },
        icon("back"),
    );
    const element = h(
        "header",
        { class: "request-head" },
        h(
            "div",
            { class: "title" },
            back,
            h(
                "h2",
                { tabindex: "-1" },
                h("span", { class: "method" }, foreign(request.method, { most: 40 })),
                " ",
                long(request.path, 240),
            ),
        ),
        h("div", { class: "row line" }, status, about),
        failure,
        timing.element,
        h("div", { class: "row actions" }, replay, edit, curl, har, pin),
    );
    let shown = null;
    const update = (now) => {
        shown = now;
        const [word, look] = outcomeOf(now);
        setText(status, `${word} ${REASONS[word] ?? ""}`.trim());
        status.className = `badge outcome ${look}`;
        about.replaceChildren(...aboutOf(now, run));
        tellFailure(failure, now.failure, isFailure(now));
        timing.update(now);
        pin.setAttribute("aria-pressed", now.pinned);
        setText(pinWord, now.pinned ? "Pinned" : "Pin");
        replay.hidden = edit.hidden = now.kind === "websocket";
    };
    const tick = () => shown.state === "open" && timing.update(shown);
    const busy = (isBusy) => {
        replay.disabled = edit.disabled = isBusy;
    };
    update(request);
    return { element, update, busy, tick };
}

function action(text, name, click, shortcut) {
    return h(
        "button",
        { class: "button", type: "button", "aria-keyshortcuts": shortcut, on: { click } },
        name && icon(name),
        h("span", { class: "word" }, text),
    );
}

function aboutOf(request, run) {
    const when = `${dateAndTime(request.started_at).split(" ")[0]} ${timeOfDay(request.started_at, { milliseconds: true })}`;
    const parts = [
        request.kind === "websocket" ? "WebSocket" : request.kind === "sse" ? "event stream" : null,
        request.host ? foreign(request.host, { most: 100 }) : null,
        request.visitor ? h("span", {}, "from ", foreign(request.visitor, { most: 60 })) : null,
        h("time", { datetime: request.started_at }, when),
        request.replay_of
            ? h("button", { class: "link", type: "button", on: { click: run.original } }, "replay, see the original")
            : null,
    ].filter(Boolean);
    return parts.flatMap((part, place) => (place ? [h("span", { class: "dot faint" }, " · "), part] : [part]));
}

function tellFailure(box, failure, isBad) {
    const text = failure ? `${failure.title}\n${failure.advice}` : "";
    if (box.dataset.told === text) return;
    box.dataset.told = text;
    box.hidden = !failure;
    box.classList.toggle("bad", isBad);
    if (!failure) return;
    box.replaceChildren(
        h("strong", {}, foreign(failure.title, { most: 400 })),
        failure.advice && h("p", {}, foreign(failure.advice, { most: 1000 })),
    );
}

/** A time as `took` has it, but short ones more exactly. */
function exactly(milliseconds) {
    const isShort = typeof milliseconds === "number" && milliseconds < 10;
    return isShort ? `${milliseconds.toFixed(2)} ms` : took(milliseconds);
}

/** First byte and total as a bar, with the numbers beside it. */
function timingBar() {
    const waited = svg("rect", { class: "waited", height: 1 });
    const received = svg("rect", { class: "received", height: 1 });
    const bar = svg(
        "svg",
        { class: "timing-bar", viewBox: "0 0 100 1", preserveAspectRatio: "none", "aria-hidden": "true" },
        svg("rect", { class: "none", width: 100, height: 1 }),
        waited,
        received,
    );
    const names = ["First byte", "Receiving", "Total", "Request", "Response"];
    const values = names.map(() => h("dd", {}));
    const list = h(
        "dl",
        {},
        names.map((name, place) => h("div", {}, h("dt", {}, swatch(place), name), values[place])),
    );
    const update = (request) => {
        const isOpen = request.state === "open";
        const started = new Date(request.started_at).getTime();
        const total = isOpen ? Math.max(0, Date.now() - started) : request.duration_ms;
        const first = request.first_byte_ms;
        const share = first === null || !total ? (first === null ? 100 : 0) : Math.min(100, (first / total) * 100);
        waited.setAttribute("width", total ? share.toFixed(2) : 0);
        received.setAttribute("x", share.toFixed(2));
        received.setAttribute("width", total ? (100 - share).toFixed(2) : 0);
        setText(values[0], exactly(first));
        setText(values[1], exactly(first === null ? null : Math.max(0, total - first)));
        setText(values[2], isOpen ? `${took(total)} so far` : exactly(total));
        setText(values[3], bytes(request.request_bytes ?? 0));
        setText(values[4], request.status === null ? "–" : bytes(request.response_bytes ?? 0));
    };
    return { element: h("div", { class: "timing" }, bar, list), update };
}

function swatch(place) {
    const look = ["waited", "received"][place];
    return look && h("span", { class: `swatch ${look}`, "aria-hidden": "true" });
}
