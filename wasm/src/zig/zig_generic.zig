//! Behaviour: generics, tagged unions, error unions, optionals, slices and vectors alive across sleeps.
const std = @import("std");
const Io = std.Io;

const Context = struct {
    io: Io,
    naps: u32 = 0,

    fn nap(c: *Context) !void {
        c.naps += 1;
        try c.io.sleep(.fromMilliseconds(4), .awake);
    }
};

/// A tree whose comparing sleeps now and then, for any key and any value.
fn Tree(comptime K: type, comptime V: type, comptime less: fn (*Context, K, K) anyerror!bool) type {
    return struct {
        const Node = struct { key: K, value: V, left: ?*Node = null, right: ?*Node = null };
        root: ?*Node = null,
        size: usize = 0,

        fn put(t: *@This(), gpa: std.mem.Allocator, c: *Context, key: K, value: V) !void {
            var at = &t.root;
            while (at.*) |node| {
                if (try less(c, key, node.key)) {
                    at = &node.left;
                } else if (try less(c, node.key, key)) {
                    at = &node.right;
                } else {
                    node.value = value;
                    return;
                }
            }
            const node = try gpa.create(Node);
            node.* = .{ .key = key, .value = value };
            at.* = node;
            t.size += 1;
        }

        fn walk(node: ?*const Node, c: *Context, out: *Io.Writer) !void {
            const n = node orelse return;
            try walk(n.left, c, out);
            if (n.left == null and n.right == null) try c.nap();
            try out.print(" {any}={any}", .{ n.key, n.value });
            try walk(n.right, c, out);
        }
    };
}

fn lessInt(c: *Context, a: i32, b: i32) anyerror!bool {
    if (a == 50) try c.nap();
    return a < b;
}

fn lessFloat(c: *Context, a: f64, b: f64) anyerror!bool {
    if (a > 2.5) try c.nap();
    return a < b;
}

const Expr = union(enum) {
    number: f64,
    negate: *const Expr,
    binary: struct { op: u8, left: *const Expr, right: *const Expr },
    fault,

    fn eval(e: Expr, c: *Context) anyerror!f64 {
        switch (e) {
            .number => |n| return n,
            .negate => |inner| {
                try c.nap();
                return -(try inner.eval(c));
            },
            .binary => |b| {
                const left = try b.left.eval(c);
                try c.nap();
                const right = try b.right.eval(c);
                return switch (b.op) {
                    '+' => left + right,
                    '*' => left * right,
                    '/' => if (right == 0) error.DividedByZero else left / right,
                    else => error.UnknownOperator,
                };
            },
            .fault => {
                try c.nap();
                return error.Fault;
            },
        }
    }
};

pub fn main(init: std.process.Init) !u8 {
    const gpa = init.arena.allocator();
    var c: Context = .{ .io = init.io };
    var buffer: [256]u8 = undefined;
    var file_writer = Io.File.stdout().writerStreaming(init.io, &buffer);
    const out = &file_writer.interface;

    var ints: Tree(i32, u8, lessInt) = .{};
    for ([_]i32{ 50, 20, 80, 10, 30, 70, 90, 50, 25 }, 0..) |k, i| try ints.put(gpa, &c, k, @intCast(i));
    try out.print("{d}:", .{ints.size});
    try @TypeOf(ints).walk(ints.root, &c, out);
    try out.writeAll("\n");

    var floats: Tree(f64, ?bool, lessFloat) = .{};
    for ([_]f64{ 1.5, 3.25, 0.5, 2.75 }, 0..) |k, i| try floats.put(gpa, &c, k, if (i == 2) null else i % 2 == 0);
    try out.print("{d}:", .{floats.size});
    try @TypeOf(floats).walk(floats.root, &c, out);
    try out.writeAll("\n");

    const two: Expr = .{ .number = 2 };
    const zero: Expr = .{ .number = 0 };
    const minus: Expr = .{ .negate = &two };
    const sum: Expr = .{ .binary = .{ .op = '+', .left = &minus, .right = &two } };
    const product: Expr = .{ .binary = .{ .op = '*', .left = &minus, .right = &minus } };
    const divided: Expr = .{ .binary = .{ .op = '/', .left = &product, .right = &zero } };
    const strange: Expr = .{ .binary = .{ .op = '?', .left = &sum, .right = &two } };
    const broken: Expr = .{ .binary = .{ .op = '+', .left = &two, .right = &.fault } };
    for ([_]Expr{ two, minus, sum, product, divided, strange, broken }) |e| {
        if (e.eval(&c)) |value| {
            try out.print("{d}\n", .{value});
        } else |err| {
            try out.print("{t}\n", .{err});
        }
    }

    var v: @Vector(8, i32) = .{ 1, 2, 3, 4, 5, 6, 7, 8 };
    var wide: u128 = 0xfedc_ba98_7654_3210;
    for (0..5) |i| {
        try c.nap();
        v = v * @as(@Vector(8, i32), @splat(3)) - @as(@Vector(8, i32), @splat(@intCast(i)));
        wide = wide *% 0x1_0000_0000_0000_01b3 +% i;
    }
    try out.print("{any} {x}\n", .{ v, wide });
    try out.print("naps {d}\n", .{c.naps});
    try out.flush();
    return 7;
}
