//! Behaviour: Zig's std.Io files and directories across sleeps: positional, streaming, iterate, rename, delete.
const std = @import("std");
const Io = std.Io;

fn nap(io: Io) !void {
    try io.sleep(.fromMilliseconds(6), .awake);
}

fn before(_: void, a: []const u8, b: []const u8) bool {
    return std.mem.lessThan(u8, a, b);
}

pub fn main(init: std.process.Init) !void {
    const io = init.io;
    const gpa = init.arena.allocator();
    var out_buffer: [256]u8 = undefined;
    var out_file = Io.File.stdout().writerStreaming(io, &out_buffer);
    const out = &out_file.interface;

    const work = switch (init.preopens.get("/work") orelse return error.NoWork) {
        .dir => |d| d,
        .file => return error.NotADirectory,
    };

    try work.createDirPath(io, "zig/deep/er");
    var dir = try work.openDir(io, "zig", .{ .iterate = true });
    for (0..9) |i| {
        var name: [32]u8 = undefined;
        try dir.writeFile(io, .{ .sub_path = try std.fmt.bufPrint(&name, "entry-{d}", .{i}), .data = "some data" });
    }

    var names: std.ArrayList([]const u8) = .empty;
    var it = dir.iterate();
    while (try it.next(io)) |entry| {
        if (names.items.len % 4 == 2) try nap(io);
        try names.append(gpa, try std.fmt.allocPrint(gpa, "{s}:{t}", .{ entry.name, entry.kind }));
    }
    // The order is the host's own affair.
    std.mem.sort([]const u8, names.items, {}, before);
    for (names.items) |name| try out.print("{s}\n", .{name});

    var file = try dir.createFile(io, "numbers", .{ .read = true });
    var buffer: [64]u8 = undefined;
    var writer = file.writer(io, &buffer);
    for (0..100) |i| {
        try writer.interface.print("{d},", .{i});
        if (i % 25 == 10) try nap(io);
    }
    try writer.interface.flush();
    try out.print("length {d}\n", .{try file.length(io)});

    try file.writePositionalAll(io, "XXXX", 4);
    try nap(io);
    var part: [12]u8 = undefined;
    const n = try file.readPositionalAll(io, &part, 0);
    try out.print("read {s}\n", .{part[0..n]});

    // The reader's buffer and its place in the file both live across a rename and a sleep.
    var small: [16]u8 = undefined;
    var reader = file.reader(io, &small);
    var sum: u64 = 0;
    var count: u32 = 0;
    while (try reader.interface.takeDelimiter(',')) |word| : (count += 1) {
        sum += std.fmt.parseInt(u64, word, 10) catch 1000;
        if (count % 40 == 20) try nap(io);
        if (count == 50) try dir.rename("numbers", work, "moved", io);
    }
    try out.print("sum {d} of {d}\n", .{ sum, count });

    const stat = try work.statFile(io, "moved", .{});
    try out.print("moved {d} {t}\n", .{ stat.size, stat.kind });
    try file.setLength(io, 6);
    try nap(io);
    try out.print("all of it: {s}\n", .{try work.readFileAlloc(io, "moved", gpa, .limited(100))});
    file.close(io);

    if (dir.openFile(io, "numbers", .{})) |_| return error.StillThere else |err| try out.print("old name: {t}\n", .{err});
    try work.deleteFile(io, "moved");
    for (0..9) |i| {
        var name: [32]u8 = undefined;
        try dir.deleteFile(io, try std.fmt.bufPrint(&name, "entry-{d}", .{i}));
    }
    try nap(io);
    try dir.deleteDir(io, "deep/er");
    try dir.deleteDir(io, "deep");
    it = dir.iterate();
    try out.print("empty: {}\n", .{try it.next(io) == null});
    dir.close(io);
    try out.flush();
}
