/* The messages of a WebSocket, or the events of a stream, in order and as they come. */

import { h, setText } from "../shared/dom.js";
import { bytes, count, cut, visible } from "../shared/format.js";
import { List } from "../shared/list.js";
import { bodyView } from "./body.js";
import { fromBase64 } from "./hex.js";

const HEIGHT = 28;
const LONGEST = 300;
/** Messages that are kept, and characters in them: the newest. */
const MOST = 5000;
const MOST_TEXT = 16 << 20;
/** How near to the end of the list counts as being there, in pixels. */
const AT_END = 4;

/** The panel with the messages of one request. */
export class Messages {
    #all = [];
    #known = new Set();
    #length = 0;
    #dropped = 0;
    #list;
    #sum = h("span", { class: "faint" });
    #chosen = h("div", { class: "chosen" });
    #note = h("p", { class: "notice warn", hidden: true });
    #from = "";
    #shown = null;

    element;

    constructor() {
        this.#list = new List({
            label: "Messages, in order",
            height: HEIGHT,
            key: (message) => message.n,
            row,
            onSelect: (message) => this.#show(message),
        });
        const choices = [
            ["", "All"],
            ["visitor", "From visitor"],
            ["upstream", "From service"],
        ].map(([from, text]) => {
            const click = () => {
                this.#from = from;
                for (const each of choices) each.setAttribute("aria-pressed", each === button);
                this.#draw();
            };
            const properties = { type: "button", "aria-pressed": String(from === ""), on: { click } };
            const button = h("button", properties, text);
            return button;
        });
        this.element = h(
            "div",
            { class: "messages" },
            h(
                "div",
                { class: "row" },
                h("span", { class: "choice", role: "group", "aria-label": "Messages shown" }, choices),
                this.#sum,
            ),
            this.#note,
            this.#list.element,
            this.#chosen,
        );
        this.#draw();
    }

    /** Take in messages; those that are known stay. */
    add(messages) {
        const fresh = messages.filter(({ n }) => n > this.#dropped && !this.#known.has(n));
        if (fresh.length === 0) return;
        for (const message of fresh) {
            this.#known.add(message.n);
            this.#length += lengthOf(message);
        }
        this.#all = [...this.#all, ...fresh].sort((a, b) => a.n - b.n);
        this.#forget();
        this.#draw();
    }

    /** A page that is open for days must not have all that came in meanwhile. */
    #forget() {
        const all = this.#all;
        let end = 0;
        while (all.length - end > MOST || (this.#length > MOST_TEXT && end < all.length - 1)) {
            this.#dropped = all[end].n;
            this.#known.delete(this.#dropped);
            this.#length -= lengthOf(all[end]);
            end += 1;
        }
        if (end > 0) this.#all = all.slice(end);
    }

    /** Say what could not be read of them, if anything. */
    note(text) {
        setText(this.#note, text ? visible(cut(text, 400)) : "");
        this.#note.hidden = !text;
    }

    /** How many there are. */
    get size() {
        return this.#all.length;
    }

    #draw() {
        const { element } = this.#list;
        const rest = element.scrollHeight - element.scrollTop - element.clientHeight;
        const shown = this.#from ? this.#all.filter(({ from }) => from === this.#from) : this.#all;
        this.#list.items = shown;
        // Who is at the end stays there; who reads further up keeps the place.
        if (rest <= AT_END) element.scrollTop = element.scrollHeight;
        const text = shown.length === this.#all.length ? "" : `${count(shown.length)} of `;
        const sum = `${text}${count(this.#all.length)} ${this.#all.length === 1 ? "message" : "messages"}`;
        setText(this.#sum, this.#all.length ? sum : "No messages yet");
        element.classList.toggle("without", shown.length === 0);
    }

    #show(message) {
        if (message === this.#shown) return;
        this.#shown = message;
        if (message === null) {
            this.#chosen.replaceChildren();
            return;
        }
        const isJson = message.type !== "binary" && /^\s*[[{"]/.test(message.text ?? "");
        const type = message.size === 0 ? "empty" : isJson ? "json" : "text";
        const kept = message.captured ?? keptOf(message);
        const body = { ...message, captured: kept, type: message.base64 ? "binary" : type };
        const about = [message.event && `event ${message.event}`, message.id && `id ${message.id}`];
        about.push(message.code && `code ${message.code}`, message.note);
        const contentType = about.filter(Boolean).join(" · ");
        this.#chosen.replaceChildren(bodyView(body, { title: `Message ${message.n}`, contentType }));
    }
}

function lengthOf({ text, base64 }) {
    return (text ?? base64 ?? "").length;
}

function keptOf({ text, base64 }) {
    if (base64) return Math.floor((base64.length * 3) / 4);
    return new TextEncoder().encode(text ?? "").length;
}

function inHex(base64) {
    const start = fromBase64(base64.slice(0, 64));
    return [...start].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

function row() {
    const way = h("span", { class: "way", "aria-hidden": "true" });
    const said = h("span", { class: "unseen" });
    const time = h("span", { class: "time faint" });
    const type = h("span", { class: "type faint" });
    const text = h("span", { class: "text mono foreign" });
    const size = h("span", { class: "size faint" });
    const element = h("div", { class: "message" }, way, said, time, type, text, size);
    const update = (message) => {
        const isUp = message.from === "visitor";
        element.dataset.from = message.from;
        setText(way, isUp ? "↑" : "↓");
        setText(said, isUp ? "from the visitor" : "from the service");
        setText(time, `+${(message.time_ms / 1000).toFixed(3)} s`);
        const kind = message.event ?? (message.type === "text" || message.type === "event" ? "" : message.type);
        setText(type, visible(cut(kind, 20)));
        setText(text, message.base64 ? inHex(message.base64) : visible(cut(message.text ?? "", LONGEST)));
        setText(size, bytes(message.size));
    };
    return { element, update };
}
