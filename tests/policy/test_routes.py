"""Claims on names and ports, with a clock of their own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from inletspy.policy.routes import Claims, Holder, Route, RouteTable, Taken
from tests.properties import repeatable

ALICE = Holder("alice", "laptop")
BOB = Holder("bob", "laptop")


class ClaimTests(TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.lease = 600.0
        self.claims: Claims[str, str] = Claims(self.clock.seconds, lambda: self.lease)

    def assertTaken(self, key: str, holder: Holder | None, target: str) -> None:
        taken = self.assertRaises(Taken, self.claims.claim, key, holder, target)
        self.assertIs(taken.route, self.claims.get(key))

    def target(self, key: str) -> str | None:
        route = self.claims.get(key)
        return route.targets[0] if route is not None and route.targets else None

    def test_first_come_first_served(self) -> None:
        route = self.claims.claim("web", ALICE, "first")
        self.assertEqual((route.key, route.holder, route.targets), ("web", ALICE, ("first",)))
        self.assertIs(self.claims.get("web"), route)
        self.assertTaken("web", BOB, "second")
        self.assertEqual(self.target("web"), "first")

    def test_nobody_has_it(self) -> None:
        self.assertIsNone(self.claims.get("web"))
        self.claims.release("web", "first")
        self.claims.free("web", "first")
        self.assertEqual(list(self.claims), [])

    def test_keys_have_nothing_to_do_with_each_other(self) -> None:
        self.claims.claim("web", ALICE, "first")
        self.claims.claim("api", BOB, "second")
        self.claims.release("web", "first")
        self.assertEqual((self.target("web"), self.target("api")), (None, "second"))

    def test_two_sessions_of_one_holder(self) -> None:
        self.claims.claim("web", ALICE, "first")
        self.assertTaken("web", ALICE, "second")

    def test_kept_for_its_holder(self) -> None:
        self.claims.claim("web", ALICE, "first")
        self.claims.release("web", "first")
        self.assertIsNone(self.target("web"))
        self.assertIsNotNone(self.claims.get("web"))
        self.clock.advance(599.9)
        for stranger in (BOB, Holder("alice", "desk"), Holder("bob", "laptop"), None):
            self.assertTaken("web", stranger, "other")
        self.assertTaken("web", Holder("alice", "laptop", "service"), "other")
        self.claims.claim("web", Holder("alice", "laptop"), "second")
        self.assertEqual(self.target("web"), "second")

    def test_kept_for_a_user_with_all_clients(self) -> None:
        user = Holder("carol", "laptop", one_user=True)
        self.claims.claim("web", user, "first")
        desk = Holder("carol", "desk", "db", one_user=True)
        self.assertTaken("web", desk, "second")
        self.claims.release("web", "first")
        for stranger in (BOB, Holder("carol", "desk"), Holder("bob", "laptop", one_user=True)):
            self.assertTaken("web", stranger, "other")
        self.claims.claim("web", desk, "second")

    def test_forgotten(self) -> None:
        self.claims.claim("web", ALICE, "first")
        self.claims.forget("web")  # of no effect while it has a target
        self.assertTaken("web", BOB, "second")
        self.claims.release("web", "first")
        self.claims.forget("web")
        self.claims.forget("nothing")
        self.claims.claim("web", BOB, "second")

    def test_free_for_all_after_the_lease(self) -> None:
        self.claims.claim("web", ALICE, "first")
        self.claims.release("web", "first")
        self.clock.advance(600)
        self.claims.claim("web", BOB, "second")
        self.assertEqual(self.target("web"), "second")

    def test_the_lease_is_what_it_is_at_the_release(self) -> None:
        self.claims.claim("web", ALICE, "first")
        self.lease = 10
        self.claims.release("web", "first")
        self.lease = 1000
        self.clock.advance(10)
        self.claims.claim("web", BOB, "second")

    def test_no_lease(self) -> None:
        self.lease = 0
        self.claims.claim("web", ALICE, "first")
        self.claims.release("web", "first")
        self.claims.claim("web", BOB, "second")

    def test_nobody_s_while_its_target_is_away(self) -> None:
        self.claims.claim("web", None, "first")
        self.assertTaken("web", None, "second")
        self.claims.release("web", "first")
        self.claims.claim("web", BOB, "second")

    def test_a_stale_release(self) -> None:
        """The end of an old session takes nothing from the one that came after it."""
        self.claims.claim("web", ALICE, "old")
        self.claims.release("web", "old")
        self.claims.claim("web", ALICE, "new")
        self.claims.release("web", "old")
        self.claims.free("web", "old")
        self.assertEqual(self.target("web"), "new")
        self.assertTaken("web", BOB, "other")

    def test_a_second_release(self) -> None:
        self.claims.claim("web", ALICE, "first")
        self.claims.release("web", "first")
        self.clock.advance(500)
        self.claims.release("web", "first")
        self.clock.advance(100)
        self.claims.claim("web", BOB, "second")

    def test_freed(self) -> None:
        self.claims.claim("web", ALICE, "first")
        self.claims.free("web", "first")
        self.assertIsNone(self.claims.get("web"))
        self.claims.claim("web", BOB, "second")

    def test_what_is_kept_for_a_holder(self) -> None:
        self.assertIsNone(self.claims.kept_for(ALICE))
        for key, holder in (("a", BOB), ("b", ALICE), ("c", ALICE)):
            self.claims.claim(key, holder, key)
        self.assertIsNone(self.claims.kept_for(ALICE))
        self.claims.release("a", "a")
        self.assertIsNone(self.claims.kept_for(ALICE))
        self.claims.release("c", "c")
        self.assertEqual(self.claims.kept_for(ALICE), "c")
        self.assertEqual(self.claims.kept_for(BOB), "a")
        self.clock.advance(600)
        self.assertIsNone(self.claims.kept_for(ALICE))

    def test_only_so_many_for_a_user(self) -> None:
        users = [Holder("alice", client, key, one_user=True) for client, key in ("1a", "1b", "2c")]
        for key, holder in zip("abc", users, strict=True):
            self.claims.claim(key, holder, key)
        self.claims.claim("d", BOB, "d")
        for key in "bdc":
            self.claims.release(key, key)
            self.clock.advance(1)
        self.claims.keep_fewer(users[0], 3)
        self.assertEqual([route.key for route in self.claims], ["a", "b", "c", "d"])
        self.claims.keep_fewer(users[2], 2)
        self.assertEqual([route.key for route in self.claims], ["a", "c", "d"])
        self.claims.keep_fewer(users[0], 0)  # what has a target stays
        self.assertEqual([route.key for route in self.claims], ["a", "d"])

    def test_only_so_many_for_a_client_with_the_shared_token(self) -> None:
        for key, client in (("a", "one"), ("b", "two"), ("c", "one")):
            self.claims.claim(key, Holder("shared", client, key), key)
            self.claims.release(key, key)
            self.clock.advance(1)
        self.claims.keep_fewer(Holder("shared", "one", "x"), 1)
        self.assertEqual([route.key for route in self.claims], ["b", "c"])

    def test_expire(self) -> None:
        for key in ("a", "b", "c"):
            self.claims.claim(key, ALICE, key)
        self.claims.release("a", "a")
        self.clock.advance(300)
        self.claims.release("b", "b")
        self.clock.advance(299)
        self.claims.expire()
        self.assertEqual([route.key for route in self.claims], ["a", "b", "c"])
        self.clock.advance(1)
        self.claims.expire()
        self.assertEqual([route.key for route in self.claims], ["b", "c"])
        self.clock.advance(10_000)
        self.claims.expire()
        self.assertEqual([route.key for route in self.claims], ["c"])

    def test_claims_can_change_while_they_are_gone_through(self) -> None:
        for key in ("a", "b"):
            self.claims.claim(key, ALICE, key)
        for route in self.claims:
            self.claims.free(route.key, route.key)
        self.assertEqual(list(self.claims), [])

    @repeatable
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["claim", "release", "free", "wait", "expire"]),
                st.sampled_from("ab"),
                st.sampled_from([ALICE, BOB, None]),
                st.integers(0, 3),
            ),
            max_size=30,
        )
    )
    def test_whatever_happens(self, steps: list[tuple[str, str, Holder | None, int]]) -> None:
        """A key is never taken from a present target, nor from its holder within the lease."""
        ClaimTests.setUp(self)
        held: dict[str, str] = {}
        kept: dict[str, tuple[Holder | None, float]] = {}
        for count, (step, key, holder, number) in enumerate(steps):
            target = f"{count}"
            present = held.get(key)
            if step == "wait":
                self.clock.advance(number * 200)
            elif step == "expire":
                self.claims.expire()
            elif step == "claim":
                keeper, until = kept.get(key, (None, 0.0))
                free = keeper in (None, holder) or self.clock.seconds() >= until
                try:
                    self.claims.claim(key, holder, target)
                except Taken:
                    self.assertTrue(present is not None or not free)
                else:
                    self.assertTrue(present is None and free)
                    held[key] = target
                    kept[key] = (holder, 0.0)
            elif present is not None and number:  # with 0 it is a stale one
                if step == "release":
                    self.claims.release(key, present)
                    kept[key] = (kept[key][0], self.clock.seconds() + 600)
                else:
                    self.claims.free(key, present)
                    del kept[key]
                del held[key]
            else:
                self.claims.release(key, "stale")
                self.claims.free(key, "stale")
            self.assertEqual({r.key: r.targets[0] for r in self.claims if r.targets}, held)


class SharingTests(TestCase):
    """Several targets of one key."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.claims: Claims[str, str] = Claims(self.clock.seconds, lambda: 600)

    def join(self, target: str, holder: Holder | None = None) -> Route[str, str]:
        """Claim the key for one more target of the same owner, which shares it."""
        holder = holder or Holder("alice", f"client of {target}", shares=True)
        return self.claims.claim("web", holder, target, join=True)

    def test_all_must_ask_for_it(self) -> None:
        for first, second in ((True, False), (False, True), (False, False)):
            self.claims.claim("web", Holder("alice", "a", shares=first), "a")
            holder = Holder("alice", "b", shares=second)
            self.assertRaises(Taken, self.claims.claim, "web", holder, "b", join=True)
            self.claims.free("web", "a")

    def test_only_who_would_join(self) -> None:
        route = self.join("a")
        holder = Holder("alice", "b", shares=True)
        self.assertRaises(Taken, self.claims.claim, "web", holder, "b")
        self.assertEqual(route.targets, ("a",))

    def test_only_one_owner_s(self) -> None:
        self.join("a")
        for stranger in (
            Holder("bob", "client of a", shares=True),
            Holder("alice", "client of a", one_user=True, shares=True),
            None,
        ):
            with self.assertRaises(Taken):
                self.claims.claim("web", stranger, "b", join=True)

    def test_nobody_s(self) -> None:
        self.claims.claim("web", None, "a")
        self.assertRaises(Taken, self.join, "b")

    def test_one_after_the_other_goes(self) -> None:
        route = self.join("a")
        self.assertIs(self.join("b"), route)
        self.assertIs(self.join("c"), route)
        self.assertEqual(set(route.targets), {"a", "b", "c"})
        self.assertFalse(self.claims.release("web", "a"))
        self.assertFalse(self.claims.release("web", "a"))
        self.claims.free("web", "b")
        self.assertEqual(route.targets, ("c",))
        self.assertTrue(self.claims.release("web", "c"))
        self.assertFalse(self.claims.release("web", "c"))
        self.assertEqual(route.targets, ())

    def test_kept_for_all_of_them(self) -> None:
        self.join("a")
        self.join("b")
        self.claims.release("web", "a")
        self.claims.release("web", "b")
        self.clock.advance(599.9)
        for stranger in (
            Holder("alice", "client of c"),
            Holder("bob", "client of a", shares=True),
            None,
        ):
            self.assertRaises(Taken, self.claims.claim, "web", stranger, "c", join=True)
        self.assertEqual(self.join("c").targets, ("c",))
        self.assertEqual(self.join("a").targets, ("a", "c"))

    def test_what_is_shared_is_not_what_is_merely_kept(self) -> None:
        holder = Holder("alice", "client of a", shares=True)
        route = self.join("a", holder)
        self.join("b")
        self.claims.keep_fewer(holder, 0)
        self.assertIs(self.claims.get("web"), route)

    def test_who_shared_may_come_back_alone(self) -> None:
        self.join("a", Holder("alice", "laptop", shares=True))
        self.claims.release("web", "a")
        self.assertEqual(self.claims.kept_for(ALICE), "web")
        self.claims.claim("web", ALICE, "b")

    def test_least_load_is_chosen(self) -> None:
        route = self.join("a")
        self.join("b")
        loads = {"a": 2, "b": 1}
        self.assertEqual([route.choose(loads.__getitem__) for _ in range(3)], ["b"] * 3)
        loads["b"] = 3
        self.assertEqual(route.choose(loads.__getitem__), "a")

    def test_in_turn_where_the_load_is_the_same(self) -> None:
        route = self.join("a")
        self.join("b")
        chosen = [route.choose(lambda target: 0) for _ in range(4)]
        self.assertEqual(chosen, ["b", "a", "b", "a"])
        self.join("c")
        self.assertEqual([route.choose(lambda target: 0) for _ in range(4)], ["c", "b", "a", "c"])

    def test_besides_others(self) -> None:
        route = self.join("a")
        self.join("b")
        self.assertEqual(route.choose(lambda target: 0, besides=["b"]), "a")
        self.assertIsNone(route.choose(lambda target: 0, besides=["a", "b"]))
        self.claims.release("web", "a")
        self.claims.release("web", "b")
        self.assertIsNone(route.choose(lambda target: 0))


class RouteTableTests(TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.table: RouteTable[str] = RouteTable(self.clock.seconds, lambda: 60)

    def test_names_and_ports(self) -> None:
        self.table.names.claim("web", ALICE, "a")
        self.table.ports.claim(30_000, ALICE, "b")
        self.table.names.release("web", "a")
        self.table.ports.release(30_000, "b")
        self.assertEqual(self.table.ports.kept_for(ALICE), 30_000)
        self.clock.advance(60)
        self.table.expire()
        self.assertIsNone(self.table.names.get("web"))
        self.assertIsNone(self.table.ports.get(30_000))

    def test_catch_all(self) -> None:
        self.assertIsNone(self.table.catch_all)
        self.table.remove_catch_all("a")
        self.table.add_catch_all("a")
        self.table.add_catch_all("b")
        self.assertEqual(self.table.catch_all, "a")
        self.table.remove_catch_all("a")
        self.assertEqual(self.table.catch_all, "b")
        self.table.remove_catch_all("a")
        self.table.remove_catch_all("b")
        self.assertIsNone(self.table.catch_all)
