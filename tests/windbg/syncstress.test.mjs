// syncstress.js on memory images of nthost, which `cargo xtask test` takes from the real syncstress.sys
// while every hold pattern is held: SYNCSTRESS_MEMORY names the folder of the images. Nothing of this is
// WinDbg.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { Image, load } from "./host.mjs";

const FOLDER = process.env.SYNCSTRESS_MEMORY;
assert.ok(FOLDER, "SYNCSTRESS_MEMORY names the folder of the images; see `cargo xtask test`");

// Values of the script's own realm, as this one's.
const plain = (value) => JSON.parse(JSON.stringify(value));

function image(name) {
    return Image.read(join(FOLDER, name));
}

// What the tool says that a debugger must show.
function expected(name) {
    return JSON.parse(readFileSync(join(FOLDER, name, "held.json"), "utf8"));
}

function member(held, name) {
    const lines = held.shows.find((it) => it.command.startsWith("dt ")).lines;
    const line = lines.find((it) => it.startsWith(`${name} : `));
    return line && line.split(" : ")[1];
}

function owners(held) {
    return held.threads
        .filter((it) => it.role === "owner")
        .map(({ address, count }) => {
            if ((BigInt(address) & 3n) === 3n) {
                return `owner pointer ${address}`;
            }
            return `thread ${address}` + (count > 1 ? ` (${count} times)` : "");
        });
}

for (const driver of ["plain", "lockdep"]) {
    test(`${driver}: every pattern is listed with what it is doing`, () => {
        const { aliases } = load(image(driver));
        const patterns = plain(aliases.syncstress().Patterns);
        const all = expected(driver);
        assert.ok(all.length >= 15);
        assert.deepEqual(patterns.map((it) => it.Name).sort(), all.map((it) => it.pattern).sort());
        for (const held of all) {
            const lock = patterns.find((it) => it.Name === held.pattern);
            assert.equal(lock.Problem, "", held.pattern);
            assert.equal(lock.Kind, held.kind);
            assert.equal(lock.Address, held.address);
            assert.deepEqual([...lock.Owners].sort(), owners(held).sort(), held.pattern);
            const waiting = held.threads.filter((it) => it.role !== "owner");
            assert.equal(lock.Waiters, waiting.length, held.pattern);
            assert.deepEqual(
                lock.WaitingThreads,
                waiting.map((it) => `thread ${it.address} ${it.role}`)
            );
            const contention = member(held, "ContentionCount") || member(held, "Contention");
            if (contention !== undefined) {
                assert.equal(String(lock.Contention), contention, held.pattern);
            }
            const shared = held.shows[0].lines[0].includes("Shared ");
            if (lock.Owners.length > 0) {
                assert.equal(lock.Access, shared ? "shared" : "exclusive", held.pattern);
            }
        }
    });

    test(`${driver}: the aliases and the session show the same locks`, () => {
        const { aliases, parents } = load(image(driver));
        const session = new parents["Debugger.Models.Session"]();
        const locks = plain(aliases.syncstress().Locks);
        assert.deepEqual(plain(session.SyncStress.Locks), locks);
        const lines = plain(aliases.synclocks());
        assert.equal(lines.length, locks.length);
        for (const { Name, Address } of locks) {
            assert.ok(lines.some((line) => line.includes(Name) && line.includes(Address)));
        }
    });

    test(`${driver}: what only looks like the table misleads nobody`, () => {
        const memory = image(driver);
        const module = memory.modules.find((it) => it.name.toLowerCase().startsWith("syncstress"));
        const at = find(memory, module, "syncstress held1");
        const { aliases } = load(memory);
        assert.equal(aliases.syncstress().Patterns.length, expected(driver).length);
        assert.equal(aliases.syncstress("SyncStress").Patterns.length, expected(driver).length);
        assert.equal(aliases.syncstress("another").Patterns.length, 0);
        // Its size is another: a table of another version, or a copy of the text.
        memory.write(at + 16n, Buffer.from([1]));
        assert.equal(aliases.syncstress().Patterns.length, 0, "known, and looked at again");
        assert.equal(load(memory).aliases.syncstress().Patterns.length, 0);
    });
}

