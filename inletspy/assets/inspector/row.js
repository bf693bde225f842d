/* One request as a row of the list. */

import { h, setText } from "../shared/dom.js";
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
    const failure = h("span", { class: "badge bad" });
    const marks = h("span", { class: "marks" }, failure, kind);
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
        // Where there is no status the word stands in its place.
        failure.hidden = !isFailure(request) || request.status === null;
        setText(failure, failure.hidden ? "" : failureWord(request.failure));
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

const FAILURES = { host_not_allowed: "host", timeout: "time-out", unknown_host: "no host" };

function failureWord({ kind }) {
    return FAILURES[kind] ?? cut(kind, 12);
}

/** Whether it failed; streams end by one of the two leaving, sooner or later. */
export function isFailure({ failure, kind, status }) {
    const isStream = ["websocket", "sse"].includes(kind) && status !== null;
    return Boolean(failure) && !(isStream && failure.kind === "cut");
}

/** How a request ended, as a word or number, and the class that colours it. */
export function outcomeOf(request) {
    const { failure, status } = request;
    if (status !== null) return [String(status), `status-${statusClass(status)}`];
    if (failure) return [failureWord(failure), "status-none"];
    return request.state === "failed" ? ["failed", "status-none"] : ["…", "faint"];
}
