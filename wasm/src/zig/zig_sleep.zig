//! Behaviour: Io.sleep on both clocks, in a loop, in a deferred block and inside Io.async tasks.
const std = @import("std");
const Io = std.Io;

fn nap(io: Io, ms: i64) !void {
    try io.sleep(.fromMilliseconds(ms), .awake);
}

fn work(io: Io, out: *Io.Writer, name: []const u8, n: u32) !u32 {
    try out.print("{s} starts\n", .{name});
    try nap(io, 5);
    try out.print("{s} ends\n", .{name});
    return n * n;
}

pub fn main(init: std.process.Init) !void {
    const io = init.io;
    var buffer: [256]u8 = undefined;
    // Streaming: where stdout is a file, a positional writer would write over what others wrote.
    var file_writer = Io.File.stdout().writerStreaming(io, &buffer);
    const out = &file_writer.interface;

    var before = Io.Clock.awake.now(io);
    var back: u32 = 0;
    for (0..6) |i| {
        if (i % 2 == 0) try nap(io, 5) else try io.sleep(.fromMilliseconds(5), .real);
        const now = Io.Clock.awake.now(io);
        if (now.nanoseconds < before.nanoseconds) back += 1;
        before = now;
        // Half of the lines stay in the buffer across the next sleep.
        try out.print("slept {d}\n", .{i});
        if (i % 2 == 1) try out.flush();
    }
    try out.print("back {d}\n", .{back});

    {
        defer {
            nap(io, 5) catch {};
            out.writeAll("deferred\n") catch {};
        }
        try nap(io, 5);
        try out.writeAll("inside\n");
    }

    // One thread only, so these run one after the other, in the order in which they were begun.
    var one = io.async(work, .{ io, out, "one", 3 });
    var two = io.async(work, .{ io, out, "two", 5 });
    const sum = try two.await(io) + try one.await(io);
    try out.print("sum {d}\n", .{sum});
    try out.flush();
}
