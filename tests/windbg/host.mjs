// A stand-in for WinDbg's host API over a memory image of nthost: what syncstress.js uses of it, in the
// form of the page "Native Debugger Objects in JavaScript Extensions - Debugger Object Details".

import { readFileSync } from "node:fs";
import { join } from "node:path";
import vm from "node:vm";

// A number of 64 bits, as the host has it: nothing of it is a number of JavaScript.
class Int64 {
    constructor(low, high = 0) {
        this.value = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
    }

    static of(value) {
        return new Int64(Number(value & 0xffffffffn), Number(value >> 32n));
    }

    toString(radix = 10) {
        return (radix === 16 ? "0x" : "") + this.value.toString(radix);
    }
}

// The memory of a target.
export class Image {
    constructor(modules, regions, bytes) {
        this.modules = modules;
        this.regions = regions.sort((a, b) => (a.address < b.address ? -1 : 1));
        this.bytes = bytes;
    }

    // What `held-memory` wrote into a folder.
    static read(folder) {
        const index = JSON.parse(readFileSync(join(folder, "memory.json"), "utf8"));
        const bytes = readFileSync(join(folder, "memory.bin"));
        const regions = index.regions.map((it) => ({ ...it, address: BigInt(it.address) }));
        const modules = index.modules.map((it) => ({ ...it, address: BigInt(it.address) }));
        return new Image(modules, regions, bytes);
    }

    // The bytes at an address, which may go over from one region to the next.
    at(address, length) {
        const found = Buffer.alloc(length);
        for (let done = 0; done < length; ) {
            const here = address + BigInt(done);
            const covers = (it) => it.address <= here && here < it.address + BigInt(it.size);
            const region = this.regions.find(covers);
            if (!region) {
                throw new Error(`Unable to read memory at Address 0x${here.toString(16)}`);
            }
            const start = Number(here - region.address);
            const count = Math.min(length - done, region.size - start);
            this.bytes.copy(found, done, region.offset + start, region.offset + start + count);
            done += count;
        }
        return found;
    }

    // Changes memory, for a test that wants something to be wrong.
    write(address, bytes) {
        const covers = (it) => it.address <= address && address < it.address + BigInt(it.size);
        const region = this.regions.find(covers);
        bytes.copy(this.bytes, region.offset + Number(address - region.address));
    }
}

// The host object over an image.
function hostOf(image) {
    const arrays = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array };
    return {
        Int64,
        functionAlias: class {
            constructor(called, name) {
                Object.assign(this, { called, name });
            }
        },
        namedModelParent: class {
            constructor(model, parent) {
                Object.assign(this, { model, parent });
            }
        },
        memory: {
            readMemoryValues(location, count, size = 1) {
                if (!(location instanceof Int64)) {
                    throw new Error("the location is no address");
                }
                const bytes = image.at(location.value, count * size);
                const copy = new ArrayBuffer(bytes.length);
                new Uint8Array(copy).set(bytes);
                return new arrays[size](copy);
            },
        },
        currentProcess: {
            Modules: image.modules.map(({ name, address, size }) => ({
                Name: `\\SystemRoot\\System32\\drivers\\${name}`,
                BaseAddress: Int64.of(address),
                Size: Int64.of(BigInt(size)),
            })),
        },
    };
}

// Loads the script as `.scriptload` does: root code with the smallest host, then initializeScript, and
// only then memory and the rest. Gives what it registered.
export function load(image) {
    const source = readFileSync(new URL("syncstress.js", import.meta.url), "utf8");
    const complete = hostOf(image);
    const { functionAlias, namedModelParent, Int64: number } = complete;
    const host = { functionAlias, namedModelParent, Int64: number };
    const context = vm.createContext({ host, BigInt: undefined });
    vm.runInContext(source, context, { filename: "syncstress.js" });
    const registered = vm.runInContext("initializeScript()", context);
    Object.assign(host, complete);
    const aliases = Object.fromEntries(
        registered.filter((it) => it.name).map((it) => [it.name, it.called])
    );
    const parents = Object.fromEntries(
        registered.filter((it) => it.parent).map((it) => [it.parent, it.model])
    );
    return { aliases, parents };
}
