"""On command, prints, raises, or returns an invalid command."""

from wit_world import exports
from wit_world.imports.types import Event_Messages


class Handler(exports.Handler):
    def handle(self, events):
        for event in events:
            if isinstance(event, Event_Messages):
                text = event.value.text
                print(f"told to {text}")
                if text == "throw":
                    fail()
                if text == "return nonsense":
                    return 7
        return []


def fail():
    raise RuntimeError("the roof is on fire")
