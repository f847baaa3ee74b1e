// Drives a page in PhantomJS by lines, with watch.js: `phantomjs room.js URL FILE`, to which the test appends the lines.
// PhantomJS cannot wait for standard input and run pages at the same time.
var fs = require("fs"), system = require("system");
var url = system.args[1], file = system.args[2];
var page = require("webpage").create();
var told = 0;

page.onConsoleMessage = function (line) { console.log(line); };
page.onError = function (message) { console.log("error " + message); };
page.onInitialized = function () { page.injectJs(fs.absolute(system.args[0]).replace(/room\.js$/, "watch.js")); };
page.open(url, function (status) {
  if (status !== "success") { console.log("error cannot open " + url); }
  setInterval(function () {
    // What follows the last line end is no line yet.
    var lines = fs.read(file).split("\n").slice(told, -1);
    told += lines.length;
    lines.forEach(function (line) {
      page.evaluate(function (line) { window.tell(line); }, line);
    });
  }, 20);
});
