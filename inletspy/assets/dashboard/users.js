/* Users and their tokens: all for an admin, the own ones for everybody else. */

import { call, path } from "/assets/shared/api.js";
import { command } from "/assets/shared/copy.js";
import { ask, closeButton, dialog, submitButton } from "/assets/shared/dialog.js";
import { foreign, h } from "/assets/shared/dom.js";
import { count } from "/assets/shared/format.js";
import { button, failure, field, moment, panel, table } from "/assets/dashboard/pieces.js";

const SCOPES = {
    connect: "open tunnels, and close them",
    status: "see tunnels, and sign in here",
    admin: "everything, of everybody",
};
const DAY = 86_400;
const LASTING = [
    ["", "until it is revoked"],
    [DAY, "1 day"],
    [7 * DAY, "7 days"],
    [30 * DAY, "30 days"],
    [90 * DAY, "90 days"],
    [365 * DAY, "1 year"],
];

/** The view of users and of all tokens, for admins. */
export function usersView(app) {
    const tokens = tokensPanel(app, () => users.load());
    const users = usersPanel(app, (rows) => tokens.offer(rows), () => tokens.load());
    users.load();
    tokens.load();
    return {
        title: "Users",
        element: h(
            "div",
            { class: "limited" },
            h("div", { class: "head" }, h("h1", { tabindex: "-1" }, "Users")),
            h("div", { class: "stack" }, users.element, tokens.element),
        ),
    };
}

/** The view of the own tokens. */
export function tokensView(app) {
    const tokens = tokensPanel(app, () => {});
    tokens.load();
    return {
        title: "Tokens",
        element: h("div", { class: "limited" }, h("div", { class: "head" }, h("h1", { tabindex: "-1" }, "Tokens")), tokens.element),
    };
}

function usersPanel(app, onLoaded, onRemoved) {
    const list = table({
        label: "Users",
        key: ({ name }) => name,
        empty: "There are no users. All share one token.",
        columns: [
            { title: "Name", cell: ({ name }) => foreign(name, { class: "strong" }) },
            { title: "Prefix", cell: ({ prefix }) => foreign(prefix, { class: "mono" }) },
            { title: "Good tokens", number: true, cell: ({ tokens }) => count(tokens) },
            { title: "Reserved names", number: true, cell: ({ names }) => count(names) },
            { title: "Since", cell: (user) => moment(user.created_at) },
            {
                title: "Remove",
                bare: true,
                cell: (user) => button("Remove", () => remove(user), { look: "quiet danger" }),
            },
        ],
    });
    const content = h("div", {}, list.element);

    async function load() {
        try {
            const { users } = await call("GET", "/api/users");
            list.update(users);
            onLoaded(users);
            content.replaceChildren(list.element);
        } catch (error) {
            content.replaceChildren(h("div", { class: "inner" }, failure(error, load)));
        }
    }

    function add() {
        const name = h("input", { class: "input", name: "name", required: true, maxlength: "64", autocomplete: "off", spellcheck: "false" });
        const prefix = h("input", { class: "input mono", name: "prefix", autocomplete: "off", spellcheck: "false" });
        dialog({
            title: "Add a user",
            content: [
                field("Name", name),
                field("Prefix", prefix, "The names of the user's tunnels begin with it. Left empty, it is made from the name."),
            ],
            actions: [closeButton(), submitButton("Add user")],
            submit: async (data) => {
                const body = { name: data.get("name").trim() };
                if (data.get("prefix").trim()) body.prefix = data.get("prefix").trim();
                await call("POST", "/api/users", body);
                await load();
            },
        });
    }

    const remove = (user) =>
        ask({
            title: "Remove this user?",
            text: [
                h("strong", {}, foreign(user.name)),
                " goes with all tokens and reserved names, and tunnels that run are ended.",
            ],
            action: "Remove user",
            run: async () => {
                await call("DELETE", path("api", "users", user.name));
                await load();
                onRemoved();
            },
        });

    return { element: panel("Users", { end: button("Add user", add), inner: false }, content), load };
}

