// What a PAC file may call, by the descriptions of Netscape (1996), MDN and Microsoft.
//
// Where these are silent it is as Chromium and Firefox have it: names are compared to the letter,
// ranges include both ends and may go round, and what makes no sense is false rather than an
// error. `addressesOf` gives the addresses of a name, and of this machine for "", IPv4 and IPv6;
// `clock` gives a new Date.
(function (addressesOf, clock) {
  "use strict";

  const LONGEST_NAME = 255;
  const WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
  const MONTHS = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
  ];

  // --- addresses: how many bits, and the number that they are ---

  function readAddress(text) {
    return readIPv4(text) ?? readIPv6(text);
  }

  function readIPv4(text) {
    if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) return null;
    const octets = text.split(".").map(Number);
    if (octets.some((octet) => octet > 255)) return null;
    return { bits: 32n, value: joined(octets, 8n) };
  }

  function readIPv6(text) {
    const tail = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
    if (tail) {
      const last = readIPv4(tail[2]);
      if (last === null) return null;
      text = `${tail[1]}${(last.value >> 16n).toString(16)}:${(last.value & 0xffffn).toString(16)}`;
    }
    const [before, after, ...more] = text.split("::").map((part) => (part ? part.split(":") : []));
    if (more.length > 0) return null;
    const zeros = after === undefined ? 0 : 8 - before.length - after.length;
    if (after !== undefined && zeros < 1) return null;
    const groups = [...before, ...Array(zeros).fill("0"), ...(after ?? [])];
    if (groups.length !== 8 || !groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return null;
    return { bits: 128n, value: joined(groups.map((group) => parseInt(group, 16)), 16n) };
  }

  function joined(parts, size) {
    return parts.reduce((sum, part) => (sum << size) | BigInt(part), 0n);
  }

  function isIn(address, prefix) {
    const [base, length, ...more] = prefix.split("/");
    const network = readAddress(base);
    if (address === null || network === null || address.bits !== network.bits) return false;
    if (more.length > 0 || !/^\d{1,3}$/.test(length) || BigInt(length) > network.bits) return false;
    const rest = network.bits - BigInt(length);
    return address.value >> rest === network.value >> rest;
  }

  function listed(list) {
    return String(list).split(";").map((item) => item.trim());
  }

  // --- names ---

  function lookUp(host) {
    const text = String(host ?? "");
    if (readAddress(text)) return [text];
    return text === "" || text.length > LONGEST_NAME ? [] : addressesOf(text);
  }

  function firstIPv4(addresses) {
    return addresses.find((address) => !address.includes(":")) ?? null;
  }

  // --- patterns ---

  // Step by step rather than by a RegExp, which takes for ever to learn that many stars do not
  // match a long text.
  function matchesGlob(text, pattern) {
    let [at, seen, star, starred] = [0, 0, -1, 0];
    while (at < text.length) {
      if (pattern[seen] === "*") {
        star = seen++;
        starred = at;
      } else if (seen < pattern.length && (pattern[seen] === "?" || pattern[seen] === text[at])) {
        at++;
        seen++;
      } else if (star >= 0) {
        seen = star + 1;
        at = ++starred;
      } else {
        return false;
      }
    }
    while (pattern[seen] === "*") seen++;
    return seen === pattern.length;
  }

  // --- ranges of time ---

  function now(args) {
    const utc = args[args.length - 1] === "GMT" ? "UTC" : "";
    const date = clock();
    const part = (name) => date[`get${utc}${name}`]();
    return {
      args: utc ? args.slice(0, -1) : args,
      year: part("FullYear"), month: part("Month"), day: part("Date"), weekday: part("Day"),
      time: [part("Hours"), part("Minutes"), part("Seconds")],
    };
  }

  function isBetween(value, from, until) {
    const after = compare(from, value) <= 0;
    const before = compare(value, until) <= 0;
    return compare(from, until) <= 0 ? after && before : after || before;
  }

  function compare(one, other) {
    const place = one.findIndex((part, index) => part !== other[index]);
    return place < 0 ? 0 : one[place] - other[place];
  }

  // A day, a month or a year: what it is and its number.
  function readDatePart(given) {
    const month = MONTHS.indexOf(given);
    if (month >= 0) return { kind: "month", value: month };
    const value = Number(given);
    if (!Number.isInteger(value) || value < 1) return { kind: "nothing", value };
    return { kind: value > 31 ? "year" : "day", value };
  }

  // The parts in the order in which dates are compared, or null unless each is of another kind.
  function readDate(parts) {
    const kinds = ["year", "month", "day"].filter((kind) => parts.some((p) => p.kind === kind));
    if (kinds.length === 0 || kinds.length !== parts.length) return null;
    return { kinds, values: kinds.map((kind) => parts.find((part) => part.kind === kind).value) };
  }

  return {
    isPlainHostName(host) {
      return !/[.:]/.test(host);
    },

    dnsDomainIs(host, domain) {
      return String(host).endsWith(String(domain));
    },

    localHostOrDomainIs(host, hostdom) {
      return host === hostdom || String(hostdom).startsWith(`${host}.`);
    },

    dnsDomainLevels(host) {
      return String(host).split(".").length - 1;
    },

    isResolvable(host) {
      return firstIPv4(lookUp(host)) !== null;
    },

    isResolvableEx(host) {
      return lookUp(host).length > 0;
    },

    dnsResolve(host) {
      return firstIPv4(lookUp(host));
    },

    dnsResolveEx(host) {
      return lookUp(host).join(";");
    },

    myIpAddress() {
      return firstIPv4(addressesOf("")) ?? "127.0.0.1";
    },

    myIpAddressEx() {
      return addressesOf("").join(";");
    },

    isInNet(host, pattern, mask) {
      const [network, bits] = [readIPv4(String(pattern)), readIPv4(String(mask))];
      if (network === null || bits === null) return false;
      const address = readIPv4(String(firstIPv4(lookUp(host))));
      return address !== null && (address.value & bits.value) === (network.value & bits.value);
    },

    isInNetEx(addresses, prefixes) {
      const networks = listed(prefixes);
      return listed(addresses).some((text) => networks.some((net) => isIn(readAddress(text), net)));
    },

    convert_addr(address) {
      // A signed number, also where the first octet is above 127, as it is in browsers.
      return String(address).split(".").slice(0, 4).reduce((sum, o) => (sum << 8) | (o & 255), 0);
    },

    sortIpAddressList(list) {
      const read = listed(list).map((text) => ({ text, address: readAddress(text) }));
      if (read.some(({ address }) => address === null)) return false;
      const sign = (number) => (number > 0n ? 1 : number < 0n ? -1 : 0);
      const order = (one, other) =>
        sign(other.bits - one.bits) || sign(one.value - other.value); // IPv6 comes first
      return read.sort((one, other) => order(one.address, other.address))
        .map(({ text }) => text).join(";");
    },

    getClientVersion() {
      return "1.0";
    },

    shExpMatch(text, pattern) {
      [text, pattern] = [String(text), String(pattern)];
      if (!/[[\]{}()|+^$\\]/.test(pattern)) return matchesGlob(text, pattern);
      // Browsers make a RegExp of all that is no glob, and there are files that count on it.
      const source = pattern.replace(/\./g, "\\.").replace(/\*/g, ".*").replace(/\?/g, ".");
      return new RegExp(`^${source}$`).test(text);
    },

    weekdayRange(...given) {
      const { args, weekday } = now(given);
      const days = args.map((day) => WEEKDAYS.indexOf(day));
      if (days.length < 1 || days.length > 2 || days.includes(-1)) return false;
      return isBetween([weekday], days.slice(0, 1), days.slice(-1));
    },

    dateRange(...given) {
      const { args, ...today } = now(given);
      const parts = args.map(readDatePart);
      const half = parts.length / 2;
      const single = readDate(parts);
      const [from, until] = single
        ? [single, single]
        : [readDate(parts.slice(0, half)), readDate(parts.slice(half))];
      if (!from || !until || from.kinds.join() !== until.kinds.join()) return false;
      return isBetween(from.kinds.map((kind) => today[kind]), from.values, until.values);
    },

    timeRange(...given) {
      const { args, time } = now(given);
      const numbers = args.map(Number);
      const size = numbers.length === 1 ? 1 : numbers.length / 2;
      if (![1, 2, 3].includes(size) || !numbers.every(Number.isInteger)) return false;
      return isBetween(time.slice(0, size), numbers.slice(0, size), numbers.slice(-size));
    },

    // Browsers write it into their logs. Ours are no place for what a target's name led to.
    alert() {},
  };
})
