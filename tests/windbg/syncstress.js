// Locks of a driver that uses wdk-sync, for WinDbg.
//
//     .scriptload C:\checkout\tests\windbg\syncstress.js
//     !syncstress                          what there is
//     dx -g @$syncstress().Locks           locks that are held: name, owners, waiters, class, contention
//     dx -g @$syncstress().Patterns        those that `syncstress hold` holds
//     dx -g @$syncstress().Classes         classes, of a driver of `cargo xtask build --lockdep`
//     dx @$cursession.SyncStress.Locks     the same
//
// It reads two tables of the driver, each found in the driver's image by the sixteen bytes that it begins
// with, so that no symbols are needed: what wdk-sync knows of locks (features lockdep and lock_stat), and
// what syncstress.sys holds on purpose. What a lock is doing is read from the lock itself, by the members
// that wdm.h declares. Of the host's functions it uses no more than those on the page "Native Debugger
// Objects in JavaScript Extensions - Debugger Object Details", and a module's Name, BaseAddress and Size.
// The language is ECMAScript 6: no BigInt.
"use strict";

// The driver that is looked at if no other is named.
const MODULE = "syncstress";

const TABLES = {
    locks: {
        magic: "wdk-sync locks 2",
        size: 0xa8,
    },
    held: {
        magic: "syncstress held1",
        size: 0x120,
    },
};

// No list and no text of a target that is longer is one that somebody meant.
const LONGEST_LIST = 1000;
const LONGEST_TEXT = 1024;
// How much of an image is read at once when it is searched.
const PIECE = 0x1000;
// What the offset of a member is that the driver was built without.
const NOWHERE = 0xffffffff;

// Text in hexadecimal with zeros before it.
function padded(digits, width) {
    return "0".repeat(Math.max(width - digits.length, 0)) + digits;
}

// An address of 64 bits. Numbers have 53, and the host's own type differs between its versions.
class Address {
    constructor(low, high) {
        this.low = low >>> 0;
        this.high = high >>> 0;
    }

    // Of a number, of the host's type, or of text in hexadecimal.
    static from(value) {
        if (value instanceof Address) {
            return value;
        }
        const digits = padded(value.toString(16).replace(/^0x/i, ""), 16);
        return new Address(parseInt(digits.slice(-8), 16), parseInt(digits.slice(-16, -8), 16));
    }

    get isNull() {
        return this.low === 0 && this.high === 0;
    }

    plus(offset) {
        const low = this.low + offset;
        return new Address(low % 0x100000000, this.high + Math.floor(low / 0x100000000));
    }

    // With these of the low bits cleared.
    without(bits) {
        return new Address(this.low & ~bits, this.high);
    }

    equals(other) {
        return this.low === other.low && this.high === other.high;
    }

    toHost() {
        return new host.Int64(this.low, this.high);
    }

    toString() {
        const part = (number) => padded(number.toString(16), 8);
        return "0x" + part(this.high) + part(this.low);
    }
}

// Memory of the target. What cannot be read is an error, which the callers show in place of a value.
const memory = {
    bytes(at, count) {
        return host.memory.readMemoryValues(at.toHost(), count, 1);
    },
    u8(at) {
        return memory.bytes(at, 1)[0];
    },
    u16(at) {
        return host.memory.readMemoryValues(at.toHost(), 1, 2)[0];
    },
    u32(at) {
        return host.memory.readMemoryValues(at.toHost(), 1, 4)[0];
    },
    i32(at) {
        return memory.u32(at) | 0;
    },
    pointer(at) {
        const [low, high] = host.memory.readMemoryValues(at.toHost(), 2, 4);
        return new Address(low, high);
    },
    // A count of 64 bits, as a number: exact below 2^53.
    count(at) {
        const { low, high } = memory.pointer(at);
        return high * 0x100000000 + low;
    },
    // UTF-8, up to the first zero.
    text(at, length) {
        let encoded = "";
        for (const byte of memory.bytes(at, Math.min(length, LONGEST_TEXT))) {
            if (byte === 0) {
                break;
            }
            encoded += "%" + padded(byte.toString(16), 2);
        }
        return decodeURIComponent(encoded);
    },
    // A text of the driver's: where it is, and its length.
    textAt(at) {
        const length = memory.count(at.plus(8));
        return length === 0 ? "" : memory.text(memory.pointer(at), length);
    },
    // The entries of a LIST_ENTRY list, without its head.
    list(head) {
        const entries = [];
        let entry = memory.pointer(head);
        while (!entry.equals(head) && !entry.isNull && entries.length < LONGEST_LIST) {
            entries.push(entry);
            entry = memory.pointer(entry);
        }
        return entries;
    },
};

