// Tests of the page's worker, client and messages: node web_client.mjs PAGE FOLDER
// PAGE is gradcam/_page, FOLDER made by test_web_core.py. Prints {passed, failed: [messages]}.
import assert from "node:assert";
import fs from "node:fs";
import {openClient} from "../gradcam/_page/page/client.js";
import {chooseModule, openCore} from "../gradcam/_page/page/core.js";
import {decodeBase64} from "../gradcam/_page/page/base64.js";
import {LITTLE_MEMORY} from "../gradcam/_page/page/memory.js";
import {openWorker} from "../gradcam/_page/page/worker.js";

const [page, folder] = process.argv.slice(2);
const simd128 = new Uint8Array(fs.readFileSync(`${page}/core-simd128.wasm`));
const networkOf = (name) => ({
  description: JSON.parse(fs.readFileSync(`${folder}/${name}.json`)),
  weights: fs.readFileSync(`${folder}/${name}.bin`).toString("base64"),
});
const wasm = {simd128: Buffer.from(simd128).toString("base64"), relaxed: new Uint8Array(8)};
const given = {wasm, networks: {weak: networkOf("weak")}, workerSource: ""};
const grey = new Uint8ClampedArray(224 * 224 * 4).fill(128);

/** A worker in this thread, which answers when `step` is called. */
class Worker {
  constructor() {
    Worker.last = this;
    this.waiting = [];
    this.answer = null;
  }
  postMessage(data) {
    this.waiting.push(data);
    if (this.answer === null || Worker.answersAtOnce) setTimeout(() => this.step());
  }
  async step() {
    const data = this.waiting.shift();
    try {
      if (this.answer !== null) return this.onmessage({data: {value: this.answer(data)}});
      const worker = await openWorker(data);
      this.answer = worker.answer;
      this.onmessage({data: {value: worker.opened}});
    } catch (error) {
      this.onmessage({data: {error: error.message}});
    }
  }
  terminate() {
    this.ended = true;
  }
}
globalThis.Worker = Worker;
URL.createObjectURL = () => "blob:";
URL.revokeObjectURL = () => {};

