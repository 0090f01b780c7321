// The memory of the WebAssembly module: blocks, texts and the structs of csrc/gradcam.h, whose
// layout csrc/web/entry.c checks.

const NO_MEMORY = 1; // of gc_status

export const LITTLE_MEMORY =
  "The browser has too little memory for this page: close other tabs or programs, and open it again.";

export class Memory {
  /** @param {WebAssembly.Exports} exports of the module */
  constructor(exports) {
    this.exports = exports;
    this.error = this.take(256); // a gc_error
    this.slots = this.take(256); // what a function returns, and structs
  }

  /** A block, aligned to 64 bytes. @param {number} bytes @returns {number} its address */
  take(bytes) {
    const address = this.exports.gc_alloc(bytes);
    if (address === 0) throw new Error(LITTLE_MEMORY);
    return address;
  }

  /** @param {...number} addresses 0 is fine */
  give(...addresses) {
    for (const address of addresses) this.exports.gc_free(address);
  }

  // The views are made anew for each use, because memory that grows is another buffer.

  /** @returns {Uint8Array} */
  bytes(address, count) {
    return new Uint8Array(this.exports.memory.buffer, address, count);
  }

  /** @returns {Uint32Array} */
  words(address, count) {
    return new Uint32Array(this.exports.memory.buffer, address, count);
  }

  /** @returns {Float32Array} */
  floats(address, count) {
    return new Float32Array(this.exports.memory.buffer, address, count);
  }

  /** A new block with these values. @returns {number} its address */
  store(array) {
    const address = this.take(Math.max(array.byteLength, 1));
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    this.bytes(address, bytes.length).set(bytes);
    return address;
  }

  /**
   * @param {(block: {take: Function, store: Function}) => T} use is given `take` and `store`, whose
   *     blocks are freed when it ends, also by an error
   * @returns {T} what it returns
   */
  during(use) {
    const taken = [];
    const noted = (address) => {
      taken.push(address);
      return address;
    };
    const block = {take: (count) => noted(this.take(count)), store: (array) => noted(this.store(array))};
    try {
      return use(block);
    } finally {
      this.give(...taken);
    }
  }

  /** The text that ends in a zero byte. @returns {string} */
  text(address) {
    const all = new Uint8Array(this.exports.memory.buffer, address);
    return new TextDecoder().decode(all.slice(0, all.indexOf(0)));
  }

  /** Write words, by default where `slots` is. @returns {number} their address */
  put(words, address = this.slots) {
    this.words(address, words.length).set(words);
    return address;
  }

  /** Write a text. @returns {number} its address */
  putText(text, address = this.slots) {
    this.bytes(address, text.length + 1).set(new TextEncoder().encode(text + "\0"));
    return address;
  }

  /** Throw what the core says if the status of a call is not that all is well. */
  check(status) {
    if (status === NO_MEMORY) throw new Error(LITTLE_MEMORY);
    if (status !== 0) throw new Error(`The network could not be computed: ${this.text(this.error)}.`);
  }
}
