/* A list of any length of which only the rows in sight exist, for eye and keyboard.
 *
 * All rows have one height. What is selected stays selected, and what is read stays in
 * its place, when rows come at the top.
 */

import { h, newId } from "./dom.js";

/** Rows above and below those in sight that exist as well. */
const BEYOND = 8;

/** A list box (ARIA) over any number of items. */
export class List {
    #height;
    #key;
    #row;
    #onSelect;
    #onOpen;
    #all;
    #rows = new Map();
    #items = [];
    #places = new Map();
    #selected = null;
    #due = 0;
    #id = newId("list");

    /** The element, which is to be given a height. */
    element;

    /**
     * @param {object} options
     *     `label`: what is in the list, for those who listen;
     *     `height`: of a row, in pixels;
     *     `key(item)`: a text or number that is the item's own;
     *     `row(item)`: {element, update(item)}; `update` is called at once as well;
     *     `onSelect(item)`: the selection came to another item, or to null;
     *     `onOpen(item)`: Enter, or a double click.
     */
    constructor({ label, height, key, row, onSelect = () => {}, onOpen = () => {} }) {
        this.#height = height;
        this.#key = key;
        this.#row = row;
        this.#onSelect = onSelect;
        this.#onOpen = onOpen;
        this.#all = h("div", { class: "all", role: "presentation" });
        this.element = h(
            "div",
            {
                class: "list",
                role: "listbox",
                tabindex: "0",
                "aria-label": label,
                on: {
                    scroll: () => this.#later(),
                    keydown: (event) => this.#pressed(event),
                    click: (event) => this.#clicked(event),
                    dblclick: () => this.#selected !== null && this.#onOpen(this.selected),
                },
            },
            this.#all,
        );
        new ResizeObserver(() => this.#later()).observe(this.element);
    }

    /** The items, in order. */
    get items() {
        return this.#items;
    }

    /** Give all rows another height, in pixels; what is read stays in sight. */
    set height(height) {
        if (height === this.#height) return;
        const first = this.element.scrollTop / this.#height;
        this.#height = height;
        this.#all.style.height = `${this.#items.length * height}px`;
        this.element.scrollTop = first * height;
        for (const row of this.#rows.values()) row.element.style.height = `${height}px`;
        this.#draw();
    }

    /** The item that is selected, or null. */
    get selected() {
        const place = this.#places.get(this.#selected);
        return place === undefined ? null : this.#items[place];
    }

    /**
     * Show these items from now on. One that is another object than before under the
     * same key counts as changed.
     */
    set items(items) {
        const top = this.element.scrollTop;
        const first = this.#items[Math.floor(top / this.#height)];
        const offset = top % this.#height;
        this.#items = items;
        this.#places = new Map(items.map((item, place) => [this.#key(item), place]));
        this.#all.style.height = `${items.length * this.#height}px`;
        // Who reads further down keeps the place; who is at the top sees what is new.
        if (top > 0 && first !== undefined) {
            const place = this.#places.get(this.#key(first));
            if (place !== undefined) this.element.scrollTop = place * this.#height + offset;
        }
        if (this.#selected !== null && !this.#places.has(this.#selected)) this.select(null);
        this.#draw();
    }

    /**
     * Select an item by its key (null for none).
     *
     * @param {object} options `tell`: whether `onSelect` is called; `show`: scroll to it.
     */
    select(key, { tell = true, show = true } = {}) {
        const changed = key !== this.#selected;
        this.#selected = key;
        const place = this.#places.get(key);
        if (show && place !== undefined) this.#show(place);
        this.#draw();
        if (changed && tell) this.#onSelect(this.selected);
    }

    #show(place) {
        const { scrollTop, clientHeight } = this.element;
        const top = place * this.#height;
        if (top < scrollTop) this.element.scrollTop = top;
        else if (top + this.#height > scrollTop + clientHeight) {
            this.element.scrollTop = top + this.#height - clientHeight;
        }
    }

    #later() {
        this.#due ||= requestAnimationFrame(() => this.#draw());
    }

    #draw() {
        cancelAnimationFrame(this.#due);
        this.#due = 0;
        const { scrollTop, clientHeight } = this.element;
        const start = Math.max(0, Math.floor(scrollTop / this.#height) - BEYOND);
        const most = Math.ceil((scrollTop + clientHeight) / this.#height) + BEYOND;
        const end = Math.min(this.#items.length, most);
        const kept = new Set();
        for (let place = start; place < end; place += 1) {
            kept.add(this.#key(this.#items[place]));
        }
        if (this.#places.has(this.#selected)) kept.add(this.#selected); // aria-activedescendant
        for (const [key, row] of this.#rows) {
            if (!kept.has(key)) {
                row.element.remove();
                this.#rows.delete(key);
            }
        }
        for (const key of kept) this.#place(key, this.#places.get(key));
        const active = this.#rows.get(this.#selected)?.element.id;
        if (active) this.element.setAttribute("aria-activedescendant", active);
        else this.element.removeAttribute("aria-activedescendant");
    }

    #place(key, place) {
        const item = this.#items[place];
        let row = this.#rows.get(key);
        if (row === undefined) {
            row = this.#row(item);
            const { element } = row;
            element.classList.add("item");
            element.setAttribute("role", "option");
            element.id = `${this.#id}-${key}`;
            element.style.height = `${this.#height}px`;
            element.dataset.key = key;
            this.#rows.set(key, row);
            this.#all.append(element);
        }
        if (row.item !== item) {
            row.item = item;
            row.update(item);
        }
        const { element } = row;
        element.style.transform = `translateY(${place * this.#height}px)`;
        element.setAttribute("aria-posinset", place + 1);
        element.setAttribute("aria-setsize", this.#items.length);
        element.setAttribute("aria-selected", key === this.#selected);
    }

    #clicked(event) {
        const key = event.target.closest?.(".item")?.dataset.key;
        // Keys may be numbers; a dataset has texts.
        const item = this.#items.find((each) => String(this.#key(each)) === key);
        if (item !== undefined) this.select(this.#key(item), { show: false });
    }

    #pressed(event) {
        if (event.ctrlKey || event.metaKey || event.altKey || this.#items.length === 0) return;
        const page = Math.max(1, Math.floor(this.element.clientHeight / this.#height) - 1);
        const last = this.#items.length - 1;
        const at = this.#places.get(this.#selected);
        const from = at ?? -1;
        const to = {
            ArrowDown: from + 1,
            ArrowUp: at === undefined ? last : from - 1,
            PageDown: from + page,
            PageUp: from - page,
            Home: 0,
            End: last,
        }[event.key];
        if (to !== undefined) {
            event.preventDefault();
            this.select(this.#key(this.#items[Math.min(last, Math.max(0, to))]));
        } else if (event.key === "Enter" && at !== undefined) {
            event.preventDefault();
            this.#onOpen(this.selected);
        }
    }
}
