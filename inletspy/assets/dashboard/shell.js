/* What is around every view: the bar, where one can go, and whether the page is live. */

import { foreign, h } from "/assets/shared/dom.js";
import { awayNotice, liveState } from "/assets/shared/live.js";

const FOR_ALL = [["#/", "Tunnels"]];
const FOR_USERS = [["#/tokens", "Tokens"]];
/** Whose tokens are nobody's: the shared token makes none. */
const SHARED = "shared";
const FOR_ADMINS = [
    ["#/users", "Users"],
    ["#/names", "Names"],
    ["#/settings", "Settings"],
    ["#/health", "Health"],
];

/** The frame of the page. */
export class Shell {
    #main = h("main", { class: "page", id: "main", tabindex: "-1" });
    #state = liveState();
    #away = awayNotice();
    #links = [];

    /** @param {App} app whose page it is. */
    constructor(app) {
        const more = app.session.user === SHARED ? [] : FOR_USERS;
        const places = [...FOR_ALL, ...(app.admin ? FOR_ADMINS : more)];
        this.#links = places.map(([href, title]) => h("a", { href }, title));
        const out = () => app.signOut();
        const bar = h(
            "header",
            { class: "bar" },
            h("a", { class: "mark", href: "#/" }, "inletspy"),
            h("nav", { "aria-label": "Pages" }, this.#links),
            h(
                "div",
                { class: "end" },
                this.#state.element,
                foreign(app.session.user, { class: "one-line user", most: 64 }),
                h("button", { class: "button quiet", type: "button", on: { click: out } }, "Sign out"),
            ),
        );
        const skip = (event) => {
            event.preventDefault(); // what stands after the # is the view's
            this.#main.focus();
        };
        document.body.replaceChildren(
            h("a", { class: "skip", href: "#main", on: { click: skip } }, "To the content"),
            bar,
            this.#main,
            this.#away.element,
        );
    }

    /** Show a view's element, with the link to it as the current one. */
    show(element, current) {
        for (const link of this.#links) {
            if (link.getAttribute("href") === current) link.setAttribute("aria-current", "page");
            else link.removeAttribute("aria-current");
        }
        this.#main.replaceChildren(element);
    }

    /** Show whether the stream of events is there. */
    showState(live) {
        this.#state.show(live);
        this.#away.show(live);
    }
}
