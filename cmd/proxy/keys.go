package main

import (
	"holdfast/journal/replay"
	"holdfast/journal/stream"
	"holdfast/policy"
)

// keysNamed finds the keys of commands by the built-in command table.
func keysNamed() replay.KeysOf {
	table := policy.Builtin()
	var room []policy.Key
	var out [][]byte
	return func(c *stream.Command) [][]byte {
		room, _ = table.Lookup(c.Args).Keys(c.Args, room[:0])
		out = out[:0]
		for _, k := range room {
			out = append(out, c.Args[k.Pos])
		}
		return out
	}
}
