/* The settings: each with an editor for what it is, its default, and the way back to it. */

import { call, path } from "/assets/shared/api.js";
import { ask } from "/assets/shared/dialog.js";
import { announce, h, setText } from "/assets/shared/dom.js";
import { visible } from "/assets/shared/format.js";
import { editorFor, plainText } from "/assets/dashboard/editors.js";
import { button, failure, panel } from "/assets/dashboard/pieces.js";

/** What belongs together; what is named nowhere comes last. */
const GROUPS = {
    Tunnels: [
        "tunnels_enabled",
        "tunnel_base_domain",
        "inlets_server_url",
        "inlets_status_api_url",
        "custom_domains_enabled",
        "catch_all_enabled",
        "refused_names",
        "tcp_port_range",
        "name_lease_seconds",
    ],
    "Who may come in": [
        "shared_token_enabled",
        "inlets_shared_token",
        "link_signing_key",
        "session_signing_key",
        "status_public",
        "cors_allowed_origins",
        "trusted_proxies",
        "wrong_tokens_per_address",
    ],
    Limits: [
        "connections_per_address",
        "user_limits",
        "shared_limits",
        "streams_per_session",
        "services_per_session",
    ],
    "Times": [
        "heartbeat_seconds",
        "head_timeout_seconds",
        "body_idle_seconds",
        "response_timeout_seconds",
        "keep_alive_seconds",
    ],
};

/** Asked before a value is stored, since it ends what runs. */
const ASKED = {
    tunnels_enabled: (value) => value === false && "All tunnels that run are ended, and nobody can open one.",
    shared_token_enabled: (value) => value === false && "Clients and sessions with the shared token end.",
    inlets_shared_token: () => "Clients and sessions with the present shared token end.",
    link_signing_key: () => "All share links that were made so far are good for nothing.",
    session_signing_key: () => "Everybody is signed out of this page.",
    tunnel_base_domain: () => "Tunnels under the present domain get other addresses.",
};

/** The view of the settings, for admins. */
export function settingsView(app) {
    const content = h("div", { class: "stack" });

    async function load() {
        try {
            const { settings } = await call("GET", "/api/config");
            content.replaceChildren(...groups(settings, app));
        } catch (error) {
            content.replaceChildren(failure(error, load));
        }
    }

    load();
    return {
        title: "Settings",
        element: h(
            "div",
            { class: "limited" },
            h(
                "div",
                { class: "head" },
                h("h1", { tabindex: "-1" }, "Settings"),
                h("p", { class: "soft" }, "A change is in force at once."),
            ),
            content,
        ),
    };
}

function groups(settings, app) {
    const left = new Map(settings.map((setting) => [setting.key, setting]));
    const made = [];
    const add = (title, some) => {
        if (some.length) made.push(panel(title, { inner: false }, some.map((setting) => settingRow(setting, app))));
    };
    for (const [title, keys] of Object.entries(GROUPS)) {
        const some = keys.map((key) => left.get(key)).filter(Boolean);
        for (const { key } of some) left.delete(key);
        add(title, some);
    }
    add("Others", [...left.values()]);
    return made;
}

function settingRow(first, app) {
    const { key } = first;
    const id = `setting-${key}`;
    const error = h("p", { class: "error", role: "alert", id: `${id}-error` });
    const problem = h("p", { class: "error" });
    const fallback = h("p", { class: "hint" });
    const save = h("button", { class: "button primary", type: "submit" }, "Save");
    const undo = button("Undo", () => fill(setting), { look: "quiet" });
    const reset = button("Reset", toDefault, { look: "quiet", "aria-label": `Reset ${key}` });
    const place = h("div", { class: "editor" });
    const form = h(
        "form",
        { class: "setting", on: { submit } },
        h(
            "div",
            { class: "about" },
            h("label", { for: id, class: "mono strong", id: `${id}-label` }, key),
            h("p", { class: "soft", id: `${id}-about` }, first.description),
        ),
        h(
            "div",
            { class: "field" },
            h("div", { class: "editing" }, place, h("div", { class: "acts" }, save, undo)),
            error,
            problem,
            h("div", { class: "row" }, fallback, reset),
        ),
    );
    let setting = first;
    let editor = null;

    function fill(next) {
        setting = next;
        const focused = place.contains(document.activeElement);
        editor = editorFor(setting, id, { changed, now: submit });
        place.replaceChildren(editor.element);
        if (focused) document.getElementById(id)?.focus();
        setText(error, "");
        setText(problem, setting.problem ? `${visible(setting.problem)}; the default holds.` : "");
        setText(fallback, setting.secret ? "" : `Default: ${plainText(setting.default)}`);
        reset.hidden = setting.is_default;
        form.classList.toggle("chosen", !setting.is_default);
        changed();
    }

    function changed() {
        const dirty = editor.changed();
        save.hidden = undo.hidden = editor.atOnce || !dirty;
    }

    async function submit(event) {
        event?.preventDefault();
        setText(error, "");
        let value;
        try {
            value = editor.read();
        } catch (wrong) {
            setText(error, wrong.message);
            return;
        }
        const warning = ASKED[key]?.(value);
        if (warning) sure(warning, "Save", () => store("PUT", { value }));
        else await store("PUT", { value }).catch(refused);
    }

    async function toDefault() {
        const warning = ASKED[key]?.(setting.default);
        if (warning) sure(warning, "Reset", () => store("DELETE"));
        else await store("DELETE").catch(refused);
    }

    function sure(text, action, run) {
        const asked = ask({ title: `Change ${key}?`, text, action, run });
        // A switch that was turned and is not to be goes back.
        asked.addEventListener("close", () => editor.atOnce && fill(setting));
    }

    function refused(wrong) {
        setText(error, wrong.message);
        if (editor.atOnce) editor.undo();
    }

    async function store(method, body) {
        fill(await call(method, path("api", "config", key), body));
        announce(`${key} is saved`);
        // The session knows some of them, for what to type where there are no tunnels.
        Object.assign(app.session, await call("GET", "/api/session"));
    }

    fill(first);
    return form;
}
