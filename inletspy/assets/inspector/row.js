/* One request as a row of the list. */

import { foreign, h, setText } from "../shared/dom.js";
import { bytes, cut, statusClass, timeOfDay, took, visible } from "../shared/format.js";
import { icon } from "../shared/icons.js";

/** A path can be as long as a head; a row shows its beginning. */
const LONGEST = 300;
const LONGEST_METHOD = 10;

const KINDS = { websocket: "WS", sse: "SSE" };

/** A row for `List`. */
export function row() {
    const method = h("span", { class: "method mono" });
    const path = h("span", { class: "path mono foreign" });
    const kind = h("span", { class: "badge" });
    const marks = h("span", { class: "marks" }, kind);
    const pinned = h("span", { class: "pin", title: "Pinned" }, icon("pin"), unseen("pinned"));
    const replay = h("span", { class: "again", title: "Replay" }, icon("replay"), unseen("replay"));
    marks.append(replay, pinned);
    const status = h("span", { class: "status" });
    const duration = h("span", { class: "duration" });
    const size = h("span", { class: "size" });
    const time = h("span", { class: "time" });
    const element = h("div", { class: "request" }, status, method, path, marks, duration, size, time);

    const update = (request) => {
        setText(method, visible(cut(request.method, LONGEST_METHOD)));
        setText(path, visible(cut(request.path, LONGEST)));
        setText(kind, KINDS[request.kind] ?? "");
        kind.hidden = !KINDS[request.kind];
        pinned.hidden = !request.pinned;
        replay.hidden = !request.replay_of;
        const [word, look] = outcomeOf(request);
        setText(status, word);
        status.className = `status ${look}`;
        setText(duration, request.state === "open" ? "open" : took(request.duration_ms));
        setText(size, request.status === null ? "–" : bytes(request.response_bytes));
        setText(time, timeOfDay(request.started_at));
    };
    return { element, update };
}

const unseen = (text) => h("span", { class: "unseen" }, text);

const FAILURES = { host_not_allowed: "host", refused: "refused", timeout: "time-out" };

/** How a request ended, as a word or number, and the class that colours it. */
export function outcomeOf(request) {
    const { failure, status } = request;
    if (failure && (status === null || status === undefined)) {
        return [FAILURES[failure.kind] ?? cut(failure.kind, 9), "status-none"];
    }
    if (status === null || status === undefined) {
        return request.state === "failed" ? ["failed", "status-none"] : ["…", "faint"];
    }
    return [String(status), failure ? "status-5xx" : `status-${statusClass(status)}`];
}

/** The method and path of a request as one heading-like text of a stranger's. */
export function named(request, most = 120) {
    return [foreign(request.method, { most: LONGEST_METHOD }), " ", foreign(request.path, { most })];
}
