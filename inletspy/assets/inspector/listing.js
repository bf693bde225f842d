/* The list of requests, with what searches and filters it. */

import { ApiError, call } from "../shared/api.js";
import { ask } from "../shared/dialog.js";
import { announce, h, setText } from "../shared/dom.js";
import { bytes, count } from "../shared/format.js";
import { icon } from "../shared/icons.js";
import { List } from "../shared/list.js";
import { containing, EVERYTHING, narrows, passes, queryOf } from "./requests.js";
import { row } from "./row.js";

/** Heights of a row, in pixels: on one line, or on two where there is no room for one. */
const ONE_LINE = 32;
const TWO_LINES = 52;
/** Widest list that has two lines a row, in pixels. */
const TIGHT = 480;

const STATUSES = [
    ["", "Any status"],
    ["2xx", "2xx"],
    ["3xx", "3xx"],
    ["4xx", "4xx"],
    ["5xx", "5xx"],
    ["1xx", "1xx"],
    ["failed", "Failed"],
    ["open", "No answer yet"],
];
const SLOWER = [
    [0, "Any time"],
    [100, "> 100 ms"],
    [300, "> 300 ms"],
    [1000, "> 1 s"],
    [3000, "> 3 s"],
    [10_000, "> 10 s"],
];
/** Waits before the client is asked for what contains a text: for the next letter, and
 * for the next request. In milliseconds. */
const TYPING = 250;
const COMING = 1500;
const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/** The pane with all requests. */
export class Listing {
    #requests;
    #filter = { ...EVERYTHING };
    #list;
    #controls = {};
    #methods = new Set(METHODS);
    #found = new Set();
    #searchedTo = 0;
    #due = 0;
    #counted = h("span", { class: "counted" });
    #kept = h("span", { class: "faint kept" });
    #none = h("p", { class: "none-found" });
    #reset;
    #har;
    #clear;

    element;

