/* A body or message by its type: JSON as a tree, text, form, image, bytes. Nothing of it is
 * ever run or laid out as a page.
 */

import { copyButton } from "../shared/copy.js";
import { foreign, h } from "../shared/dom.js";
import { bytes, count, cut, visible } from "../shared/format.js";
import { icon } from "../shared/icons.js";
import { fields } from "./fields.js";
import { fromBase64, hex } from "./hex.js";
import { parseJson } from "./json.js";
import { tree } from "./tree.js";

/** Characters of a text that are shown at first, and lines. */
const FIRST_CHARACTERS = 20_000;
const FIRST_LINES = 200;
/** JSON longer than this is shown as text at first: a tree of it takes a while. */
const LONGEST_TREE = 4_000_000;

/**
 * A body, with the ways there are to look at it.
 *
 * @param {object} body {size, captured, cut, type, text or base64, content_encoding, decoded}.
 * @param {object} options `title`; `contentType`; `form`: pairs; `source`: the address that
 *     serves it, for images and for saving.
 */
export function bodyView(body, { title = "Body", contentType = "", form = [], source } = {}) {
    const views = viewsOf(body, { contentType, form, source });
    const place = h("div", { class: "body-view" });
    const tools = h("span", { class: "row tools" });
    const buttons = views.map(({ name }) =>
        h("button", { type: "button", on: { click: () => choose(name) } }, name),
    );
    const made = new Map();
    const choose = (name) => {
        buttons.forEach((each) => each.setAttribute("aria-pressed", each.textContent === name));
        if (!made.has(name)) made.set(name, views.find((view) => view.name === name).make());
        const { element, actions = [] } = made.get(name);
        place.replaceChildren(element);
        tools.replaceChildren(...actions);
    };
    const about = [bytes(body.size), contentType || null, codingOf(body)];
    const element = h(
        "section",
        { class: "part body", "aria-label": title },
        h(
            "header",
            {},
            h("h3", {}, title),
            h("span", { class: "faint about" }, foreign(about.filter(Boolean).join(" · "), { most: 120 })),
            h(
                "span",
                { class: "end" },
                tools,
                views.length > 1 &&
                    h("span", { class: "choice", role: "group", "aria-label": "Shown as" }, buttons),
                body.text && copyButton(() => body.text, { label: `Copy ${title.toLowerCase()}`, small: true }),
                source && body.captured > 0 && save(source, title),
            ),
        ),
        body.cut && cutNotice(body),
        place,
    );
    if (views.length > 0) choose(views[0].name);
    else place.append(h("p", { class: "faint" }, "Empty"));
    return element;
}

function codingOf({ content_encoding: coding, decoded, content_size: size }) {
    if (!coding) return null;
    return decoded ? `${coding}, ${bytes(size)} unpacked` : `${coding}, which is not unpacked here`;
}

function save(source, title) {
    return h(
        "a",
        {
            class: "button icon",
            href: source,
            download: true,
            title: "Save",
            "aria-label": `Save ${title.toLowerCase()}`,
        },
        icon("down"),
    );
}

function cutNotice({ captured, size }) {
    const text =
        captured < size
            ? `Cut: the first ${bytes(captured)} of ${bytes(size)} were kept.`
            : "Cut: the end is missing.";
    return h("p", { class: "notice warn" }, text);
}

/** The ways to look at a body, the best first: {name, make() → {element, actions}}. */
function viewsOf(body, { contentType, form, source }) {
    if (body.type === "empty" || body.captured === 0) return [];
    const views = [];
    if (body.type === "image" && source && !body.cut) {
        views.push({ name: "Image", make: () => ({ element: image(source) }) });
    }
    // A form that is no text is none, unless it has files.
    const isForm = body.type === "form" || /^multipart\//i.test(contentType);
    if (isForm && form.length > 0) {
        views.push({ name: "Form", make: () => ({ element: fields("Form fields", form) }) });
    }
    if (body.text !== undefined && body.text !== null) {
        const json = body.type === "json" && body.text.length <= LONGEST_TREE;
        const node = json ? parseJson(body.text, body.cut) : null;
        if (node) views.push({ name: "Tree", make: () => treeView(node) });
        views.push({ name: "Text", make: () => ({ element: textView(body.text) }) });
    }
    const content = () =>
        body.base64 ? fromBase64(body.base64) : new TextEncoder().encode(body.text ?? "");
    views.push({ name: "Hex", make: () => ({ element: hex(content()) }) });
    return views;
}

function treeView(node) {
    const { element, expand } = tree(node);
    if (node.kind !== "object" && node.kind !== "array") return { element };
    const button = (text, open) =>
        h("button", { class: "link", type: "button", on: { click: () => expand(open) } }, text);
    return { element, actions: [button("Expand", true), button("Collapse", false)] };
}

/** A text of any length, its beginning first. */
export function textView(text) {
    const pre = h("pre", { class: "text", tabindex: "0", role: "group", "aria-label": "Text" });
    const start = beginning(text);
    pre.textContent = visible(start, { lines: true });
    if (start.length === text.length) return pre;
    const all = h("button", { class: "button", type: "button" });
    all.textContent = `Show all ${count(text.length)} characters`;
    all.addEventListener("click", () => {
        pre.textContent = visible(text, { lines: true });
        all.remove();
        pre.focus();
    });
    return h("div", { class: "stack-tight" }, pre, all);
}

function beginning(text) {
    let at = -1;
    for (let line = 0; line < FIRST_LINES; line += 1) {
        at = text.indexOf("\n", at + 1);
        if (at < 0) break;
    }
    const end = at < 0 ? text.length : at + 1;
    if (end <= FIRST_CHARACTERS) return text.slice(0, end);
    return cut(text, FIRST_CHARACTERS).replace(/…$/, "");
}

function image(source) {
    const size = h("span", { class: "faint small" });
    const picture = h("img", { src: source, alt: "The body, as an image", class: "picture" });
    picture.addEventListener("load", () => {
        size.textContent = `${picture.naturalWidth} × ${picture.naturalHeight}`;
    });
    picture.addEventListener("error", () => {
        size.textContent = "No image can be made of it.";
        picture.remove();
    });
    return h("figure", { class: "image" }, picture, h("figcaption", {}, size));
}
