/* The details of one request: its head, and tabs for what was asked, answered and sent
 * since, and for what differs from another.
 */

import { ApiError, call } from "../shared/api.js";
import { copy } from "../shared/copy.js";
import { announce, h, setText } from "../shared/dom.js";
import { tabs } from "../shared/tabs.js";
import { comparison } from "./compare.js";
import { editAndReplay } from "./edit.js";
import { head } from "./head.js";
import { Messages } from "./messages.js";
import { sidePanel } from "./side.js";

/** Details kept, for going back to them and for when the client is gone. */
const KEPT = 20;
/** Least time between two loads of the same request, in milliseconds. */
const PAUSE = 700;

/** The pane with the details of the request that is chosen. */
export class Detail {
    #requests;
    #onReplayed;
    #onBack;
    #onShow;
    #onWatch;
    #kept = new Map();
    #request = null;
    #details = null;
    #head = null;
    #tabs = null;
    #tabNames = "";
    #panels = {};
    #messages = null;
    #partner = null;
    #compared = "response";
    #problem = h("p", { class: "notice bad", role: "alert", hidden: true });
    #last = { http: "request", stream: "messages" };
    #loading = false;
    #again = 0;

    element = h("section", { class: "detail", "aria-label": "Request" });
    /** The id of what is shown, or null. */
    id = null;
    /** The name of the tab that is open. */
    tab = "request";

    /**
     * @param {Requests} requests all that are known.
     * @param {object} options `onReplayed(id)`: it was sent again, as that one; `onBack()`;
     *     `onShow(id)`: another one is to be shown; `onWatch(id)`: its messages are wanted
     *     from now on, or nobody's (null).
     */
    constructor(requests, { onReplayed, onBack, onShow, onWatch }) {
        this.#requests = requests;
        this.#onReplayed = onReplayed;
        this.#onBack = onBack;
        this.#onShow = onShow;
        this.#onWatch = onWatch;
        setInterval(() => this.#head?.tick(), 1000);
    }

    /** Show nothing but this node. */
    showInstead(node) {
        this.id = this.#request = this.#details = this.#head = this.#tabs = null;
        this.element.replaceChildren(node);
        this.#onWatch(null);
    }

    /** Show a request, with a tab of it if one is named. */
    show(id, { tab } = {}) {
        if (id === this.id) {
            if (tab) this.chooseTab(tab);
            return;
        }
        this.id = id;
        this.#details = this.#kept.get(id) ?? null;
        this.#request = this.#requests.get(id) ?? this.#details;
        this.#head = this.#tabs = this.#partner = this.#messages = null;
        this.#tabNames = "";
        this.#compared = "response";
        this.#problem.hidden = true;
        clearTimeout(this.#again);
        this.#again = 0;
        if (tab) this.tab = tab;
        else this.tab = this.#last[this.#isStream() ? "stream" : "http"];
        this.element.scrollTop = 0;
        this.#draw();
        this.#onWatch(this.#isStream() ? id : null);
        this.#load();
    }

    /** The summaries changed. */
    refresh() {
        const now = this.id && this.#requests.get(this.id);
        if (!now) return;
        const before = this.#request;
        if (now !== before) {
            const wasStream = this.#isStream();
            this.#request = now;
            if (this.#isStream() && !wasStream) {
                // Only its answer tells what it is.
                this.tab = this.#last.stream;
                this.#onWatch(this.id);
            }
            if (this.#head) this.#head.update(now);
            const differs = (name) => before?.[name] !== now[name];
            // The messages of a stream come by themselves.
            const matters = this.#isStream()
                ? ["state", "status"]
                : ["state", "status", "request_bytes", "response_bytes"];
            if (!before || matters.some(differs)) this.#load();
        }
        this.#draw();
    }

    /** Load what is shown once more: the client was away. */
    reload() {
        if (this.id) this.#load();
    }

    /** Take in messages that came by the stream of events. */
    takeMessages({ request, messages }) {
        if (request !== this.id) return;
        this.#messageList().add(messages);
        this.#nameMessages();
    }

    /** Open a tab by its name, if there is one. */
    chooseTab(name) {
        if (this.#tabs && this.#tabNames.split(" ").includes(name)) this.#tabs.choose(name);
    }

    /** Open a tab by its place, from 0. */
    chooseTabAt(place) {
        const name = this.#tabNames.split(" ")[place];
        if (name) this.chooseTab(name);
    }

    /** Bring the focus to the head, for reading from there. */
    focus() {
        this.element.querySelector("h2")?.focus({ preventScroll: true });
    }

    /** Send it again as it was. */
    async replay() {
        if (!this.id || this.#request?.kind === "websocket") return;
        await this.#tried(() => this.#send(this.id, {}));
    }

    /** Open the form to send it again with changes. */
    async edit() {
        if (!this.id || this.#request?.kind === "websocket") return;
        await this.#tried(async () => {
            const id = this.id;
            editAndReplay(await this.#fetch(id), {
                send: (content) => this.#send(id, content),
                reveal: (place) => this.#reveal(id, "request", place),
            });
        });
    }

    /** Pin it, or let it go again. */
    async pin() {
        const { id } = this;
        if (!id) return;
        await this.#tried(async () => {
            const method = this.#request.pinned ? "DELETE" : "POST";
            await call(method, `${address(id)}/pin`);
            const pinned = method === "POST";
            // Meanwhile another one may be shown, and this one be gone.
            const known = this.#requests.get(id);
            if (known) this.#requests.update([{ ...known, pinned }]);
            announce(pinned ? "Pinned" : "No longer pinned");
        });
    }

    /** Put it on the clipboard as a curl command. */
    async copyCurl() {
        if (!this.id) return;
        await this.#tried(async () => {
            announce((await copy(await this.#curl())) ? "Copied as curl" : "It could not be copied");
        });
    }

    /** The command with the fields that are masked here: without them it would not work. */
    #curl = async () => (await this.#fetch(this.id, true)).curl;

    async #reveal(id, side, place) {
        const details = await this.#fetch(id, true);
        return details[side].headers[place][1];
    }

    async #send(id, content) {
        this.#head?.busy(true);
        try {
            const { id: made } = await call("POST", `${address(id)}/replay`, content);
            this.#onReplayed(made);
        } finally {
            this.#head?.busy(false);
        }
    }

