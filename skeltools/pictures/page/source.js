// The source of clips: the page's server, or data in the page itself.

/** Answers of `api/NAME`. Throws an Error with the server's message. */
export function served(base = "api/") {
  const ask = async (address, signal) => {
    const reply = await fetch(new URL(address, document.baseURI), { signal }).catch((error) => {
      throw error.name === "AbortError" ? error : new Error("The server does not answer: is `skeltools view` still running?");
    });
    const told = await reply.json();
    if (!reply.ok) throw new Error(told.error ?? `The server answered ${reply.status}`);
    return told;
  };
  const query = (given) => new URLSearchParams(given.filter(([, value]) => value !== undefined));
  return {
    ask,
    store: () => ask(`${base}store`),
    rows: () => ask(`${base}rows`),
    sample: (id, conventions, from, signal) =>
      ask(`${base}sample?${query([["id", id], ...conventions.map((name) => ["convention", name]), ["from", from]])}`, signal),
    poses: (rows) => ask(`${base}poses?rows=${rows.join()}`),
  };
}

/** The same answers from {store, rows, samples, poses, items}, gzipped and in base64. */
export async function embedded(text) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const held = await new Response(stream).json();
  return {
    ask: async (address) => held.items[address],
    store: async () => held.store,
    rows: async () => held.rows,
    poses: async (rows) => ({ rows, track: null, held: held.poses }),
    sample: async (id, conventions) => {
      const whole = held.samples[id];
      if (!whole) throw new Error(`There is no sample '${id}' in this file. Choose one of the list`);
      const tracks = whole.tracks.filter(({ name }) => conventions.includes(name));
      return { ...whole, conventions: whole.tracks.map(({ name }) => name), tracks: tracks.length ? tracks : whole.tracks.slice(0, 1) };
    },
  };
}
