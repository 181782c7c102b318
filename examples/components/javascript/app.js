// A component in JavaScript: counts sheep, and sleeps between them.

import { getStdout } from 'wasi:cli/stdout@0.2.12';
import { getArguments } from 'wasi:cli/environment@0.2.12';
import { subscribeDuration } from 'wasi:clocks/monotonic-clock@0.2.12';

function say(text) {
  getStdout().blockingWriteAndFlush(Uint8Array.from(text + '\n', (letter) => letter.charCodeAt(0)));
}

export const run = {
  run() {
    const sheep = new Map();
    for (let night = 1; night <= 3; night++) {
      sheep.set(night, night * night);
      say(`night ${night}: ${JSON.stringify([...sheep])}`);
      subscribeDuration(500_000_000).block();
    }
    say(`good morning, ${getArguments().slice(1).join(' ') || 'all'}`);
  },
};
