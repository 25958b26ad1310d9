"""Several processes share a session's tokens through Redis, which may lose them."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from tests.support.refresh_simulation import VARIANTS, Browser, Variant, World, world_of_run
from tests.support.virtual_time import run_in_virtual_time

ROTATION = VARIANTS[0]
WITH_REUSE = next(variant for variant in VARIANTS if variant.reuse_seconds)
WITHOUT_EXPIRY = next(variant for variant in VARIANTS if not variant.tells_expiry and not variant.is_jwt)


def run(
    script: Callable[[World, Browser], Coroutine[Any, Any, None]],
    variant: Variant = ROTATION,
    refresh_life: int = 3600,
) -> None:
    """Run a script with two processes, and a browser that has signed in at the first of them."""

    async def play() -> None:
        with world_of_run(World(7, variant=variant, faults=(), process_count=2)) as world:
            world.doors = ("session",)
            world.backend.refresh_life = refresh_life
            world.start_processes()
            await asyncio.sleep(10)  # Redis is new: its data could just have been lost
            browser = Browser(world)
            await browser.sign_in(slot=0)
            await script(world, browser)
            assert world.violations == []

    run_in_virtual_time(play())


def refreshes(world: World) -> int:
    return world.backend.families[0].number


def is_honored(world: World) -> bool:
    return world.backend.honors(world.backend.families[0])


async def read(browser: Browser, slot: int, door: str = "session") -> bool:
    response, _ = await browser.request(door, slot)
    assert response is not None
    return response.has_session


async def wait_until_due(world: World) -> None:
    await asyncio.sleep(world.backend.life - 5)


async def wait_for(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.0001)


async def fail_once(world: World, browser: Browser, slot: int) -> None:
    """Let a process not reach the backend, so that it refreshes nothing for five seconds. Others may after two."""
    world.next_faults.append("not sent")
    assert await read(browser, slot)
    await asyncio.sleep(2.5)


def copy_of(browser: Browser) -> Browser:
    """A tab whose requests have the cookies of now."""
    tab = Browser(browser.world)
    tab.jar, tab.login = dict(browser.jar), browser.login
    return tab


def test_a_process_that_was_stopped_before_it_sent_the_token_leaves_it_to_the_other_one() -> None:
    async def script(world: World, browser: Browser) -> None:
        await wait_until_due(world)
        tab = copy_of(browser)
        reading = asyncio.create_task(read(browser, 0))
        await wait_for(lambda: refresh_keys(world) > 0)
        world.redis.read_keys.clear()
        await wait_for(lambda: any(key.startswith("munjigi:tokens:") for key in world.redis.read_keys))
        world.processes[0].paused_until = world.loop.time() + 20
        await asyncio.sleep(16)
        assert await read(tab, 1)
        assert await reading
        await asyncio.sleep(10)
        assert await read(browser, 0)
        assert refreshes(world) == 1
        assert is_honored(world)

    run(script)


def test_when_redis_was_emptied_while_in_use_the_tokens_are_saved_again_before_anything_is_refreshed() -> None:
    async def script(world: World, browser: Browser) -> None:
        await wait_until_due(world)
        old = copy_of(browser)
        assert await read(browser, 0)
        world.redis.start(lost_seconds=10**8)
        assert await read(old, 1)
        await asyncio.sleep(15)
        assert await read(copy_of(old), 1)
        assert refreshes(world) == 1
        assert is_honored(world)

    run(script)


def test_a_process_that_starts_with_an_emptied_redis_waits_for_the_tokens_of_others() -> None:
    async def script(world: World, browser: Browser) -> None:
        await wait_until_due(world)
        old = copy_of(browser)
        assert await read(browser, 0)
        world.redis.stop()
        world.processes[1].end()
        await asyncio.sleep(20)
        world.redis.start(lost_seconds=10**8)
        world.replace_process(1)
        assert await read(old, 1)
        await asyncio.sleep(20)
        assert await read(old, 1)
        assert refreshes(world) == 1
        assert is_honored(world)

    run(script)


def test_signing_out_at_one_process_ends_the_tokens_that_another_one_is_getting() -> None:
    async def script(world: World, browser: Browser) -> None:
        await wait_until_due(world)
        tab = copy_of(browser)
        await fail_once(world, browser, slot=1)
        world.next_faults.append("answer in 5 s")
        reading = asyncio.create_task(read(tab, 0))
        await wait_for(lambda: refreshes(world) == 1)
        world.processes[0].paused_until = world.loop.time() + 7  # it gets the answer before it hears of the sign-out
        await browser.request("sign out", 1)
        assert not reading.done()
        assert not await reading
        assert not is_honored(world)

    run(script)


def test_signing_out_at_one_process_ends_the_tokens_that_another_one_has_got() -> None:
    async def script(world: World, browser: Browser) -> None:
        await wait_until_due(world)
        tab = copy_of(browser)
        assert await read(tab, 0, "verify")
        await browser.request("sign out", 1)
        assert not is_honored(world)

    run(script)


def test_a_session_that_was_signed_out_elsewhere_is_not_refreshed() -> None:
    async def script(world: World, browser: Browser) -> None:
        await wait_until_due(world)
        tab = copy_of(browser)
        await fail_once(world, browser, slot=1)
        world.processes[0].paused_until = world.loop.time() + 5  # it does not hear of the sign-out
        reading = asyncio.create_task(read(tab, 0))
        await browser.request("sign out", 1)
        assert not await reading
        assert refreshes(world) == 0

    run(script)


def test_a_request_that_was_under_way_when_its_session_was_signed_out_sends_no_refresh_token() -> None:
    async def script(world: World, browser: Browser) -> None:
        await asyncio.sleep(world.backend.life + 60)
        tab = copy_of(browser)
        world.next_faults.append("answer in 1 s")  # of the user call, which says that the access token is over
        reading = asyncio.create_task(read(tab, 0))
        await asyncio.sleep(0.5)
        await browser.request("sign out", 0)
        assert not reading.done()
        assert not await reading
        assert world.backend.families[0].sends == {}

    run(script, WITHOUT_EXPIRY)


def test_saved_tokens_that_are_too_old_are_refreshed() -> None:
    """If nobody knows when the access token expires, only its refusal tells."""

    async def script(world: World, browser: Browser) -> None:
        await asyncio.sleep(world.backend.life + 60)
        old = copy_of(browser)
        assert await read(browser, 0)
        assert refreshes(world) == 1
        await asyncio.sleep(world.backend.life + 60)
        assert await read(old, 1)
        assert refreshes(world) == 2
        assert is_honored(world)

    run(script, WITHOUT_EXPIRY)


def test_nothing_is_sent_if_redis_does_not_tell_whether_there_are_newer_tokens() -> None:
    async def script(world: World, browser: Browser) -> None:
        await wait_until_due(world)
        old = copy_of(browser)
        assert await read(browser, 0)
        await asyncio.sleep(20)  # until another process may send it
        reading = asyncio.create_task(read(old, 1))
        await wait_for(lambda: refresh_keys(world) > 0)
        world.processes[1].cut_off_until = world.loop.time() + 1
        assert await reading
        assert refreshes(world) == 1
        assert is_honored(world)

    run(script)


def test_a_response_that_comes_late_with_older_tokens_ends_no_session_hours_later() -> None:
    async def script(world: World, browser: Browser) -> None:
        await wait_until_due(world)
        old = copy_of(browser)
        assert await read(browser, 0)
        await asyncio.sleep(5)
        assert await read(browser, 0), "its cookie has the newest tokens"
        browser.jar = old.jar  # a response from before the refresh
        await asyncio.sleep(3 * 3600)
        assert await read(browser, 1)
        assert refreshes(world) == 2, "with the newest token"
        assert is_honored(world)

    run(script, refresh_life=20000)


def test_a_lost_answer_is_asked_for_again_within_the_reuse_window() -> None:
    async def script(world: World, browser: Browser) -> None:
        await wait_until_due(world)
        world.next_faults.append("silent")
        assert await read(browser, 0)
        assert refreshes(world) == 1
        await asyncio.sleep(60)
        assert await read(browser, 1)
        await asyncio.sleep(world.backend.life)
        assert await read(browser, 1)
        assert refreshes(world) == 2
        assert is_honored(world)

    run(script, WITH_REUSE)


def refresh_keys(world: World) -> int:
    return sum(world.redis.get(key) is not None for key in world.redis.data if key.startswith("munjigi:refresh:"))
