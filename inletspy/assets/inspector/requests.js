/* The requests that the page knows: their summaries in order, and which of them a filter
 * lets through. Knows the API, and nothing of what is shown.
 */

import { call } from "../shared/api.js";
import { statusClass } from "../shared/format.js";
import { isFailure } from "./row.js";

/** Summaries asked for at once: few at first, for something to see. */
const FIRST = 200;
const MORE = 1000;
/** Requests that are kept beside pinned ones, the newest: the client keeps no more. */
const MOST = 10_000;

/** All summaries, kept in step with the client. */
export class Requests {
    #byId = new Map();
    #ordered = [];
    #changedWhileLoading = null;
    #loads = 0;

    /** Whether all there are have been loaded once. */
    complete = false;

    /** Called after each change. */
    onChange = () => {};

    /** All, the newest first. */
    get all() {
        return this.#ordered;
    }

    /** One by its id; undefined for what is not kept any more. */
    get(id) {
        return this.#byId.get(id);
    }

    /** Those that were sent again from the request with that id, oldest first. */
    replaysOf(id) {
        return this.#ordered.filter((each) => each.replay_of === id).reverse();
    }

    /** Take in new and changed ones. */
    update(summaries) {
        for (const each of summaries) {
            this.#byId.set(each.id, each);
            this.#changedWhileLoading?.add(each.id);
        }
        this.#sort();
    }

    /**
     * Load all from the client. What it has no more goes, once that is certain.
     *
     * @throws {ApiError} the client does not answer, or not to this page.
     */
    async load() {
        const load = (this.#loads += 1);
        const changed = (this.#changedWhileLoading = new Set());
        const found = new Set();
        let before = null;
        for (;;) {
            const limit = before === null ? FIRST : MORE;
            const query = new URLSearchParams({ limit });
            if (before !== null) query.set("before", before);
            const { requests, more } = await call("GET", `/api/requests?${query}`);
            if (load !== this.#loads) return;
            for (const each of requests) {
                found.add(each.id);
                if (!changed.has(each.id)) this.#byId.set(each.id, each);
            }
            this.#sort();
            if (!more || requests.length === 0) break;
            before = requests.at(-1).n;
        }
        for (const id of [...this.#byId.keys()]) {
            if (!found.has(id) && !changed.has(id)) this.#byId.delete(id);
        }
        this.#changedWhileLoading = null;
        this.complete = true;
        this.#sort();
    }

    #sort() {
        this.#ordered = [...this.#byId.values()].sort((a, b) => b.n - a.n);
        if (this.#ordered.length > MOST) this.#forget();
        this.onChange();
    }

    /** A page that is open for days must not have all that came in meanwhile. */
    #forget() {
        let room = MOST;
        this.#ordered = this.#ordered.filter((each) => {
            const stays = each.pinned || room-- > 0;
            if (!stays) this.#byId.delete(each.id);
            return stays;
        });
    }
}

/** A filter that lets everything through. */
export const EVERYTHING = Object.freeze({
    text: "",
    method: "",
    status: "",
    path: "",
    slower: 0,
    pinned: false,
});

/** Whether a filter lets less than everything through. */
export function narrows(filter) {
    return Object.keys(EVERYTHING).some((name) => filter[name] !== EVERYTHING[name]);
}

/** Ids of those in whose heads or bodies a text stands, which the client alone knows. */
export async function containing(text) {
    const query = new URLSearchParams({ q: text, limit: MORE });
    const { requests } = await call("GET", `/api/requests?${query}`);
    return new Set(requests.map((each) => each.id));
}

/** The query of the API for a filter. */
export function queryOf({ text, method, status, path, slower, pinned }) {
    const query = new URLSearchParams();
    if (text) query.set("q", text);
    if (method) query.set("method", method);
    if (status === "failed" || status === "open") query.set("state", status);
    else if (status) query.set("status", status);
    if (path) query.set("path", path);
    if (slower) query.set("slower_than", slower);
    if (pinned) query.set("pinned", "true");
    return query;
}

/**
 * A function that tells whether a filter lets a summary through.
 *
 * @param {object} filter as `EVERYTHING` has it.
 * @param {Set} found ids of those that have the text somewhere else than in the summary.
 */
export function passes(filter, found = new Set()) {
    const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
    const path = filter.path.toLowerCase();
    return (request) =>
        (!filter.method || request.method === filter.method) &&
        (!filter.status || outcome(request) === filter.status) &&
        (!path || request.path.toLowerCase().includes(path)) &&
        (!filter.slower || (request.duration_ms ?? 0) > filter.slower) &&
        (!filter.pinned || request.pinned) &&
        (words.length === 0 || contains(request, words) || found.has(request.id));
}

/** How a request ended, as one filters by it: a class of status, "failed" or "open". */
export function outcome(request) {
    if (isFailure(request)) return "failed";
    if (request.status === null) return "open";
    return statusClass(request.status);
}

/** What of a summary is searched. */
function contains(request, words) {
    const { method, path, host, status, kind, service, content_type, visitor, failure } = request;
    const parts = [method, path, host, status, kind, service, content_type, visitor];
    const text = [...parts, failure?.title].join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
}
