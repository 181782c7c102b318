"""Writes what the large programs work on: large.v for Yosys, large.go for Go's compiler.

usage: inputs.py FOLDER
"""

import pathlib
import sys

FUNCTIONS = 150
PARTS = 40


def go():
    """Functions that need no other package: binary trees, maps, loops."""
    lines = ["package large", "type node struct { left, right *node; key int; name string }"]
    for number in range(FUNCTIONS):
        lines.append(f"""func insert{number}(n *node, key int, name string) *node {{
	if n == nil {{ return &node{{key: key + {number}, name: name}} }}
	switch {{
	case key < n.key: n.left = insert{number}(n.left, key, name)
	case key > n.key: n.right = insert{number}(n.right, key*{number % 7 + 1}, name+"{number}")
	default: n.name += name
	}}
	for i := 0; i < {number % 13 + 2}; i++ {{ n.key ^= key<<(uint(i)%5) + {number} }}
	known := map[string][]int{{name: {{key, {number}}}}}
	for text, values := range known {{ for _, value := range values {{ n.key += len(text)*value }} }}
	return n
}}""")
    return "\n".join(lines) + "\n"


def verilog():
    """Registers behind multipliers, shifts and cases, all of them joined at the top."""
    ports = "input clk, input [15:0] a, input [15:0] b"
    lines = []
    for number in range(PARTS):
        lines.append(f"""module part{number}({ports}, output reg [31:0] y);
  reg [31:0] s; integer i;
  always @(posedge clk) begin
    s = a * b + {number * 977 + 13};
    for (i = 0; i < 8; i = i + 1) s = (s << 1) ^ (s[31] ? 32'h04c11db7 : a + i);
    case (s[3:0])
      {number % 8}: y <= s + b;
      {(number + 5) % 8 + 8}: y <= s - a;
      default: y <= y ^ s;
    endcase
  end
endmodule""")
    lines.append(f"module top({ports}, output [31:0] y);")
    for number in range(PARTS):
        lines.append(f"  wire [31:0] w{number};")
        lines.append(f"  part{number} p{number}(clk, a + 16'd{number}, b ^ 16'd{number}, w{number});")
    joined = " ^ ".join(f"w{number}" for number in range(PARTS))
    lines += [f"  assign y = {joined};", "endmodule"]
    return "\n".join(lines) + "\n"


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "large.go").write_text(go())
    (folder / "large.v").write_text(verilog())


main()