    /**
     * @param {Requests} requests what is listed.
     * @param {object} options `onSelect(request)`: it was selected by a key or a click;
     *     `onOpen(request)`: it was clicked, or Enter pressed.
     */
    constructor(requests, { onSelect, onOpen }) {
        this.#requests = requests;
        this.#list = new List({
            label: "Requests, the newest first",
            height: ONE_LINE,
            key: (request) => request.id,
            row,
            onSelect: (request) => request && onSelect(request),
            onOpen,
        });
        const { element } = this.#list;
        element.addEventListener("click", (event) => {
            if (event.target.closest(".item") && this.#list.selected) onOpen(this.#list.selected);
        });
        new ResizeObserver(() => this.#fit()).observe(element);
        this.#reset = button("Show all", () => this.reset(), "button quiet");
        this.#har = h("a", { class: "button quiet", download: "requests.har" }, "HAR");
        this.#har.setAttribute("href", "/api/har");
        this.#har.title = "Save what is listed as an HTTP archive";
        this.#clear = button("Clear", () => this.#askToClear(), "button quiet");
        this.element = h(
            "section",
            { class: "listing", "aria-label": "Requests" },
            this.#form(),
            columns(),
            h("div", { class: "rows" }, element, this.#none),
            h(
                "footer",
                {},
                h("span", { class: "sums" }, this.#counted, " ", this.#kept),
                this.#reset,
                this.#har,
                this.#clear,
            ),
        );
        this.refresh();
    }

    /** The requests that are listed, in order. */
    get shown() {
        return this.#list.items;
    }

    /** The request that is marked, or null. */
    get selected() {
        return this.#list.selected;
    }

    /** What is searched for. */
    get search() {
        return this.#controls.text;
    }

    /** Show the requests as they are now. */
    refresh() {
        const all = this.#requests.all;
        const filter = this.#filter;
        const shown = narrows(filter) ? all.filter(passes(filter, this.#found)) : all;
        this.#list.items = shown;
        if (filter.text && all[0]?.n !== this.#searchedTo) this.#searchSoon(COMING);
        this.#fillMethods(all);
        const some = shown.length === all.length;
        setText(
            this.#counted,
            some
                ? `${count(all.length)} ${all.length === 1 ? "request" : "requests"}`
                : `${count(shown.length)} of ${count(all.length)}`,
        );
        this.#reset.classList.toggle("gone", !narrows(this.#filter));
        this.#har.classList.toggle("gone", shown.length === 0);
        this.#clear.classList.toggle("gone", all.length === 0);
        const nothing = shown.length > 0 ? "" : all.length > 0 ? "No request is like that." : "";
        setText(this.#none, nothing);
        this.#none.hidden = !nothing;
    }

    /** Say how much memory the client uses of what it may. */
    showMemory(used, limit) {
        setText(this.#kept, limit ? `${bytes(used)} of ${bytes(limit)} kept` : "");
    }

    /** Mark a request as the one that is shown, if it is listed. */
    mark(id, { show = true } = {}) {
        const listed = this.#list.items.some((each) => each.id === id);
        this.#list.select(listed ? id : null, { tell: false, show });
    }

    /** Select the next one, or that before it. */
    step(by) {
        const { items, selected } = this.#list;
        if (items.length === 0) return;
        const at = selected ? items.indexOf(selected) : by > 0 ? -1 : items.length;
        const to = Math.min(items.length - 1, Math.max(0, at + by));
        this.#list.select(items[to].id);
    }

    /** Bring the focus to the list. */
    focus() {
        this.#list.element.focus({ preventScroll: true });
    }

    /** Take all filters away. */
    reset() {
        const { text, method, status, path, slower, pinned } = this.#controls;
        for (const control of [text, method, status, path]) control.value = "";
        slower.value = "0";
        pinned.checked = false;
        this.#changed();
        text.focus();
    }

    #form() {
        const on = { input: () => this.#changed() };
        const text = h("input", {
            class: "input",
            type: "search",
            placeholder: "Search",
            "aria-label": "Search requests",
            "aria-keyshortcuts": "/",
            autocomplete: "off",
            spellcheck: "false",
            on,
        });
        const path = h("input", {
            class: "input",
            type: "text",
            placeholder: "Path contains",
            "aria-label": "Path contains",
            autocomplete: "off",
            spellcheck: "false",
            on,
        });
        const method = select("Method", [["", "Any method"]], on);
        const status = select("Status", STATUSES, on);
        const slower = select("Slower than", SLOWER, on);
        const pinned = h("input", { type: "checkbox", on });
        this.#controls = { text, method, status, path, slower, pinned };
        return h(
            "form",
            { class: "filters", role: "search", on: { submit: (event) => event.preventDefault() } },
            h("div", { class: "search" }, icon("search"), text, h("kbd", { "aria-hidden": "true" }, "/")),
            h("label", { class: "check" }, pinned, "Pinned"),
            h("div", { class: "choices" }, method, status, slower, path),
        );
    }

    #changed() {
        const { text, method, status, path, slower, pinned } = this.#controls;
        this.#filter = {
            text: text.value.trim(),
            method: method.value,
            status: status.value,
            path: path.value.trim(),
            slower: Number(slower.value),
            pinned: pinned.checked,
        };
        this.#har.setAttribute("href", `/api/har?${queryOf(this.#filter)}`);
        this.#found = new Set();
        clearTimeout(this.#due);
        this.#due = 0;
        if (this.#filter.text) this.#searchSoon(TYPING);
        this.refresh();
        announce(`${count(this.#list.items.length)} requests listed`);
    }

    #searchSoon(wait) {
        this.#due ||= setTimeout(() => this.#searchDeep(), wait);
    }

    /** Find what has the text in a head or a body. */
    async #searchDeep() {
        const { text } = this.#filter;
        this.#searchedTo = this.#requests.all[0]?.n;
        try {
            const found = await containing(text);
            if (text !== this.#filter.text) return;
            this.#found = found;
        } catch (problem) {
            if (!(problem instanceof ApiError)) throw problem;
            // What the page knows by itself is found still.
        }
        this.#due = 0;
        this.refresh();
    }

    /** The methods that there are, the common ones first. */
    #fillMethods(all) {
        const { method } = this.#controls;
        for (const each of all) {
            if (this.#methods.size >= 30) break;
            if (each.method.length <= 20) this.#methods.add(each.method);
        }
        if (method.options.length === this.#methods.size + 1) return;
        const chosen = method.value;
        method.replaceChildren(
            option("", "Any method"),
            ...[...this.#methods].map((name) => option(name, name)),
        );
        method.value = chosen;
    }

    #fit() {
        const { clientWidth, offsetWidth } = this.#list.element;
        // The headings stand over their columns, whether there is a scroll bar or not.
        this.element.style.setProperty("--scrollbar", `${offsetWidth - clientWidth}px`);
        const tight = clientWidth < TIGHT;
        this.element.classList.toggle("tight", tight);
        this.#list.height = tight ? TWO_LINES : ONE_LINE;
    }

    #askToClear() {
        ask({
            title: "Clear the list?",
            text: "All requests are forgotten, but those that are pinned.",
            action: "Clear",
            run: async () => {
                await call("DELETE", "/api/requests");
                await this.#requests.load();
            },
        });
    }
}

function columns() {
    const names = ["Status", "Method", "Path", "", "Duration", "Size", "Time"];
    const classes = ["status", "method", "path", "marks", "duration", "size", "time"];
    const cells = names.map((name, place) => h("span", { class: classes[place] }, name));
    return h("div", { class: "request columns", "aria-hidden": "true" }, cells);
}

function option(value, text) {
    return h("option", { value }, text);
}

function select(label, options, on) {
    const items = options.map(([value, text]) => option(value, text));
    return h("select", { class: "input", "aria-label": label, on }, items);
}

function button(text, click, look) {
    return h("button", { class: look, type: "button", on: { click } }, text);
}