// Where a magic is in a module.
function find(memory, module, magic) {
    for (let offset = 0; offset < module.size; offset += 8) {
        try {
            const at = module.address + BigInt(offset);
            if (memory.at(at, 16).toString("latin1") === magic) {
                return at;
            }
        } catch {
            // A page that is not there.
        }
    }
    throw new Error(`no ${magic}`);
}

test("a driver without lockdep has no classes, and says so", () => {
    const all = load(image("plain")).aliases.syncstress();
    assert.equal(all.Classes.length, 0);
    assert.equal(all.Locks.length, all.Patterns.length);
    assert.match(all.toString(), /without lockdep/);
});

test("lockdep's classes have kind, name, line and counts", () => {
    const all = load(image("lockdep")).aliases.syncstress();
    assert.doesNotMatch(all.toString(), /without lockdep/);
    const classes = plain(all.Classes);
    for (const kind of ["ERESOURCE", "KMUTEX", "recursive KMUTEX", "FAST_MUTEX"]) {
        const found = classes.filter((it) => it.Kind === kind);
        assert.ok(found.some((it) => /hold.(resource|mutex|fast_mutex)\.rs:\d+:\d+$/.test(it.MadeAt)), kind);
        assert.ok(found.some((it) => it.Acquisitions > 0), kind);
    }
    const resources = classes.filter((it) => it.Kind === "ERESOURCE");
    assert.ok(resources.some((it) => it.Contentions > 0), "somebody had to wait");
    assert.deepEqual(classes.map((it) => it.Number), classes.map((_, index) => index));
});

test("lockdep's holds tell the class of what a pattern holds, and where it was asked for", () => {
    const locks = plain(load(image("lockdep")).aliases.syncstress().Locks);
    const kinds = {
        "resource.exclusive": "ERESOURCE `()`",
        "mutex.recursive": "recursive KMUTEX `()`",
        "fast-mutex.waiters": "FAST_MUTEX `()`",
    };
    for (const [name, kind] of Object.entries(kinds)) {
        const lock = locks.find((it) => it.Name === name);
        assert.match(lock.Class, /^class \d+: /, name);
        assert.ok(lock.Class.endsWith(kind), lock.Class);
        assert.match(lock.MadeAt, /hold.\w+\.rs:\d+:\d+$/);
        assert.match(lock.AskedAt, /hold.\w+\.rs:\d+:\d+$/);
    }
    // What belongs to no thread, and timers, lockdep does not know.
    for (const name of ["resource.handed-over", "timer.set"]) {
        assert.equal(locks.find((it) => it.Name === name).Class, "");
    }
});

test("memory that is gone is told of, and nothing else suffers", () => {
    const memory = image("plain");
    const lost = expected("plain").find((it) => it.pattern === "resource.shared");
    const address = BigInt(lost.address);
    memory.regions = memory.regions.filter(
        (it) => address < it.address || address >= it.address + BigInt(it.size)
    );
    const patterns = plain(load(memory).aliases.syncstress().Patterns);
    const broken = patterns.filter((it) => it.Problem !== "");
    assert.ok(broken.some((it) => it.Name === "resource.shared"));
    assert.ok(patterns.some((it) => it.Name === "mutex.owned" && it.Problem === ""));
});

test("a list that does not come back to its head ends", () => {
    const memory = image("plain");
    const held = expected("plain").find((it) => it.pattern === "mutex.waiters");
    const head = BigInt(held.address) + 8n;
    const block = memory.at(head, 8).readBigUInt64LE();
    const loop = Buffer.alloc(8);
    loop.writeBigUInt64LE(block);
    memory.write(block, loop);
    const lock = load(memory).aliases.syncstress().Patterns.find((it) => it.Name === "mutex.waiters");
    assert.equal(lock.Waiters, 1000);
});
