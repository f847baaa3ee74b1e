// Drives a page of the server in PhantomJS 1.9.8: `phantomjs drive.js URL tour|wait|chat|again|rooms`. Copies the page's
// log to standard output, line by line; the exit status says whether the page did as expected.
var system = require("system");
var url = system.args[1], what = system.args[2];
var page = require("webpage").create();
var printed = 0;

var TEXT = "h\u00e9 \u20ac \ud83d\ude00";

// Pairs of a line the page must log and the action that follows it.
var tour = [
  ["opened", function () { expectProtocol("This browser speaks draft 75 or 76"); send(TEXT); }],
  ["< " + TEXT, function () { click("spam"); }],
  ["spam done", function () { click("close"); }],
  ["closed", function () { phantom.exit(0); }]
];
var wait = [["opened", function () {}], ["closed", function () { phantom.exit(0); }]];
// The chat page connects on its own.
var chat = [
  ["* you are guest", function () { send(TEXT); }],
  ["guest", function () { send("/stats"); }],
  ["* 2 here", function () { expectProtocol(", over draft 76"); send("your turn"); }],
  ["guest 1: bye", function () { phantom.exit(0); }]
];
// The server closes the idle connection; the page reconnects, is shown the last lines, and asks for its old name.
var again = [
  ["* you are guest 1", function () { send("/nick Pip"); send("hello"); }],
  ["* guest 1 is now Pip", function () {}],
  ["Pip: hello", function () {}],
  ["Pip: hello", function () {}],
  ["* you are guest 2", function () {}],
  ["* guest 2 is now Pip", function () {
    var shown = page.evaluate(function () { return document.getElementById("log").textContent; });
    if (shown.split("Pip: hello").length !== 2) { fail("shown twice: " + shown); }
    phantom.exit(0);
  }]
];
// The page of a new application.
var rooms = [
  ["* What is your name?", function () { send("Pip"); }],
  ["* Pip is here", function () { send(TEXT); }],
  ["Anna: bye", function () { phantom.exit(0); }]
];
var steps = { tour: tour, wait: wait, chat: chat, again: again, rooms: rooms }[what];

function fail(why) {
  console.log("FAILED " + why);
  phantom.exit(1);
}

function expectProtocol(text) {
  var shown = page.evaluate(function () { return document.getElementById("protocol").textContent; });
  if (shown.indexOf(text) !== 0) { fail("the page shows the protocol as " + shown); }
}

function click(id) {
  page.evaluate(function (id) { document.getElementById(id).click(); }, id);
}

function send(text) {
  page.evaluate(function (text) { document.getElementById("text").value = text; }, text);
  click("send");
}

// Collects the log's lines in `window.lines`, since the page drops old ones.
function watch() {
  page.evaluate(function () {
    var box = document.getElementById("log"), i;
    window.lines = [];
    for (i = 0; i < box.childNodes.length; i += 1) { window.lines.push(box.childNodes[i].textContent); }
    box.addEventListener("DOMNodeInserted", function (event) {
      if (event.target.parentNode === box) { window.lines.push(event.target.textContent); }
    }, false);
  });
}

// Fails if the page shows an outdated state.
function checkStates() {
  var states = page.evaluate(function () { return window.states; });
  if (/open,connecting/.test(states.join(","))) { fail("stale state: " + states); }
}

function look() {
  var lines = page.evaluate(function (from) { return window.lines.slice(from); }, printed);
  var i, state = page.evaluate(function () { return document.getElementById("state").innerHTML; });
  checkStates();
  for (i = 0; i < lines.length; i += 1) {
    printed += 1;
    console.log(lines[i]);
    if (steps.length && lines[i].indexOf(steps[0][0]) === 0) {
      console.log("STATE " + state);
      steps.shift()[1]();
    }
  }
}

// Runs before the page loads: it may connect before it has finished loading.
page.onInitialized = function () {
  page.evaluate(function () {
    window.states = [];
    setInterval(function () {
      var label = document.getElementById("state"), state = label && label.textContent;
      if (state && state !== window.states[window.states.length - 1]) { window.states.push(state); }
    }, 5);
  });
};
page.onError = function (message) { fail(message); };
page.open(url, function (status) {
  if (status !== "success") { fail("cannot open " + url); return; }
  watch();
  if (what === "tour" || what === "wait") { click("open"); }
  setInterval(look, 20);
});
setTimeout(function () { fail("nothing more happened"); }, 60000);
