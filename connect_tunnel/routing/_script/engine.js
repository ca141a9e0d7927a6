// What stands between Python and a PAC file inside the engine.
//
// The script shares its world with us, and may change all that is in it. So what is needed after
// it has run is taken before, and what leaves by way of C is made safe first (see engine.py).
(function (makeFunctions) {
  "use strict";

  const { parse, stringify } = JSON;
  const { defineProperty, getOwnPropertyDescriptor } = Object;
  const hasOwn = Function.prototype.call.bind(Object.prototype.hasOwnProperty);
  const GivenDate = Date;
  const LONGEST = 16384; // of an answer; browsers' own lists are of a hundred at most

  // An error that the engine throws past us is put into words by C, with nothing to stop what it
  // calls. It shall find ours, and not what the script put in their place.
  const stack = getOwnPropertyDescriptor(Error.prototype, "stack");
  const kinds = [
    Error, EvalError, InternalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError,
  ];
  for (const { name, prototype } of kinds) {
    const inWords = function () {
      const message = getOwnPropertyDescriptor(this, "message");
      return `${name}: ${message && typeof message.value === "string" ? message.value : ""}`;
    };
    defineProperty(prototype, Symbol.toPrimitive, { value: inWords });
    defineProperty(prototype, "stack", { ...stack, configurable: false });
  }
  defineProperty(Error, "prepareStackTrace", { value: undefined, writable: false });

  // The compiler does not survive that memory runs out (quickjs-ng 0.17). So what it may take has to
  // be there before it is called, by us or by the script: 150 bytes a character are the most that
  // we found. As a side effect `eval` sees the global scope, and that alone.
  const { apply } = Reflect;
  const [Buffer, compile, NativeFunction] = [ArrayBuffer, eval, Function];
  const reserve = (characters) => void new Buffer(65536 + 256 * characters);

  function evaluate(text) {
    if (typeof text === "string") reserve(text.length);
    return compile(text);
  }

  function compileFunction(...texts) {
    let characters = 0;
    for (let index = 0; index < texts.length; index++) {
      texts[index] = `${texts[index]}`; // once, as it may be another the next time
      characters += texts[index].length;
    }
    reserve(characters);
    return apply(NativeFunction, undefined, texts);
  }

  function refuse() {
    throw new TypeError("there is no such constructor here");
  }

  globalThis.eval = evaluate;
  globalThis.Function = compileFunction;
  compileFunction.prototype = NativeFunction.prototype;
  defineProperty(NativeFunction.prototype, "constructor", { value: compileFunction });
  for (const other of [function* () {}, async function () {}, async function* () {}]) {
    defineProperty(Object.getPrototypeOf(other), "constructor", { value: refuse });
  }

  // Names are looked up outside, and what is not known yet ends the run: it will be done anew.
  let known = null;
  let unknown = null;
  let now = 0;
  let find = null;

  function addressesOf(host) {
    if (unknown === null && hasOwn(known, host)) return [...known[host]];
    unknown ??= host;
    throw new Error("a name is looked up first");
  }

  const functions = makeFunctions(addressesOf, () => new GivenDate(now));
  for (const name of Object.keys(functions)) {
    globalThis[name] = functions[name]; // the script may have its own
  }

  // `__proto__: null` for the sake of `stringify`, which would call a `toJSON` of the script's.
  const said = (kind, words, trace) => ({ __proto__: null, kind, words, stack: trace });

  function load(script) {
    // Whatever the function was declared as: `const` is no property of the global object.
    find = evaluate(`${script}\n;typeof FindProxyForURL === "function" ? FindProxyForURL : null`);
    return said(find === null ? "missing" : "loaded");
  }

  function ask(url, host) {
    const given = find(url, host);
    if (given === null) return said("null");
    if (typeof given !== "string") return said("odd", typeof given);
    return given.length > LONGEST ? said("long", `${given.length}`) : said("answer", given);
  }

  function inWords(error) {
    try {
      return said("error", `${error}`.slice(0, 300), `${error?.stack}`.slice(0, 3000));
    } catch {
      return said("error", "an exception that cannot be shown", "");
    }
  }

  return function (request) {
    let outcome;
    unknown = null;
    try {
      const { script, url, host, ...world } = parse(request);
      ({ known, now } = world);
      outcome = script === null ? ask(url, host) : load(script);
    } catch (error) {
      outcome = inWords(error);
    }
    return stringify(unknown === null ? outcome : said("unknown", unknown));
  };
})
