/* What the server tells as it happens: the tunnels, its health, and one tunnel's requests.
 *
 * There is one stream; for a tunnel's own page it is opened anew with that tunnel in it.
 */

import { Live } from "/assets/shared/live.js";

/** The tunnels and the rest, and who wants to know of changes. */
export class Store {
    /** Id to row, as the server has it. */
    tunnels = new Map();
    /** Whether `tunnels` says anything yet. */
    loaded = false;
    /** The last word on the server's health, for admins. */
    health = null;

    #onState;
    #live = null;
    #watched = null;
    #told = new Set();

    /** @param {function} onState is called with the `Live` at each new state. */
    constructor(onState) {
        this.#onState = onState;
        this.#open();
    }

    /** Have the requests of one tunnel told as well; null: of none. */
    watch(id) {
        if (id === this.#watched) return;
        this.#watched = id;
        this.#live.close();
        this.#open();
    }

    /**
     * Have a function called at each change with ("tunnels", {changed, gone}), where both
     * are null for everything anew; ("health", health); ("requests", [requests]).
     *
     * @returns {function} ends that.
     */
    subscribe(run) {
        this.#told.add(run);
        return () => this.#told.delete(run);
    }

    /** End the stream. */
    close() {
        this.#told.clear();
        this.#live.close();
    }

    #open() {
        const query = this.#watched === null ? "" : `?tunnel=${encodeURIComponent(this.#watched)}`;
        const live = new Live(
            `/api/events${query}`,
            {
                tunnels: ({ tunnels }) => {
                    this.tunnels = new Map(tunnels.map((row) => [row.id, row]));
                    this.loaded = true;
                    this.#tell("tunnels", { changed: null, gone: null });
                },
                changes: ({ changed = [], gone = [] }) => {
                    for (const row of changed) this.tunnels.set(row.id, row);
                    for (const id of gone) this.tunnels.delete(id);
                    this.#tell("tunnels", { changed, gone });
                },
                health: (health) => {
                    this.health = health;
                    this.#tell("health", health);
                },
                requests: ({ requests }) => this.#tell("requests", requests),
            },
            () => this.#state(live),
            this.#watched === null ? [401] : [401, 404],
        );
        this.#live = live;
        this.#onState(live);
    }

    #state(live) {
        if (live !== this.#live) return;
        if (live.state === "ended" && live.refusal === 404 && this.#watched !== null) {
            // The tunnel is gone; the rest goes on.
            this.watch(null);
            return;
        }
        this.#onState(live);
    }

    #tell(kind, what) {
        for (const run of [...this.#told]) run(kind, what);
    }
}
