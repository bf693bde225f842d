/* What happens, as it happens: a stream of server-sent events that is opened again by
 * itself, and the notice that says when the server is away.
 *
 * The stream is read with fetch, since EventSource tells neither why it was refused nor
 * that it has fallen silent.
 */

import { h, setText } from "./dom.js";

/** A server says something every 15 seconds, be it a comment. */
const SILENCE = 40_000;
/** Waits between tries, in milliseconds. */
const WAITS = [1000, 2000, 3000, 5000, 10_000];
/** A page that nobody looks at lets go of its stream after so long. */
const UNSEEN = 60_000;
/** A stream that was open for so long did not fail when it ends. */
const LASTING = 5000;

/**
 * A stream of events.
 *
 * States: "connecting", "live", "away" (to be tried again), "paused" (nobody looks),
 * "ended" (refused, see `refusal`), "closed".
 */
export class Live {
    #url;
    #events;
    #onState;
    #final;
    #abort = new AbortController();
    #closed = false;
    #wake = null;
    #unseen = 0;
    #failures = 0;

    /** What holds now. */
    state = "connecting";
    /** The status by which the server last refused; 0 where it did not answer. */
    refusal = 0;
    /** When the next try is due, in milliseconds since the epoch; while away. */
    retryAt = 0;

    /**
     * @param {string} url of the stream.
     * @param {object} events name to a function that is called with the parsed data.
     * @param {function} onState is called with each new state.
     * @param {number[]} final statuses after which there is no point in trying again.
     */
    constructor(url, events, onState = () => {}, final = [401]) {
        this.#url = url;
        this.#events = events;
        this.#onState = onState;
        this.#final = final;
        document.addEventListener("visibilitychange", this.#looked);
        window.addEventListener("online", this.retry);
        this.#run();
    }

    /** Try now. */
    retry = () => {
        this.#wake?.();
    };

    /** End it for good. */
    close() {
        this.#closed = true;
        document.removeEventListener("visibilitychange", this.#looked);
        window.removeEventListener("online", this.retry);
        clearTimeout(this.#unseen);
        this.#abort.abort();
        this.#wake?.();
        this.state = "closed";
    }

    #looked = () => {
        clearTimeout(this.#unseen);
        if (document.hidden) {
            // Browsers open six connections to a server: tabs in the back must not hold them.
            this.#unseen = setTimeout(() => {
                this.#say("paused");
                this.#abort.abort();
            }, UNSEEN);
        } else if (this.state === "paused" || this.state === "away") {
            this.retry();
        }
    };

    #say(state) {
        if (this.#closed || state === this.state) return;
        this.state = state;
        this.#onState(state);
    }

    async #run() {
        while (!this.#closed) {
            const refused = await this.#once();
            if (this.#closed) return;
            if (refused) {
                this.#say("ended");
                this.close();
                return;
            }
            if (this.state === "paused") {
                await this.#pause(null);
                this.#say("connecting");
                continue;
            }
            if (this.#failures > 0) {
                const wait = WAITS[Math.min(this.#failures, WAITS.length) - 1];
                this.retryAt = Date.now() + wait;
                this.#say("away");
                await this.#pause(wait);
            } else {
                // It had been open for a while, and may have been cut for a moment's reason.
                this.#say("connecting");
                await this.#pause(250);
            }
        }
    }

    #pause(milliseconds) {
        return new Promise((resolve) => {
            const timer = milliseconds === null ? 0 : setTimeout(resolve, milliseconds);
            this.#wake = () => {
                clearTimeout(timer);
                resolve();
            };
        });
    }

    /** One stream from its start to its end; tells whether there can be no other. */
    async #once() {
        this.#abort = new AbortController();
        const { signal } = this.#abort;
        let opened = Infinity;
        this.refusal = 0;
        let silence = 0;
        const heard = () => {
            clearTimeout(silence);
            silence = setTimeout(() => this.#abort.abort(), SILENCE);
        };
        heard();
        try {
            const headers = { Accept: "text/event-stream" };
            const answer = await fetch(this.#url, { headers, signal, cache: "no-store" });
            if (!answer.ok) this.refusal = answer.status;
            if (this.#final.includes(answer.status)) return true;
            if (!answer.ok) throw new Error(`status ${answer.status}`);
            opened = Date.now();
            this.#say("live");
            const parser = new EventParser((name, data) => this.#got(name, data));
            const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
            for (;;) {
                const { done, value } = await reader.read();
                heard();
                if (done) throw new Error("the stream ended");
                parser.add(value);
            }
        } catch {
            this.#failures = Date.now() - opened > LASTING ? 0 : this.#failures + 1;
            return false;
        } finally {
            clearTimeout(silence);
        }
    }

    #got(name, data) {
        const run = this.#events[name];
        if (run === undefined || this.#closed) return;
        let parsed = null;
        try {
            parsed = data ? JSON.parse(data) : null;
        } catch {
            return;
        }
        try {
            run(parsed);
        } catch (error) {
            reportError(error); // the page's fault, and none of the stream's
        }
    }
}

/** Events from the text of a stream (HTML Standard, 9.2.6), which may come cut anywhere. */
class EventParser {
    #rest = "";
    #name = "";
    #data = [];
    #got;

    constructor(got) {
        this.#got = got;
    }

    add(text) {
        const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
        this.#rest = lines.pop();
        for (const line of lines) this.#line(line);
    }

    #line(line) {
        if (line === "") {
            if (this.#data.length > 0) this.#got(this.#name || "message", this.#data.join("\n"));
            this.#name = "";
            this.#data = [];
            return;
        }
        const [, field, value] = /^([^:]*)(?:: ?(.*))?$/s.exec(line);
        if (field === "event") this.#name = value ?? "";
        if (field === "data") this.#data.push(value ?? "");
    }
}

/**
 * The notice that the server is away, over the page.
 *
 * @returns {{element: Element, show: function(Live)}} call `show` at each new state.
 */
export function awayNotice(name = "The server") {
    const when = h("span", { class: "soft" });
    let shown = null;
    let timer = 0;
    const again = h(
        "button",
        { class: "button", type: "button", on: { click: () => shown?.retry() } },
        "Try now",
    );
    const what = h("strong", {});
    const box = h(
        "div",
        { class: "notice over bad", hidden: true },
        h("span", {}, what, " What you see may be old."),
        when,
        again,
    );
    const count = () => {
        const seconds = Math.ceil((shown.retryAt - Date.now()) / 1000);
        setText(when, seconds > 0 ? `Next try in ${seconds} s` : "Trying …");
    };
    const show = (live) => {
        shown = live;
        const away = live.state === "away";
        setText(what, live.refusal === 429 ? "Too many windows show this page." : `${name} is away.`);
        clearInterval(timer);
        if (away) {
            count();
            timer = setInterval(count, 500);
        }
        box.hidden = !away;
    };
    return { element: h("div", { role: "alert" }, box), show };
}

/** The word that says whether what is seen is live. */
export function liveState() {
    const element = h("span", { class: "state" }, "Connecting");
    const show = (live) => {
        const words = {
            live: ["state good", "Live"],
            away: ["state bad", "Away"],
            paused: ["state", "Paused"],
            ended: ["state bad", "Ended"],
        };
        const [look, word] = words[live.state] ?? ["state", "Connecting"];
        element.className = look;
        setText(element, word);
    };
    return { element, show };
}
