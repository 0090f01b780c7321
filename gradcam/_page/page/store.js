// The state of the page: a plain object, which is replaced and never changed.

/**
 * Makes a store. `update(patch)` replaces keys of the state; those whose value is a plain object,
 * such as a panel's own part, are merged. Subscribers are called with the new state, each time.
 * @template {object} State
 * @param {State} initial
 * @returns {{get: () => State, update: (patch: Partial<State>) => void,
 *            subscribe: (listener: (state: State) => void) => void}}
 */
export function createStore(initial) {
  let state = initial;
  const listeners = [];
  return {
    get: () => state,
    update(patch) {
      const next = {...state};
      for (const [key, value] of Object.entries(patch)) {
        next[key] = isPlain(value) && isPlain(state[key]) ? {...state[key], ...value} : value;
      }
      state = next;
      for (const listener of listeners) listener(state);
    },
    subscribe(listener) {
      listeners.push(listener);
    },
  };
}

function isPlain(value) {
  return value !== null && typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype;
}
