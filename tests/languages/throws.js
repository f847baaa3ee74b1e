// On command, prints, throws, or returns an invalid command.
export const handler = {
  handle(events) {
    for (const { tag, val } of events) {
      if (tag !== "messages") continue;
      console.log(`told to ${val.text}`);
      if (val.text === "throw") fail();
      if (val.text === "return nonsense") return [{ tag: "sned" }];
    }
    return [];
  },
};

function fail() {
  throw new Error("the roof is on fire");
}
