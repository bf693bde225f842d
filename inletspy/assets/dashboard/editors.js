/* Editors for the values of settings: by type, and by what the default looks like. */

import { h } from "/assets/shared/dom.js";

/** A value as a person would write it. */
export function plainText(value) {
    if (value === "" || (Array.isArray(value) && value.length === 0)) return "none";
    if (typeof value === "boolean") return value ? "on" : "off";
    if (Array.isArray(value)) return value.join(", ");
    if (value !== null && typeof value === "object") {
        return Object.entries(value)
            .map(([name, each]) => `${words(name)} ${each}`)
            .join(", ");
    }
    return String(value);
}

const words = (name) => name.replaceAll("_", " ");

/**
 * An editor for a setting's value.
 *
 * @param {object} setting as the API has it.
 * @param {string} id of the control, which a label names.
 * @param {object} told `changed()` at each change; `now()` where a change is to be stored.
 * @returns {{element, read(), changed(), undo(), atOnce}} `read` gives the value, or throws
 *     an Error with a sentence.
 */
export function editorFor(setting, id, told) {
    const { value, default: normal, type } = setting;
    const described = { "aria-describedby": `${id}-about ${id}-error` };
    if (setting.secret) return secretEditor(setting, id, described, told);
    if (type === "boolean" && typeof value === "boolean") return switchEditor(value, id, described, told);
    if (type === "number") return numberEditor(setting, id, described, told);
    if (isTexts(value) && Array.isArray(normal)) return linesEditor(value, id, described, told);
    if (isNumbers(value) && isNumbers(normal)) return numbersEditor(setting, id, told);
    if (type === "json") return jsonEditor(value, id, described, told);
    return textEditor(String(value), id, described, told);
}

const isTexts = (value) => Array.isArray(value) && value.every((each) => typeof each === "string");

const isNumbers = (value) =>
    value !== null &&
    typeof value === "object" &&
    !Array.isArray(value) &&
    Object.values(value).every((each) => typeof each === "number");

function switchEditor(value, id, described, told) {
    const control = h("input", {
        class: "switch",
        type: "checkbox",
        role: "switch",
        id,
        checked: value,
        ...described,
        on: { change: () => told.now() },
    });
    return {
        element: control,
        atOnce: true,
        read: () => control.checked,
        changed: () => control.checked !== value,
        undo: () => (control.checked = value),
    };
}

function textEditor(value, id, described, told) {
    const control = h("input", {
        class: "input",
        id,
        value,
        autocomplete: "off",
        spellcheck: "false",
        ...described,
        on: { input: told.changed },
    });
    return { element: control, read: () => control.value.trim(), changed: () => control.value !== value };
}

function secretEditor({ value }, id, described, told) {
    const control = h("input", {
        class: "input mono",
        id,
        type: "password",
        autocomplete: "new-password",
        spellcheck: "false",
        placeholder: value ? "There is one. Type to replace it" : "None",
        ...described,
        on: { input: told.changed },
    });
    return { element: control, read: () => control.value, changed: () => control.value !== "" };
}

function numberEditor({ key, value }, id, described, told) {
    const control = numberInput(id, value, told, described);
    const unit = /_seconds$/.test(key) ? "seconds" : "";
    return {
        element: h("div", { class: "with-unit" }, control, unit && h("span", { class: "soft" }, unit)),
        read: () => numberOf(control),
        changed: () => control.value !== String(value),
    };
}

function numbersEditor({ value, default: normal }, id, told) {
    const names = Object.keys({ ...normal, ...value });
    const all = { ...normal, ...value };
    const controls = names.map((name, place) => {
        const own = place === 0 ? id : `${id}-${name}`;
        return [name, numberInput(own, all[name], told, {})];
    });
    return {
        element: h(
            "div",
            { class: "numbers", role: "group", "aria-labelledby": `${id}-label`, "aria-describedby": `${id}-about ${id}-error` },
            controls.map(([name, control]) => h("label", { for: control.id }, h("span", {}, words(name)), control)),
        ),
        read: () => Object.fromEntries(controls.map(([name, control]) => [name, numberOf(control)])),
        changed: () => controls.some(([name, control]) => control.value !== String(all[name])),
    };
}

function numberInput(id, value, told, more) {
    return h("input", {
        class: "input",
        type: "number",
        step: "any",
        id,
        value: String(value),
        ...more,
        on: { input: told.changed },
    });
}

function numberOf(control) {
    if (control.value === "" || !Number.isFinite(control.valueAsNumber)) throw new Error("It must be a number.");
    return control.valueAsNumber;
}

function linesEditor(value, id, described, told) {
    const before = value.join("\n");
    const control = h("textarea", {
        class: "input mono",
        id,
        rows: Math.min(10, Math.max(2, value.length + 1)),
        value: before,
        spellcheck: "false",
        placeholder: "One a line",
        ...described,
        on: { input: told.changed },
    });
    return {
        element: control,
        read: () => control.value.split("\n").map((line) => line.trim()).filter(Boolean),
        changed: () => control.value !== before,
    };
}

function jsonEditor(value, id, described, told) {
    const before = typeof value === "string" ? value : JSON.stringify(value, null, 2);
    const control = h("textarea", {
        class: "input mono",
        id,
        rows: 4,
        value: before,
        spellcheck: "false",
        ...described,
        on: { input: told.changed },
    });
    return {
        element: control,
        read: () => {
            try {
                return JSON.parse(control.value);
            } catch {
                throw new Error("It must be JSON.");
            }
        },
        changed: () => control.value !== before,
    };
}
