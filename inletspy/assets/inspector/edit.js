/* Edit and replay: a request as a form, sent again as it stands there. */

import { dialog, closeButton, submitButton } from "../shared/dialog.js";
import { foreign, h, newId } from "../shared/dom.js";
import { bytes } from "../shared/format.js";
import { icon } from "../shared/icons.js";

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
/** What the client sets itself, by the body that is sent. */
const SET_BY_CLIENT = new Set(["content-length", "transfer-encoding"]);

/**
 * Open the form. Values that are masked stay so until they are asked for; the client knows
 * what to send in their places.
 *
 * @param {object} details of the request.
 * @param {object} run `send`: takes {method, path, headers, body}; `reveal`: gives the
 *     value of the header at a place. Both as promises, which may fail.
 */
export function editAndReplay(details, { send, reveal }) {
    const { request } = details;
    const hidden = new Set((request.masked ?? []).map((name) => name.toLowerCase()));
    const list = newId("methods");
    const method = h("input", {
        class: "input mono",
        name: "method",
        list,
        value: details.method,
        required: true,
        maxlength: "40",
        autocomplete: "off",
        spellcheck: "false",
    });
    const path = h("input", {
        class: "input mono",
        name: "path",
        value: details.path,
        required: true,
        pattern: "/.*",
        title: "Starts with /",
        autocomplete: "off",
        spellcheck: "false",
    });
    const rows = h("div", { class: "header-rows" });
    const add = (name = "", value = "", unmask = null) => {
        const row = headerRow(name, value, unmask);
        rows.append(row);
        return row;
    };
    request.headers.forEach(([name, value], place) => {
        const key = name.toLowerCase();
        const unmask = hidden.has(key) ? () => reveal(place) : null;
        if (!SET_BY_CLIENT.has(key)) add(name, value, unmask);
    });
    const more = h("button", { class: "button", type: "button" }, "Add header");
    more.addEventListener("click", () => add().querySelector("input").focus());
    const body = bodyField(request.body);
    return dialog({
        title: "Edit and replay",
        wide: true,
        content: h(
            "div",
            { class: "edit" },
            h("div", { class: "request-line" }, labelled("Method", method), labelled("Path", path)),
            h("datalist", { id: list }, METHODS.map((name) => h("option", { value: name }))),
            h(
                "fieldset",
                {},
                h("legend", {}, "Headers"),
                rows,
                h("div", { class: "row" }, more, h("span", { class: "hint" }, "Content-Length is set by what is sent.")),
            ),
            body.element,
        ),
        actions: [closeButton(), submitButton("Send")],
        submit: () =>
            send({
                method: method.value.trim(),
                path: path.value.trim(),
                headers: [...rows.children].map((row) => row.pair()).filter(([name]) => name),
                body: body.value(),
            }),
    });
}

function labelled(label, input) {
    input.id ||= newId("field");
    return h("div", { class: "field" }, h("label", { for: input.id }, label), input);
}

function headerRow(name, value, unmask) {
    const names = h("input", {
        class: "input mono",
        value: name,
        "aria-label": "Name",
        placeholder: "Name",
        autocomplete: "off",
        spellcheck: "false",
    });
    const values = h("input", {
        class: "input mono",
        value,
        "aria-label": name ? `Value of ${name}` : "Value",
        placeholder: "Value",
        autocomplete: "off",
        spellcheck: "false",
    });
    const show =
        unmask &&
        h(
            "button",
            {
                class: "link",
                type: "button",
                "aria-label": `Reveal ${name}`,
                on: {
                    click: async (event) => {
                        const button = event.target;
                        const plain = await unmask().catch(() => null);
                        if (plain === null) return; // it can be tried again
                        values.value = plain;
                        button.remove();
                        values.focus();
                    },
                },
            },
            "Reveal",
        );
    const remove = h(
        "button",
        {
            class: "button icon",
            type: "button",
            title: "Remove",
            "aria-label": name ? `Remove ${name}` : "Remove header",
            on: {
                click: () => {
                    const next = row.nextElementSibling ?? row.previousElementSibling;
                    row.remove();
                    next?.querySelector("input").focus();
                },
            },
        },
        icon("close"),
    );
    const row = h("div", { class: "header-row" }, names, h("span", { class: "of-value" }, values, show), remove);
    row.pair = () => [names.value.trim(), values.value];
    return row;
}

/** The field for the body. Bytes that are no text are sent as they were, or replaced. */
function bodyField(body) {
    const text = h("textarea", {
        class: "input mono",
        rows: "10",
        spellcheck: "false",
        autocomplete: "off",
        "aria-label": "Body",
    });
    const original = body.text ?? "";
    text.value = original;
    // A text area makes one kind of line break of all kinds.
    const asShown = text.value;
    const isBinary = Boolean(body.base64);
    const hint = isBinary
        ? `The body is ${bytes(body.captured)} that are no text: sent as they were while this is empty.`
        : body.cut
          ? `The body was cut: only the first ${bytes(body.captured)} of ${bytes(body.size)} are here, and are what is sent.`
          : null;
    const element = h(
        "div",
        { class: "field" },
        h("span", { class: "label" }, "Body"),
        text,
        hint && h("p", { class: body.cut ? "notice warn" : "hint" }, foreign(hint)),
    );
    // What is not touched goes as it was sent: compressed, and byte by byte.
    const value = () => {
        const isSame = text.value === asShown;
        if (isSame && (isBinary || !body.cut)) return undefined;
        return { text: isSame ? original : text.value };
    };
    return { element, value };
}
