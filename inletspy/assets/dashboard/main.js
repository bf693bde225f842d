/* Where the page begins: signs in, then shows what the address says after its #.
 *
 * A view is a function of the app that gives {title, element}, and maybe `close()`, which
 * is called when another takes its place.
 */

import { onSignedOut, call } from "/assets/shared/api.js";
import { signIn } from "/assets/dashboard/signin.js";
import { Shell } from "/assets/dashboard/shell.js";
import { Store } from "/assets/dashboard/store.js";
import { tunnelsView } from "/assets/dashboard/tunnels.js";
import { tunnelView } from "/assets/dashboard/tunnel.js";
import { tokensView, usersView } from "/assets/dashboard/users.js";
import { namesView } from "/assets/dashboard/names.js";
import { settingsView } from "/assets/dashboard/settings.js";
import { healthView } from "/assets/dashboard/health.js";

/** Patterns of what may stand after the #, with the view and the link that is current. */
const ROUTES = [
    { match: /^#?\/?$/, view: tunnelsView, link: "#/" },
    { match: /^#\/tunnels\/([^/]+)$/, view: tunnelView, link: "#/" },
    { match: /^#\/tokens$/, view: tokensView, link: "#/tokens" },
    { match: /^#\/users$/, view: usersView, link: "#/users", admin: true },
    { match: /^#\/names$/, view: namesView, link: "#/names", admin: true },
    { match: /^#\/settings$/, view: settingsView, link: "#/settings", admin: true },
    { match: /^#\/health$/, view: healthView, link: "#/health", admin: true },
];

/** Who is signed in, and what all views share. */
class App {
    /** @param {object} session as `GET /api/session` tells it. */
    constructor(session) {
        this.session = session;
        this.admin = session.admin;
        this.shell = new Shell(this);
        this.store = new Store((live) => this.#streamed(live));
        this.view = null;
        window.addEventListener("hashchange", this.#go);
        this.#go();
    }

    /** Whether the token is good for something. */
    can(scope) {
        return this.admin || this.session.scopes.includes(scope);
    }

    /** End the session. */
    async signOut() {
        await call("DELETE", "/api/session");
        this.end("");
    }

    /** Show the form to sign in, with a word on why. */
    end(reason) {
        if (this.store === null) return;
        window.removeEventListener("hashchange", this.#go);
        this.view?.close?.();
        this.store.close();
        this.store = null;
        for (const dialog of document.querySelectorAll("dialog")) dialog.close();
        start(reason);
    }

    #streamed(live) {
        this.shell.showState(live);
        if (live.state === "ended") this.end("Your session is over. Sign in again.");
    }

    #go = () => {
        const route = ROUTES.find(({ match, admin }) => match.test(location.hash) && (this.admin || !admin));
        if (route === undefined) {
            location.replace("#/");
            return;
        }
        const first = this.view === null;
        this.view?.close?.();
        const parameters = route.match.exec(location.hash).slice(1).map(decoded);
        this.view = route.view(this, ...parameters);
        document.title = `${this.view.title} – inletspy`;
        this.shell.show(this.view.element, route.link);
        window.scrollTo(0, 0);
        // Those who listen are told where they are; not at the first page, which tells itself.
        if (!first) this.view.element.querySelector("h1")?.focus({ preventScroll: true });
    };
}

function decoded(text) {
    try {
        return decodeURIComponent(text);
    } catch {
        return text;
    }
}

let app = null;

async function start(reason = "") {
    const session = await signIn(reason);
    app = new App(session);
}

onSignedOut.add(() => app?.end("Your session is over. Sign in again."));
start();