const tests = {
  "base64 of every length"() {
    for (let length = 0; length < 50; length++) {
      const bytes = Uint8Array.from({length}, (_, i) => (i * 89 + length * 31) % 256);
      assert.deepEqual(decodeBase64(Buffer.from(bytes).toString("base64")), bytes);
    }
  },
  async "what the client knows"() {
    const client = await openClient(given);
    assert.equal(client.level, "simd128");
    const {labels, layers, size, targetLayer} = client.networks.weak;
    assert.equal(labels.length, 36);
    assert.deepEqual(size, [224, 224]);
    assert.equal(targetLayer, "features.11");
    assert.deepEqual(layers[0], {name: "input", op: "input", shape: [3, 224, 224], flat: false});
  },
  async "an answer"() {
    const client = await openClient(given);
    Worker.answersAtOnce = true;
    const maps = [{method: "grad_cam", target: "top"}, {method: "saliency", target: 3}];
    const inside = {layer: "features.4", target: "top"};
    const reply = await client.run({network: "weak", picture: grey, maps, inside});
    Worker.answersAtOnce = false;
    const top = reply.scores.indexOf(Math.max(...reply.scores));
    assert.equal(reply.probabilities.length, 36);
    assert.deepEqual(
      reply.maps.map(({method, target, layer, width, height}) => [method, target, layer, width, height]),
      [["grad_cam", top, "features.11", 224, 224], ["saliency", 3, "features.11", 224, 224]],
    );
    const {channels, width, height, activations, alphas} = reply.inside;
    assert.equal(reply.inside.target, top);
    assert.deepEqual([channels, width, height], [48, 27, 27]);
    assert.equal(activations.length, 48 * 27 * 27);
    assert.equal(alphas.length, 48);
    assert.ok(reply.milliseconds > 0);
  },
  async "the latest of what is shown wins, and both kinds take turns"() {
    const client = await openClient(given);
    const order = [];
    const note = (name) => (reply) => order.push(reply === null ? `${name} replaced` : name);
    const request = {network: "weak", picture: grey};
    const all = [
      client.show(request).then(note("show 1")),
      client.show(request).then(note("show 2")),
      client.run(request).then(note("run 1")),
      client.run(request).then(note("run 2")),
      client.show(request).then(note("show 3")),
    ];
    while (Worker.last.waiting.length > 0) {
      assert.equal(Worker.last.waiting.length, 1); // one is in flight
      await Worker.last.step();
      await new Promise((resolve) => setTimeout(resolve));
    }
    await Promise.all(all);
    assert.deepEqual(order, ["show 2 replaced", "show 1", "run 1", "show 3", "run 2"]);
  },
  async "errors of a request are its own"() {
    const client = await openClient(given);
    Worker.answersAtOnce = true;
    const request = {network: "weak", picture: grey};
    const ask = (changes) => client.run({...request, ...changes});
    await assert.rejects(ask({picture: grey.subarray(4)}), /takes 224 x 224 pixels/);
    const map = (change) => ({maps: [{method: "grad_cam", target: 0, ...change}]});
    await assert.rejects(ask(map({target: 36})), /no class 36: the network has 36/);
    await assert.rejects(ask(map({layer: "fc"})), /no layer fc/);
    await assert.rejects(ask(map({layer: "classifier.1"})), /classifier.1 has no map/);
    await assert.rejects(ask(map({method: "magic"})), /no method magic/);
    assert.equal((await ask({})).scores.length, 36);
    Worker.answersAtOnce = false;
  },
  async "a worker that dies"() {
    const client = await openClient(given);
    const request = {network: "weak", picture: grey};
    const waiting = [client.show(request), client.show(request), client.run(request)];
    Worker.last.onerror({message: "it died"});
    for (const each of [waiting[0], waiting[1], waiting[2], client.run(request)])
      await assert.rejects(each, /open the page again \(it died\)/);
  },
  async "an answer after the worker has failed"() {
    const client = await openClient(given);
    const waiting = client.run({network: "weak", picture: grey});
    Worker.last.onerror({message: "it died"});
    await assert.rejects(waiting, /open the page again/);
    Worker.last.onmessage({data: {value: 1}}); // nobody waits for it
  },
  async "a worker that cannot open is ended"() {
    await assert.rejects(openClient({...given, wasm: {simd128: new Uint8Array(8), relaxed: ""}}));
    assert.ok(Worker.last.ended);
  },
  async "a closed client"() {
    const client = await openClient(given);
    const waiting = client.run({network: "weak", picture: grey});
    client.close();
    await assert.rejects(waiting, /ended the computation/);
    assert.ok(Worker.last.ended);
  },
  async "no workers"() {
    delete globalThis.Worker;
    await assert.rejects(openClient(given), /cannot compute in the background/);
    globalThis.Worker = Worker;
  },
  "the fastest module that the browser takes"() {
    const empty = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0);
    assert.equal(chooseModule({simd128, relaxed: empty}), empty);
    assert.equal(chooseModule({simd128, relaxed: empty.subarray(1)}), simd128);
  },
  "no SIMD"() {
    const bytes = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 255);
    assert.throws(() => chooseModule({simd128: bytes}), /no WebAssembly with SIMD/);
  },
  async "no WebAssembly"() {
    const found = globalThis.WebAssembly;
    globalThis.WebAssembly = undefined;
    try {
      await assert.rejects(openCore(simd128), /has no WebAssembly, or it is switched off/);
    } finally {
      globalThis.WebAssembly = found;
    }
  },
  async "a page that may not run WebAssembly"() {
    const compile = WebAssembly.compile;
    WebAssembly.compile = async () => {
      throw new WebAssembly.CompileError("blocked by CSP");
    };
    try {
      await assert.rejects(openCore(simd128), /does not allow .* \(blocked by CSP\)/);
    } finally {
      WebAssembly.compile = compile;
    }
  },
  async "too little memory at the start"() {
    const instantiate = WebAssembly.instantiate;
    WebAssembly.instantiate = async () => {
      throw new RangeError("could not allocate memory");
    };
    try {
      await assert.rejects(openCore(simd128), {message: LITTLE_MEMORY});
    } finally {
      WebAssembly.instantiate = instantiate;
    }
  },
  async "too little memory later, and enough again"() {
    const core = await openCore(simd128);
    const {description, weights} = networkOf("weak");
    const network = core.network(description, decodeBase64(weights));
    const {gc_alloc_live: live} = core.memory.exports;
    const taken = [];
    const fill = () => {
      for (;;) taken.push(core.memory.take(1 << 20));
    };
    const failed = () => {
      assert.throws(() => network.forward(grey), {message: LITTLE_MEMORY});
      assert.throws(() => network.scores(), /has not seen a picture/);
      return live();
    };
    const looked = () => {
      network.forward(grey);
      assert.equal(network.map("saliency", 0).raw.length, 3 * 224 * 224);
      assert.equal(network.scores().length, 36);
      return live();
    };
    assert.throws(fill, {message: LITTLE_MEMORY});
    assert.equal(failed(), failed()); // it leaves nothing behind
    core.memory.give(...taken);
    assert.equal(looked(), looked());
  },
};

const answer = {passed: 0, failed: []};
for (const [name, test] of Object.entries(tests)) {
  try {
    await test();
    answer.passed++;
  } catch (error) {
    answer.failed.push(`${name}: ${error.stack}`);
  }
}
console.log(JSON.stringify(answer));
