"use strict";
(() => {
  const { servers, texts, lists, requirements, cells } = JSON.parse(document.querySelector("script[type='application/json']").textContent);
  const table = document.querySelector(".cases");
  const form = document.querySelector(".filters");
  const rows = [...table.querySelectorAll(".case")];
  const columns = 2; // before those of the servers
  const severity = ["must", "should", "differs", "pass", "na", "none"];
  document.documentElement.classList.add("scripted");

  // Everything that is shown comes from servers: it becomes text, never markup.
  const make = (tag, className, ...children) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    element.append(...children.filter((child) => child !== null));
    return element;
  };
  const button = (className, label, action) => {
    const element = make("button", className, label);
    element.type = "button";
    element.addEventListener("click", action);
    return element;
  };

  // One cell takes part in the tab order; arrows move it.
  let current = null;
  const focusable = (cell) => {
    if (current) current.tabIndex = -1;
    current = cell;
    cell.tabIndex = 0;
  };

  // Folding and filters.

  const fold = (area, folded) => {
    area.classList.toggle("folded", folded);
    area.querySelector("button").setAttribute("aria-expanded", String(!folded));
    const first = area.querySelector(".case:not([hidden])");
    if (!folded && first && !current?.offsetParent) focusable(first.cells[columns]);
  };
  const foldAll = (folded) => {
    for (const area of table.tBodies) fold(area, folded);
    form.elements.fold.textContent = folded ? "Expand all" : "Collapse all";
  };
  const outcome = (cell) => cell.classList[0];
  const haystack = (row) => row.haystack ??= (row.id + " " + row.textContent + " " +
    cells[rows.indexOf(row)].map((cell) => cell ? texts[cell[0]] + " " + texts[cell[1]] : "").join(" ")).toLowerCase();

  const filter = () => {
    const chosen = (name) => [...form.querySelectorAll(`[name=${name}]:checked`)].map((input) => input.value);
    const [outcomes, severities, protocols] = ["outcome", "severity", "protocol"].map(chosen);
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const disagree = form.elements.disagree?.checked;
    const any = outcomes.length + severities.length + protocols.length + words.length > 0 || disagree === true;
    const allows = (list, value) => list.length === 0 || list.includes(value);
    let shown = 0;
    for (const row of rows) {
      const found = [...row.cells].slice(columns).map(outcome);
      const ran = new Set(found.filter((name) => name !== "na" && name !== "none"));
      row.hidden = !(allows(severities, row.dataset.severity) && allows(protocols, row.dataset.protocol) &&
        (outcomes.length === 0 || found.some((name) => outcomes.includes(name))) &&
        (!disagree || ran.size > 1) && words.every((word) => haystack(row).includes(word)));
      shown += !row.hidden;
    }
    if (opened?.row.hidden) close();
    for (const area of table.tBodies) area.hidden = !area.querySelector(".case:not([hidden])");
    foldAll(!any && rows.length > 40);
    form.querySelector("output").textContent = any ? `${shown} of ${rows.length} cases` : "";
  };

  // An opened cell.

  let opened = null; // { row, at, detail }

  const close = () => {
    if (!opened) return;
    opened.detail.remove();
    opened.row.classList.remove("open");
    opened.row.cells[columns + opened.at].setAttribute("aria-expanded", "false");
    opened = null;
    history.replaceState(null, "", location.pathname + location.search);
  };

  const open = (row, at) => {
    close();
    fold(row.parentElement, false);
    const detail = make("tr", "detail", make("td", "", make("div", "", ...content(row, at))));
    detail.cells[0].colSpan = columns + servers.length;
    row.after(detail);
    row.classList.add("open");
    row.cells[columns + at].setAttribute("aria-expanded", "true");
    opened = { row, at, detail };
    history.replaceState(null, "", "#" + encodeURI(row.id).replaceAll("#", "%23").replaceAll("@", "%40") + "@" + encodeURIComponent(servers[at]));
  };

  const toggle = (row, at) => {
    const again = opened && opened.row === row && opened.at === at;
    const top = row.getBoundingClientRect().top;
    if (again) close(); else open(row, at);
    // What was open above has gone: the row stays where it was.
    scrollBy({ top: row.getBoundingClientRect().top - top, behavior: "instant" });
  };

  const worst = (row) => {
    const found = [...row.cells].slice(columns).map(outcome);
    return found.indexOf(severity.find((name) => found.includes(name)));
  };

  const content = (row, at) => {
    const cell = cells[rows.indexOf(row)][at];
    const tabs = make("nav", "", ...servers.map((name, other) => {
      const from = row.cells[columns + other];
      const tab = button(from.className, `${from.textContent} ${name}`, () => {
        toggle(row, other);
        opened.detail.querySelector("[aria-pressed=true]").focus();
      });
      tab.setAttribute("aria-pressed", String(other === at));
      return tab;
    }));
    tabs.setAttribute("aria-label", "Servers");
    const [name, section] = row.cells;
    const parts = [
      make("h2", "", row.id),
      make("p", "", name.querySelector("span").textContent),
      make("p", "quiet", `${section.textContent.trim()} · ${row.dataset.protocol}`),
      ...requirements[rows.indexOf(row)].map((text) => make("blockquote", "", texts[text])),
      tabs,
    ];
    if (!cell) return [...parts, make("p", "", "This case was not run against this server.")];
    const [reason, known, expected, seen, transcript] = cell;
    if (reason) parts.push(make("p", "", texts[reason]));
    if (known) parts.push(make("p", "", `Known failure: ${texts[known]}`));
    if (lists[expected].length + lists[seen].length) parts.push(comparison(lists[expected], lists[seen], transcript.length > 0));
    if (transcript.length) parts.push(...sequence(transcript, servers[at]));
    return parts;
  };

  // What was expected beside what was seen, turn by turn.
  const comparison = (expected, seen, ran) => {
    const turns = new Map();
    const many = new Set([...expected, ...seen].map(([connection]) => connection)).size > 1;
    [expected, seen].forEach((list, side) => list.forEach(([connection, turn, what]) => {
      const key = many ? `${turn} (${connection})` : turn;
      if (!turns.has(key)) turns.set(key, [[], []]);
      turns.get(key)[side].push(what);
    }));
    const head = [many ? "Turn (connection)" : "Turn", "Expected", ran ? "Seen" : "Seen (not run)"].map((title) => make("th", "", title));
    const body = make("tbody");
    for (let [turn, [left, right]] of turns) {
      let same = 0, tail = 0;
      const shorter = Math.min(left.length, right.length);
      while (same < shorter && left[same] === right[same]) same++;
      while (tail < shorter - same && left.at(-1 - tail) === right.at(-1 - tail)) tail++;
      const pair = (one, other, differs) => {
        body.append(make("tr", turn && "turn", make(turn ? "th" : "td", "", turn),
          make("td", differs && ran && one !== undefined ? "less" : "", texts[one] ?? ""),
          make("td", differs && ran && other !== undefined ? "more" : "", texts[other] ?? "")));
        turn = "";
      };
      const middle = [left, right].map((list) => list.slice(same, list.length - tail));
      left.slice(0, same).forEach((what) => pair(what, what, false));
      for (let i = 0; i < Math.max(middle[0].length, middle[1].length); i++) pair(middle[0][i], middle[1][i], true);
      if (tail) left.slice(-tail).forEach((what) => pair(what, what, false));
    }
    shorten(body);
    return make("table", many ? "seen many" : "seen", make("colgroup", "", ...head.map(() => make("col"))),
      make("thead", "", make("tr", "", ...head)), body);
  };

  // Of long stretches in which nothing differs the middle is shown when asked for.
  const shorten = (body) => {
    let same = [];
    for (const row of [...body.rows, null]) {
      if (row && !row.querySelector(".less, .more")) {
        same.push(row);
        continue;
      }
      const middle = same.slice(3, -3);
      if (middle.length > 6) {
        const more = button("", `${middle.length} more`, () => {
          more.closest("tr").remove();
          for (const hidden of middle) hidden.hidden = false;
        });
        middle[0].before(make("tr", "turn", make("td"), make("td", "", more), make("td")));
        for (const hidden of middle) hidden.hidden = true;
      }
      same = [];
    }
  };

  // The transcript as a sequence diagram.
  const sequence = (transcript, server) => {
    const many = new Set(transcript.map(([, connection]) => connection)).size > 1;
    let turn;
    const draw = (hex) => {
      turn = 0;
      return runs(transcript).map((run) => message(run, hex));
    };
    const message = ({ at, connection, kind, length, parts, frame }, hex) => {
      const [side, what] = texts[kind].split(" ");
      const names = {
        fin: "FIN: ends its side", reset: "RST: resets the connection", closing: frame ? "closing" : "closing FF 00",
        wait: `client waits: end of turn ${what === "wait" ? ++turn : ""}`, timeout: "client gives up waiting",
        application: "the server's application is told",
      };
      const label = make("div", "label", make("em", "", names[what] ?? what));
      if (many && what !== "wait" && what !== "application") label.prepend(make("small", "", `connection ${connection}`));
      const lane = make("div", "lane", label);
      const bytes = parts.join("");
      if (length && what !== "application") {
        const count = `${length.toLocaleString("en")} byte${length === 1 ? "" : "s"}`;
        const cut = bytes.length < length ? `, the first ${bytes.length.toLocaleString("en")} shown` : "";
        label.append(make("small", "", count + (parts.length > 1 ? ` in ${parts.length} pieces` : "") + cut));
      }
      if (frame) label.append(make("span", "frame", frame));
      if (!["wait", "timeout", "application"].includes(what)) lane.append(make("div", "arrow"));
      if (bytes.length) {
        const short = bytes.length <= 32 && !bytes.includes("\n");
        if (short) label.append(make("span", "bytes", ...(hex ? [octets(bytes)] : escaped(parts))));
        else lane.append(make("pre", hex ? "bytes hex" : "bytes", ...(hex ? [dump(bytes)] : escaped(parts))));
      }
      return make("li", `message ${side} ${what}`, make("time", "", `${at.toFixed(1)} ms`), lane);
    };
    const list = make("ol", "", ...draw(false));
    const swap = button("", "Hex", () => {
      const hex = swap.textContent === "Hex";
      swap.textContent = hex ? "Escaped" : "Hex";
      list.replaceChildren(...draw(hex));
    });
    const ends = make("div", "ends", make("span", "", "client"), make("span", "", server));
    return [make("div", "wire", "On the wire", swap), make("div", "sequence", ends, list)];
  };

  // Single bytes of one kind in a row become one message, with marks between them.
  const runs = (transcript) => {
    const found = [];
    for (const [at, connection, kind, length, pieces, text] of transcript) {
      const frame = texts[text];
      const bytes = pieces.map((piece) => texts[piece]).join("");
      const last = found.at(-1);
      if (last && last.kind === kind && last.connection === connection && length === 1 && last.length === last.parts.length && !whole(last)) {
        last.length += length;
        last.parts.push(bytes);
        last.frame = frame;
      } else {
        found.push({ at, connection, kind, length, parts: [bytes], frame });
      }
    }
    return found;
  };

  // Whether a run is a frame from end to end: the next byte begins another.
  const whole = ({ kind, parts, frame }) => {
    if (frame) return true;
    const what = texts[kind].split(" ")[1];
    const ends = parts.length > 1 && parts.at(-1) === "\xff";
    return what === "closing" ? parts.length === 2 : what === "text" || (what === "reserved" && parts[0] < "\x80") ? ends : false;
  };

  const code = (char) => char.charCodeAt(0).toString(16).padStart(2, "0");
  const octets = (bytes) => [...bytes].map(code).join(" ");
  const escaped = (parts) => parts.map((part, index) => {
    const runs = part.match(/[ !#-[\]-~]+|\r\n|[^]/g) ?? [];
    const short = { "\r": "\\r", "\n": "\\n\n", "\r\n": "\\r\\n\n", "\\": "\\\\", '"': '\\"' };
    const shown = runs.map((run) => /^[ !#-[\]-~]/.test(run) ? run : make("i", "", short[run] ?? "\\x" + code(run)));
    return make(index ? "s" : "span", "", ...shown);
  });
  const dump = (bytes) => {
    const width = innerWidth < 720 ? 8 : 16;
    const lines = [];
    for (let at = 0; at < bytes.length; at += width) {
      const line = bytes.slice(at, at + width);
      lines.push(`${at.toString(16).padStart(4, "0")}  ${octets(line).padEnd(3 * width)} ${line.replace(/[^ -~]/g, ".")}`);
    }
    return lines.join("\n");
  };

  // Pointer, keys, links.

  const place = (target) => {
    const row = target.closest(".case");
    const cell = target.closest("td, th");
    return row && { row, at: cell && cell.cellIndex >= columns ? cell.cellIndex - columns : worst(row) };
  };
  table.addEventListener("click", ({ target }) => {
    const area = target.closest(".area");
    if (area) return fold(area.parentElement, !area.parentElement.classList.contains("folded"));
    const found = place(target);
    if (found && getSelection().isCollapsed) toggle(found.row, found.at);
  });

  table.addEventListener("focusin", ({ target }) => { if (target.matches(".case > td")) focusable(target); });
  table.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && opened) {
      const cell = opened.row.cells[columns + opened.at];
      close();
      cell.focus();
    }
    if (!event.target.matches(".case > td")) return;
    const { row, at } = place(event.target);
    const visible = rows.filter((other) => !other.hidden && !other.parentElement.classList.contains("folded"));
    const move = (by) => visible[visible.indexOf(row) + by]?.cells[columns + at];
    const next = {
      ArrowUp: () => move(-1), ArrowDown: () => move(1),
      ArrowLeft: () => row.cells[columns + Math.max(at - 1, 0)], ArrowRight: () => row.cells[columns + at + 1],
      Enter: () => (toggle(row, at), event.target), " ": () => (toggle(row, at), event.target),
    }[event.key];
    if (!next) return;
    event.preventDefault();
    const cell = next();
    if (!cell) return;
    cell.focus();
  });
  for (const row of rows) {
    for (const cell of [...row.cells].slice(columns)) {
      cell.tabIndex = -1;
      cell.setAttribute("aria-expanded", "false");
    }
  }

  const follow = () => {
    const [id, name] = location.hash.slice(1).split("@").map(decodeURIComponent);
    const row = rows.find((row) => row.id === id);
    if (!row) return;
    const at = servers.indexOf(name);
    open(row, at < 0 ? worst(row) : at);
    row.cells[columns + opened.at].focus();
    row.scrollIntoView({ block: "start" });
  };
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  form.elements.fold.addEventListener("click", () => foldAll(form.elements.fold.textContent !== "Expand all"));
  filter();
  addEventListener("hashchange", follow);
  follow();
})();
