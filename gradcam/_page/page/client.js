// The page's side of the worker: one request is in flight; of those that only show, the latest waits.

/**
 * Start the worker and wait until the core and all networks are open.
 * @param {object} given
 * @param {{simd128: Uint8Array|string, relaxed: Uint8Array|string}} given.wasm the modules, as bytes
 *     or base64
 * @param {Object<string, {description: object, weights: Uint8Array|string}>} given.networks
 * @param {string} given.workerSource the worker's script
 * @returns {Promise<Client>}
 * @throws {Error} with a sentence for people
 */
export async function openClient({wasm, networks, workerSource}) {
  if (typeof Worker !== "function")
    throw new Error("This browser cannot compute in the background: open this page in another one.");
  const url = URL.createObjectURL(new Blob([workerSource], {type: "text/javascript"}));
  let worker;
  try {
    worker = new Worker(url);
    const client = new Client(worker);
    Object.assign(client, await client.run({wasm, networks}));
    return client;
  } catch (error) {
    worker?.terminate();
    throw error;
  } finally {
    URL.revokeObjectURL(url);
  }
}

class Client {
  /** @param {Worker} worker */
  constructor(worker) {
    this.worker = worker;
    this.flight = null; // the request that the worker works on
    this.queue = []; // of `run`
    this.shown = null; // the waiting request of `show`
    this.showNext = true; // whether it is the turn of `shown` before `queue`
    this.failure = null; // once the worker has died
    worker.onmessage = ({data}) => this.#land(data);
    worker.onerror = (event) => {
      event.preventDefault?.();
      this.#fail(`The computation could not start or has stopped: open the page again (${event.message}).`);
    };
    worker.onmessageerror = () => this.#fail("An answer was lost: open the page again.");
  }

  /**
   * Ask for a picture's scores and maps; the latest request wins.
   * @param {object} request {network, picture, maps: [{method, target, layer}], inside: {layer, target}};
   *     a target is a class or "top"; without a layer, the network's usual one
   * @returns {Promise<object|null>} {scores, probabilities, maps, inside, milliseconds}; null if a later
   *     request took the place of this one while it waited
   */
  show(request) {
    this.shown?.resolve(null);
    return new Promise((resolve, reject) => {
      this.shown = {request, resolve, reject};
      this.#next();
    });
  }

  /**
   * The same; every request is answered, in order.
   * @returns {Promise<object>}
   */
  run(request) {
    return new Promise((resolve, reject) => {
      this.queue.push({request, resolve, reject});
      this.#next();
    });
  }

  /** End the worker; what waits is rejected. */
  close() {
    this.worker.terminate();
    this.#fail("The page has ended the computation.");
  }

  #next() {
    if (this.failure) this.#fail(this.failure);
    if (this.flight) return;
    const show = this.shown && (this.showNext || this.queue.length === 0);
    this.flight = show ? this.shown : (this.queue.shift() ?? null);
    if (this.flight === null) return;
    if (show) this.shown = null;
    this.showNext = !show;
    try {
      this.worker.postMessage(this.flight.request);
    } catch (error) {
      this.#land({error: `The request could not be sent: ${error.message}.`});
    }
  }

  #land({value, error}) {
    if (!this.flight) return; // it has failed meanwhile
    const {resolve, reject} = this.flight;
    this.flight = null;
    if (error === undefined) resolve(value);
    else reject(new Error(error));
    this.#next();
  }

  #fail(message) {
    this.failure = message;
    const waiting = [this.flight, this.shown, ...this.queue].filter(Boolean);
    this.flight = this.shown = null;
    this.queue = [];
    for (const {reject} of waiting) reject(new Error(message));
  }
}