    async #tried(run) {
        this.#problem.hidden = true;
        try {
            await run();
        } catch (problem) {
            if (!(problem instanceof ApiError)) throw problem;
            this.#tell(problem);
        }
    }

    #tell(problem) {
        this.#problem.textContent = problem.message;
        this.#problem.hidden = false;
    }

    #isStream() {
        return ["websocket", "sse"].includes(this.#request?.kind);
    }

    async #fetch(id, reveal = false) {
        const details = await call("GET", `${address(id)}${reveal ? "?reveal=true" : ""}`);
        if (!reveal) {
            this.#kept.delete(id);
            this.#kept.set(id, details);
            if (this.#kept.size > KEPT) this.#kept.delete(this.#kept.keys().next().value);
        }
        return details;
    }

    async #load() {
        // One at a time, and not more often than one can see.
        if (this.#loading || this.#again) {
            this.#again ||= setTimeout(() => this.#loadAgain(), PAUSE);
            return;
        }
        const { id } = this;
        this.#loading = true;
        try {
            const details = await this.#fetch(id);
            if (id !== this.id) return;
            this.#details = details;
            if (!this.#requests.get(id)) this.#request = details;
            this.#draw();
        } catch (problem) {
            if (!(problem instanceof ApiError)) throw problem;
            if (id === this.id && !this.#details) this.#lost(problem);
        } finally {
            this.#loading = false;
            if (id !== this.id && this.id) this.#load();
        }
    }

    #loadAgain() {
        this.#again = 0;
        if (this.id) this.#load();
    }

    #lost(problem) {
        const gone = problem.status === 404;
        const text = gone ? "This request is not kept any more." : problem.message;
        if (this.#head) this.#tell({ message: text });
        else this.element.replaceChildren(h("div", { class: "empty" }, h("p", {}, text)));
    }

    #draw() {
        if (!this.#request) return;
        if (!this.#head) {
            this.#head = head(this.#request, {
                replay: () => this.replay(),
                edit: () => this.edit(),
                pin: () => this.pin(),
                curl: this.#curl,
                back: this.#onBack,
                original: () => this.#onShow(this.#request.replay_of),
            });
            this.element.replaceChildren(this.#head.element, this.#problem);
        }
        if (!this.#details) return;
        if (this.#details.messages) {
            this.#messageList().add(this.#details.messages);
            this.#messageList().note(this.#details.messages_note);
        }
        this.#drawTabs();
        for (const panel of Object.values(this.#panels)) panel.update();
    }

    #drawTabs() {
        const names = ["request", "response"];
        if (this.#isStream()) names.push("messages");
        if (this.#partners().length > 0) names.push("compare");
        if (this.#tabs && names.join(" ") === this.#tabNames) return;
        this.#tabNames = names.join(" ");
        const chosen = names.includes(this.tab) ? this.tab : names[0];
        this.tab = chosen;
        this.#panels = {};
        const made = {
            request: () => this.#sidePanel("request"),
            response: () => this.#sidePanel("response"),
            messages: () => this.#messageList().element,
            compare: () => this.#comparePanel(),
        };
        this.messagesTitle = h("span", {}, "Messages");
        const titles = {
            request: "Request",
            response: "Response",
            messages: this.messagesTitle,
            compare: "Compare",
        };
        const old = this.#tabs?.element;
        this.#tabs = tabs(
            "Parts of the request",
            names.map((name) => ({ name, title: titles[name], content: made[name] })),
            { chosen, onChoose: (name) => this.#chose(name) },
        );
        if (old) old.replaceWith(this.#tabs.element);
        else this.element.append(this.#tabs.element);
        this.#nameMessages();
    }

    #chose(name) {
        this.tab = name;
        if (name !== "compare") this.#last[this.#isStream() ? "stream" : "http"] = name;
        this.#onShow(this.id, { tab: name, same: true });
    }

    #nameMessages() {
        const size = this.#messages?.size ?? 0;
        if (this.messagesTitle) setText(this.messagesTitle, size ? `Messages ${size}` : "Messages");
    }

    #messageList() {
        this.#messages ??= new Messages();
        return this.#messages;
    }

    #sidePanel(name) {
        const place = h("div", {});
        let drawn = null;
        const update = () => {
            const side = this.#details[name];
            const { state, failure } = this.#request;
            const { text, base64, ...body } = side?.body ?? {};
            const { unreadable } = this.#details;
            const now = JSON.stringify([{ ...side, body }, state === "open", failure?.title, unreadable]);
            if (now === drawn) return;
            drawn = now;
            const { id } = this;
            place.replaceChildren(
                sidePanel(name, side, {
                    id,
                    unreadable,
                    reveal: (which, at) => this.#reveal(id, which, at),
                    missing: state === "open" ? "No answer yet." : "There was no answer.",
                }),
            );
        };
        this.#panels[name] = { update };
        update();
        return place;
    }

    /** What it can be compared with: what it was made from, and what was made from it. */
    #partners() {
        const { id, replay_of: original } = this.#request;
        const family = original ? [original, ...this.#requests.replaysOf(original).map((each) => each.id)] : [];
        const own = this.#requests.replaysOf(id).map((each) => each.id);
        return [...new Set([...family, ...own.reverse()])].filter((each) => each !== id);
    }

    #comparePanel() {
        const place = h("div", {});
        let drawn = null;
        const update = async () => {
            const partners = this.#partners();
            const partner = partners.includes(this.#partner) ? this.#partner : partners[0];
            const theirs = this.#requests.get(partner);
            const states = [this.#details.state, this.#details.response_bytes, theirs?.state, theirs?.response_bytes];
            const now = JSON.stringify([partner, partners, this.#compared, states]);
            if (now === drawn) return;
            drawn = now;
            const { id } = this;
            try {
                const kept = this.#kept.get(partner);
                const other = kept && kept.state !== "open" ? kept : await this.#fetch(partner);
                if (id !== this.id || now !== drawn) return;
                const pair = [this.#details, other].sort((a, b) => a.n - b.n);
                place.replaceChildren(
                    partners.length > 1 ? this.#partnerChoice(partners, partner, update) : "",
                    comparison(...pair, {
                        side: this.#compared,
                        onSide: (side) => {
                            this.#compared = side;
                            update();
                        },
                    }),
                );
            } catch (problem) {
                if (!(problem instanceof ApiError)) throw problem;
                const text = problem.status === 404 ? "The original is not kept any more." : problem.message;
                place.replaceChildren(h("p", { class: "faint nothing" }, text));
            }
        };
        this.#panels.compare = { update };
        update();
        return place;
    }

    #partnerChoice(partners, chosen, update) {
        const named = (id) => {
            const request = this.#requests.get(id);
            const what = id === this.#request.replay_of ? "the original" : "replay";
            return request ? `#${request.n}, ${what}` : what;
        };
        const options = partners.map((id) => h("option", { value: id }, named(id)));
        const change = (event) => {
            this.#partner = event.target.value;
            update();
        };
        const choice = h("select", { class: "input", on: { change } }, options);
        choice.value = chosen;
        return h("label", { class: "row with" }, "Compare with", choice);
    }
}

function address(id) {
    return `/api/requests/${encodeURIComponent(id)}`;
}