// ---- where the tables are

function begins(at, table) {
    try {
        return memory.text(at, 16) === table.magic && memory.u32(at.plus(16)) === table.size;
    } catch (error) {
        return false;
    }
}

// Searches an image, piece by piece; parts that cannot be read (INIT, when it is gone) are passed over.
function search({ base, size }, table) {
    const first = table.magic.charCodeAt(0);
    for (let offset = 0; offset < size; offset += PIECE) {
        let bytes;
        try {
            bytes = memory.bytes(base.plus(offset), Math.min(PIECE, size - offset));
        } catch (error) {
            continue;
        }
        for (let place = 0; place < bytes.length; place += 8) {
            const at = base.plus(offset + place);
            if (bytes[place] === first && begins(at, table)) {
                return at;
            }
        }
    }
    return null;
}

function baseName(path) {
    return path.split(/[\\/]/).pop().replace(/\.[^.]*$/, "");
}

// The image of a driver, by the name of its file without extension.
function image(name) {
    for (const module of host.currentProcess.Modules) {
        if (baseName(module.Name).toLowerCase() === name.toLowerCase()) {
            return { base: Address.from(module.BaseAddress), size: Address.from(module.Size).low };
        }
    }
    return null;
}

// Where tables were found, so that an image is searched once.
const found = new Map();

// A table of a driver; null if it has none, or is not loaded.
function find(table, name) {
    const driver = image(name || MODULE);
    if (!driver) {
        return null;
    }
    const key = driver.base + table.magic;
    const known = found.get(key);
    if (known && begins(known, table)) {
        return known;
    }
    const at = search(driver, table);
    found.set(key, at);
    return at;
}

// ---- what wdk-sync knows: classes, and who holds locks of them

function readTable(at) {
    return {
        used: memory.pointer(at),
        first: memory.pointer(at.plus(8)),
        stride: memory.u32(at.plus(16)),
        capacity: memory.u32(at.plus(20)),
    };
}

function readOffsets(at, names) {
    const offsets = {};
    names.forEach((name, index) => {
        offsets[name] = memory.u32(at.plus(4 * index));
    });
    return offsets;
}

class LockClass {
    constructor(number, kind, name, nest, madeAt, counters) {
        this.Number = number;
        this.Kind = kind;
        this.Name = name;
        this.Nest = nest;
        this.MadeAt = madeAt;
        if (counters) {
            this.Acquisitions = counters.acquisitions;
            this.Contentions = counters.contentions;
        }
    }

    toString() {
        const nest = this.Nest === 0 ? "" : ", nested " + this.Nest;
        return "class " + this.Number + ": " + this.Kind + " `" + this.Name + "`" + nest;
    }
}

class Registry {
    constructor(at) {
        this.at = at;
        this.kinds = [];
        const kinds = memory.pointer(at.plus(0x18));
        for (let number = 0; number < memory.u32(at.plus(0x20)); number += 1) {
            this.kinds.push(memory.textAt(kinds.plus(16 * number)));
        }
    }

    classes() {
        const at = this.at;
        const table = readTable(at.plus(0x28));
        const names = ["kind", "nest", "name", "file", "line", "column", "contentions", "acquisitions"];
        const offset = readOffsets(at.plus(0x40), names);
        const used = Math.min(memory.count(table.used), table.capacity);
        const classes = [];
        for (let number = 0; number < used; number += 1) {
            const entry = table.first.plus(number * table.stride);
            const line = (name) => memory.u32(entry.plus(offset[name]));
            const madeAt = memory.textAt(entry.plus(offset.file)) + ":" + line("line") + ":" + line("column");
            const counter = (name) => memory.count(entry.plus(offset[name]));
            const counters = offset.contentions === NOWHERE
                ? null
                : { acquisitions: counter("acquisitions"), contentions: counter("contentions") };
            classes.push(new LockClass(
                number,
                this.kinds[memory.u8(entry.plus(offset.kind))],
                memory.textAt(entry.plus(offset.name)),
                memory.u8(entry.plus(offset.nest)),
                madeAt,
                counters
            ));
        }
        return classes;
    }

