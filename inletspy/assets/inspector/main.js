/* The inspector: signs in with the token of its link, keeps the list and the details in
 * step with the client, and gives the keys their meaning.
 */

import { ApiError, call } from "../shared/api.js";
import { h } from "../shared/dom.js";
import { awayNotice, Live, liveState } from "../shared/live.js";
import { bar } from "./bar.js";
import { Detail } from "./detail.js";
import { keysAct, showHelp } from "./help.js";
import { Listing } from "./listing.js";
import { Requests } from "./requests.js";
import { nothingYet, noneChosen, signIn, signInPage, tokenIn } from "./start.js";

/** Widths at which list and details take turns. */
const NARROW = matchMedia("(max-width: 55rem)");

/** The page for those who have a session. */
class Inspector {
    #requests = new Requests();
    #listing;
    #detail;
    #bar;
    #live = null;
    #watched = null;
    #state = liveState();
    #away = awayNotice("The tunnel’s client");
    #ended = endedNotice();
    #panes;
    #services = [];
    #instead = "";

    constructor() {
        this.#bar = bar(this.#state.element, showHelp);
        this.#listing = new Listing(this.#requests, {
            onSelect: (request) => NARROW.matches || this.#open(request.id),
            onOpen: (request) => this.#open(request.id, { focus: true, enter: true }),
        });
        this.#detail = new Detail(this.#requests, {
            onReplayed: (id) => this.#open(id, { tab: "compare", enter: true }),
            onBack: () => this.#back(),
            onShow: (id, options) => this.#open(id, options),
            onWatch: (id) => this.#watch(id),
        });
        this.#panes = h("main", { class: "panes" }, this.#listing.element, this.#detail.element);
        this.#requests.onChange = () => this.#changed();
        document.body.replaceChildren(
            this.#bar.element,
            this.#panes,
            this.#away.element,
            h("div", { role: "alert" }, this.#ended),
        );
        document.addEventListener("keydown", (event) => this.#pressed(event));
        window.addEventListener("popstate", () => this.#route());
        this.#route();
        this.#connect();
    }

    /** Show what the address names. */
    #route() {
        const [, id, tab] = /^#\/([^/]+)(?:\/(\w+))?$/.exec(location.hash) ?? [];
        this.#panes.classList.toggle("showing", Boolean(id));
        if (id) {
            this.#detail.show(decodeURIComponent(id), { tab });
            this.#listing.mark(decodeURIComponent(id));
        } else {
            this.#showNothing();
        }
    }

    /** Show a request. `enter`: so that "back" leads to the list where that takes turns. */
    #open(id, { tab, focus = false, enter = false, same = false } = {}) {
        const address = `#/${encodeURIComponent(id)}${tab ? `/${tab}` : ""}`;
        const isNew = enter && NARROW.matches && !this.#panes.classList.contains("showing");
        history[isNew ? "pushState" : "replaceState"](isNew ? { inList: true } : history.state, "", address);
        if (same) return;
        this.#panes.classList.add("showing");
        this.#detail.show(id, { tab });
        this.#listing.mark(id);
        if (focus && NARROW.matches) this.#detail.focus();
    }

    #back() {
        if (!this.#detail.id) return;
        if (NARROW.matches) {
            if (history.state?.inList) history.back();
            else {
                history.replaceState(null, "", location.pathname);
                this.#route();
            }
        }
        this.#listing.focus();
    }

    #showNothing() {
        const { complete, all } = this.#requests;
        const isEmpty = complete && all.length === 0;
        this.#panes.classList.toggle("without", isEmpty);
        const what = isEmpty ? JSON.stringify(this.#services) : String(complete);
        // What is there already stays: somebody may have the focus in it.
        if (what === this.#instead && this.#detail.id === null) return;
        this.#instead = what;
        const node = isEmpty ? nothingYet(this.#services) : complete ? noneChosen() : h("div", {});
        this.#detail.showInstead(node);
    }

    #changed() {
        this.#listing.refresh();
        const { id } = this.#detail;
        if (id) {
            this.#panes.classList.remove("without");
            this.#detail.refresh();
            if (this.#listing.shown.some((each) => each.id === id)) {
                this.#listing.mark(id, { show: false });
            }
        } else {
            this.#showNothing();
        }
    }

    /** Open the stream of events; at each begin of it everything is loaded anew. */
    #connect() {
        this.#live?.close();
        const query = this.#watched ? `?request=${encodeURIComponent(this.#watched)}` : "";
        const events = {
            hello: (data) => this.#hello(data),
            requests: (data) => this.#requests.update(data.requests),
            messages: (data) => this.#detail.takeMessages(data),
        };
        // 404: the request whose messages are wanted is kept no more.
        this.#live = new Live(`/api/events${query}`, events, () => this.#tell(), [401, 404]);
    }

    #tell() {
        const { state, refusal } = this.#live;
        if (state === "ended" && refusal === 404) {
            this.#watched = null;
            this.#connect();
            return;
        }
        this.#state.show(this.#live);
        this.#away.show(this.#live);
        this.#ended.hidden = state !== "ended";
    }

    /** Messages of one request only come by the stream when it is asked for them. */
    #watch(id) {
        if (id === this.#watched) return;
        this.#watched = id;
        if (this.#live) this.#connect();
    }

    #hello({ services }) {
        if (services) this.#showServices(services);
        this.#reload();
    }

    async #reload() {
        try {
            await Promise.all([this.#requests.load(), this.#loadServices()]);
            this.#detail.reload();
        } catch (problem) {
            if (!(problem instanceof ApiError)) throw problem;
            // The stream says that the client is away, and tries again.
        }
    }

    async #loadServices() {
        const about = await call("GET", "/api/services");
        this.#showServices(about.services);
        this.#listing.showMemory(about.memory_used, about.memory_limit);
    }

    #showServices(services) {
        this.#services = services;
        this.#bar.show(services);
    }

    #pressed(event) {
        if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
        if (document.querySelector("dialog[open]")) return;
        const { target, key } = event;
        const isTyping = target.closest?.("input:not([type=checkbox]), textarea, select");
        if (key === "Escape") {
            if (isTyping) this.#listing.focus();
            else this.#back();
            return;
        }
        if (isTyping || (key !== "?" && !keysAct())) return;
        const run = this.#keys[key];
        if (!run) return;
        event.preventDefault();
        run();
    }

    #keys = {
        j: () => this.#step(1),
        k: () => this.#step(-1),
        "/": () => {
            if (NARROW.matches && this.#panes.classList.contains("showing")) this.#back();
            this.#listing.search.focus();
            this.#listing.search.select();
        },
        "?": showHelp,
        r: () => this.#detail.replay(),
        e: () => this.#detail.edit(),
        c: () => this.#detail.copyCurl(),
        p: () => this.#detail.pin(),
        1: () => this.#detail.chooseTabAt(0),
        2: () => this.#detail.chooseTabAt(1),
        3: () => this.#detail.chooseTabAt(2),
        4: () => this.#detail.chooseTabAt(3),
    };

    #step(by) {
        this.#listing.step(by);
        const selected = this.#listing.selected;
        if (NARROW.matches && this.#panes.classList.contains("showing") && selected) this.#open(selected.id);
    }
}

/** Says that this tunnel is no more, over what can be read still. */
function endedNotice() {
    const click = () => showSignIn();
    return h(
        "div",
        { class: "notice over bad", hidden: true },
        h(
            "span",
            {},
            h("strong", {}, "This tunnel has ended."),
            " Another one runs here by now: open the link that it shows.",
        ),
        h("button", { class: "button", type: "button", on: { click } }, "Sign in"),
    );
}

function showSignIn(problem = "") {
    document.body.replaceChildren(signInPage(() => location.reload(), problem));
}

/** Sign in by the link's token, which is gone from the address before anything else is. */
async function start() {
    const token = location.hash.includes("token=") ? tokenIn(location.hash) : null;
    if (token !== null) history.replaceState(null, "", location.pathname);
    try {
        if (token !== null) await signIn(token);
        await call("GET", "/api/services");
    } catch (problem) {
        if (!(problem instanceof ApiError)) throw problem;
        showSignIn(problem.status === 401 && token === null ? "" : problem.message);
        return;
    }
    new Inspector();
}

// A link that is opened in the tab that has the page already changes the fragment only.
window.addEventListener("hashchange", () => {
    if (location.hash.includes("token=")) location.reload();
});

start();