function tokensPanel(app, onChanged) {
    let users = [];
    let tokens = [];
    const owner = { title: "User", cell: ({ user }) => foreign(user) };
    const list = table({
        label: "Tokens",
        key: ({ prefix }) => prefix,
        empty: "There are none.",
        columns: [
            { title: "Token", cell: ({ prefix }) => h("span", { class: "mono" }, prefix, "…") },
            ...(app.admin ? [owner] : []),
            { title: "State", cell: stateOf },
            { title: "Good for", cell: goodFor },
            { title: "Made", cell: (token) => moment(token.created_at) },
            { title: "Ends", cell: (token) => (token.expires_at ? moment(token.expires_at) : h("span", { class: "faint" }, "never")) },
            { title: "Last used", cell: (token) => moment(token.last_used_at) },
            {
                title: "Revoke",
                bare: true,
                cell: (token) =>
                    token.state === "good" && app.can("connect")
                        ? button("Revoke", () => revoke(token), { look: "quiet danger" })
                        : null,
            },
        ],
    });
    const content = h("div", {}, list.element);
    const which = h("select", { class: "input", "aria-label": "Whose tokens", on: { change: draw } });
    const old = h("input", { type: "checkbox", on: { change: draw } });

    async function load() {
        try {
            ({ tokens } = await call("GET", "/api/tokens"));
            draw();
            content.replaceChildren(list.element);
        } catch (error) {
            content.replaceChildren(h("div", { class: "inner" }, failure(error, load)));
        }
    }

    function draw() {
        const rows = tokens.filter(
            ({ user, state }) => (!which.value || user === which.value) && (old.checked || state === "good"),
        );
        list.update(rows);
    }

    function offer(rows) {
        users = rows;
        const before = which.value;
        which.replaceChildren(
            h("option", { value: "" }, "All users"),
            ...rows.map(({ name }) => h("option", { value: name }, name)),
        );
        which.value = rows.some(({ name }) => name === before) ? before : "";
    }

    function make() {
        const user = h(
            "select",
            { class: "input", name: "user" },
            users.map(({ name }) => h("option", { value: name, selected: name === which.value }, name)),
        );
        const scopes = Object.entries(SCOPES)
            .filter(([scope]) => scope !== "admin" || app.admin)
            .map(([scope, meaning]) =>
                h(
                    "label",
                    { class: "check" },
                    h("input", { type: "checkbox", name: "scopes", value: scope, checked: scope !== "admin" }),
                    h("span", {}, h("strong", {}, scope), ` – ${meaning}`),
                ),
            );
        const names = h("input", { class: "input mono", name: "names", autocomplete: "off", spellcheck: "false" });
        const ports = h("input", { class: "input mono", name: "ports", autocomplete: "off", pattern: "\\d{1,5}-\\d{1,5}" });
        const lasts = h("select", { class: "input", name: "lasts" }, LASTING.map(([value, title]) => h("option", { value }, title)));
        dialog({
            title: "Make a token",
            content: [
                app.admin && field("User", user),
                h("fieldset", { class: "field plain" }, h("legend", { class: "label" }, "Good for"), scopes),
                field("Names", names, "Patterns with commas, like alice-ci-*. Left empty: all that the user may have."),
                field("TCP ports", ports, "The first and the last, like 30000-30010. Left empty: any."),
                field("It lasts", lasts),
            ],
            actions: [closeButton(), submitButton("Make token")],
            submit: async (data) => {
                const made = await call("POST", "/api/tokens", wish(data));
                showOnce(made);
                await load();
                onChanged();
            },
        });
    }

    function showOnce(made) {
        dialog({
            title: "New token",
            content: [
                h("p", {}, "For ", h("strong", {}, foreign(made.user)), ". It is shown this once: keep it now."),
                command(made.token, { label: "Copy the token", wrap: true }),
            ],
            actions: closeButton("Done"),
        });
    }

    const revoke = (token) =>
        ask({
            title: "Revoke this token?",
            text: [
                h("span", { class: "mono" }, token.prefix, "…"),
                " is good for nothing from then on, nor are tokens that were made with it. Clients and sessions that use them end.",
            ],
            action: "Revoke",
            run: async () => {
                await call("DELETE", path("api", "tokens", token.prefix));
                await load();
                onChanged();
            },
        });

    const end = [
        h("label", { class: "check" }, old, "Also ended ones"),
        app.admin && which,
        app.can("connect") && button("Make token", make),
    ];
    return { element: panel("Tokens", { end, inner: false }, content), load, offer };
}

function wish(data) {
    const body = { scopes: data.getAll("scopes") };
    if (body.scopes.length === 0) throw new Error("Choose what it is good for.");
    if (data.get("user")) body.user = data.get("user");
    const names = data.get("names").split(/[\s,]+/).filter(Boolean);
    if (names.length) body.names = names;
    if (data.get("ports")) body.ports = data.get("ports");
    if (data.get("lasts")) body.expires_in = Number(data.get("lasts"));
    return body;
}

function stateOf({ state }) {
    const looks = { good: "state good", revoked: "state bad", expired: "state" };
    const words = { good: "Good", revoked: "Revoked", expired: "Expired" };
    return h("span", { class: looks[state] ?? "state" }, words[state] ?? state);
}

function goodFor({ scopes, names, ports, limits }) {
    const more = [
        names.length && `names ${names.join(", ")}`,
        ports && `ports ${ports}`,
        limits && "limits of its own",
    ].filter(Boolean);
    return [
        h("div", {}, scopes.join(", ")),
        more.map((each) => foreign(each, { tag: "div", class: "small soft" })),
    ];
}