    // Everything that is held, by whom: the object, the number of its class, the thread (none in a DPC),
    // whether it is shared, and where it was asked for.
    holds() {
        const table = readTable(this.at.plus(0x60));
        const names = [
            "owner", "depth", "places", "stride", "count", "object", "class", "shared", "file", "line", "column",
        ];
        const offset = readOffsets(this.at.plus(0x78), names);
        const holds = [];
        for (let index = 0; index < table.capacity; index += 1) {
            const holder = table.first.plus(index * table.stride);
            const owner = memory.pointer(holder.plus(offset.owner));
            if (owner.isNull) {
                continue;
            }
            const depth = Math.min(memory.count(holder.plus(offset.depth)), offset.count);
            for (let level = 0; level < depth; level += 1) {
                const place = holder.plus(offset.places + level * offset.stride);
                const number = memory.u16(place.plus(offset.class));
                if (number === 0) {
                    continue;
                }
                holds.push({
                    object: memory.pointer(place.plus(offset.object)),
                    classNumber: number - 1,
                    thread: (owner.low & 1) === 0 ? owner : null,
                    shared: memory.u8(place.plus(offset.shared)) !== 0,
                    askedAt: memory.textAt(place.plus(offset.file)) + ":"
                        + memory.u32(place.plus(offset.line)) + ":" + memory.u32(place.plus(offset.column)),
                });
            }
        }
        return holds;
    }
}

// ---- what syncstress.sys holds on purpose

const HELD_KINDS = [undefined, "ERESOURCE", "KMUTANT", "FAST_MUTEX", "KTIMER"];
const HELD_ROLES = [undefined, "owner", "waits for shared access", "waits for exclusive access"];

function readPatterns(at) {
    const patterns = [];
    for (let slot = 0; slot < memory.u32(at.plus(0x14)); slot += 1) {
        const object = memory.pointer(at.plus(0x20 + 8 * slot));
        if (object.isNull) {
            continue;
        }
        const threads = [];
        for (let index = 0; index < Math.min(memory.u32(object.plus(0x18)), 8); index += 1) {
            const thread = object.plus(0x20 + 16 * index);
            threads.push({
                thread: memory.pointer(thread),
                role: HELD_ROLES[memory.u32(thread.plus(8))],
                count: memory.u32(thread.plus(12)),
            });
        }
        patterns.push({
            name: memory.text(object.plus(0xa0), 64),
            kind: HELD_KINDS[memory.u32(object.plus(8))],
            address: memory.pointer(object),
            threads,
        });
    }
    return patterns;
}

// ---- what a lock is doing, from its own members

const WAIT_LIST = 8;
const WAIT_BLOCK_THREAD = 0x18;

function waitingThreads(header) {
    return memory.list(header.plus(WAIT_LIST)).map((block) => memory.pointer(block.plus(WAIT_BLOCK_THREAD)));
}

function readResource(at) {
    const RESOURCE_OWNED_EXCLUSIVE = 0x80;
    const COUNT_SHIFT = 3;
    const owners = [];
    const add = (entry) => {
        const thread = memory.pointer(entry);
        if (!thread.isNull) {
            owners.push({ thread, count: memory.u32(entry.plus(8)) >>> COUNT_SHIFT });
        }
    };
    add(at.plus(0x30));
    const table = memory.pointer(at.plus(0x10));
    const size = table.isNull ? 0 : Math.min(memory.u32(table.plus(8)), LONGEST_LIST);
    for (let index = 1; index < size; index += 1) {
        add(table.plus(16 * index));
    }
    return {
        owners,
        exclusive: (memory.u16(at.plus(0x1a)) & RESOURCE_OWNED_EXCLUSIVE) !== 0,
        contention: memory.u32(at.plus(0x44)),
        // Windows does not document how the waiters themselves are linked.
        waiters: memory.u32(at.plus(0x48)) + memory.u32(at.plus(0x4c)),
        sharedWaiters: memory.u32(at.plus(0x48)),
        exclusiveWaiters: memory.u32(at.plus(0x4c)),
    };
}

function readMutant(at) {
    const state = memory.i32(at.plus(4));
    const thread = memory.pointer(at.plus(0x28));
    const waiting = waitingThreads(at);
    return {
        owners: thread.isNull ? [] : [{ thread, count: 1 - state }],
        exclusive: !thread.isNull,
        waiters: waiting.length,
        waiting,
        signalState: state,
        apcDisable: memory.u8(at.plus(0x31)),
    };
}

function readFastMutex(at) {
    const thread = memory.pointer(at.plus(8));
    const waiting = waitingThreads(at.plus(0x18));
    return {
        owners: thread.isNull ? [] : [{ thread, count: 1 }],
        exclusive: !thread.isNull,
        contention: memory.u32(at.plus(0x10)),
        waiters: waiting.length,
        waiting,
    };
}

function readTimer(at) {
    return { owners: [], waiters: waitingThreads(at).length, period: memory.u32(at.plus(0x3c)) };
}

const READERS = {
    "ERESOURCE": readResource,
    "KMUTEX": readMutant,
    "recursive KMUTEX": readMutant,
    "KMUTANT": readMutant,
    "FAST_MUTEX": readFastMutex,
    "KGUARDED_MUTEX": readFastMutex,
    "KTIMER": readTimer,
};

