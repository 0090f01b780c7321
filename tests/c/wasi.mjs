// Run a test that was compiled to WebAssembly: node wasi.mjs FILE [ARGUMENT ...]
import fs from "node:fs";
import {setFlagsFromString} from "node:v8";
import {WASI} from "node:wasi";

const args = process.argv.slice(2);
const bytes = fs.readFileSync(args[0]);
// Node 20 knows relaxed SIMD, but does not use it unless told to; newer ones always do.
if (!WebAssembly.validate(bytes)) setFlagsFromString("--experimental-wasm-relaxed-simd");
const wasi = new WASI({version: "preview1", args, env: process.env, returnOnExit: true});
const module = await WebAssembly.compile(bytes);
const host = {now: () => performance.now()};
const instance = await WebAssembly.instantiate(module, {...wasi.getImportObject(), host});
process.exitCode = wasi.start(instance);
