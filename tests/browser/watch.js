// Runs in a page before its own scripts, in engines from 2010 on. Tells on the console what the page shows in its log and
// how its WebSocket closes, and gives `tell`, which takes the lines of tests/support/third_party.rs.
(function () {
  "use strict";
  var Native = window.WebSocket, socket = null, left = false, shown = 0;

  window.WebSocket = function (url) {
    // The pages connect again after a close.
    if (left) { return {}; }
    socket = new Native(url);
    socket.addEventListener("close", function (event) {
      left = true;
      console.log(["close"].concat(event.code || [], event.reason || []).join(" "));
    }, false);
    return socket;
  };

  window.addEventListener("load", function () { console.log("loaded"); }, false);
  setInterval(function () {
    var log = document.getElementById("log"), rows = log ? log.childNodes : [];
    // The page clears it when it connects.
    if (rows.length < shown) { shown = 0; }
    for (; shown < rows.length; shown += 1) { console.log("shows " + rows[shown].textContent); }
  }, 10);

  window.tell = function (line) {
    var words = line.split(" ");
    if (words[0] === "text") {
      document.getElementById("text").value = words.slice(1).join(" ");
      document.getElementById("send").click();
    } else if (words[0] === "press") {
      document.getElementById(words[1]).click();
    } else if (words.length > 1) {
      socket.close(Number(words[1]), words.slice(2).join(" "));
    } else {
      socket.close();
    }
  };
}());