// ---- all of it together

function owner({ thread, count }) {
    const times = count > 1 ? " (" + count + " times)" : "";
    // Both low bits of an owner pointer of an ERESOURCE are set: no thread.
    return (thread.low & 3) === 3 ? "owner pointer " + thread : "thread " + thread + times;
}

class Lock {
    constructor(name, kind, address) {
        this.Name = name;
        this.Kind = kind;
        this.Address = address.toString();
        this.Owners = [];
        this.Access = "";
        this.Waiters = 0;
        this.WaitingThreads = [];
        this.Contention = "not counted";
        this.Class = "";
        this.MadeAt = "";
        this.AskedAt = "";
        this.Problem = "";
        this.look(address);
    }

    // Reads the lock itself, if its kind is one whose members are declared.
    look(address) {
        const read = READERS[this.Kind];
        if (!read) {
            return;
        }
        try {
            const state = read(address);
            this.Owners = state.owners.map(owner);
            if (state.owners.length > 0) {
                this.Access = state.exclusive ? "exclusive" : "shared";
            }
            this.Waiters = state.waiters;
            this.WaitingThreads = (state.waiting || []).map((thread) => "thread " + thread);
            if (state.contention !== undefined) {
                this.Contention = state.contention;
            }
        } catch (error) {
            this.Problem = "cannot be read: " + error.message;
        }
    }

    toString() {
        const owners = this.Owners.length === 0 ? "no owner" : this.Access + ": " + this.Owners.join(", ");
        const waiters = this.Waiters === 0 ? "" : ", " + this.Waiters + " waiting";
        const lockClass = this.Class === "" ? "" : ", " + this.Class;
        return this.Kind + " " + this.Address + " " + this.Name + " - " + owners + waiters + lockClass;
    }
}

class SyncStress {
    constructor(module) {
        this.module = module;
    }

    // The classes of the driver's locks.
    get Classes() {
        const at = find(TABLES.locks, this.module);
        return at ? new Registry(at).classes() : [];
    }

    // What `syncstress hold` holds.
    get Patterns() {
        const at = find(TABLES.held, this.module);
        const patterns = at ? readPatterns(at) : [];
        return patterns.map(({ name, kind, address, threads }) => {
            const lock = new Lock(name, kind, address);
            const waits = (thread) => thread.role !== "owner";
            // Of an ERESOURCE the pattern knows what the lock's members do not tell.
            lock.WaitingThreads = threads.filter(waits).map(({ thread, role }) => "thread " + thread + " " + role);
            return lock;
        });
    }

    // The locks that are held: those of patterns, and all that lockdep knows of.
    get Locks() {
        const locks = this.Patterns;
        const at = find(TABLES.locks, this.module);
        if (!at) {
            return locks;
        }
        const registry = new Registry(at);
        const classes = registry.classes();
        for (const hold of registry.holds()) {
            const lockClass = classes[hold.classNumber];
            const address = hold.object.toString();
            let lock = locks.find((other) => other.Address === address);
            if (!lock) {
                const name = lockClass ? lockClass.Name : "";
                lock = new Lock(name, lockClass ? lockClass.Kind : "lock", hold.object);
                locks.push(lock);
            }
            if (lockClass) {
                lock.Class = lockClass.toString();
                lock.MadeAt = lockClass.MadeAt;
            }
            lock.AskedAt = hold.askedAt;
            if (lock.Owners.length === 0 && !READERS[lock.Kind]) {
                lock.Owners.push(hold.thread ? "thread " + hold.thread : "a DPC");
                lock.Access = hold.shared ? "shared" : "exclusive";
            }
        }
        return locks;
    }

    toString() {
        const { Classes, Locks, Patterns } = this;
        const watched = find(TABLES.locks, this.module) ? "" : " (a driver without lockdep: patterns alone)";
        return Locks.length + " locks held" + watched + ", " + Patterns.length + " by patterns, "
            + Classes.length + " classes";
    }
}

// `!syncstress`, or `!syncstress "another"` for another driver on wdk-sync.
function syncstress(module) {
    return new SyncStress(module);
}

// `!synclocks`: the locks that are held, a line for each.
function synclocks(module) {
    return new SyncStress(module).Locks.map((lock) => lock.toString());
}

class SyncStressOfSession {
    get SyncStress() {
        return new SyncStress();
    }
}

function initializeScript() {
    return [
        new host.functionAlias(syncstress, "syncstress"),
        new host.functionAlias(synclocks, "synclocks"),
        new host.namedModelParent(SyncStressOfSession, "Debugger.Models.Session"),
    ];
}
